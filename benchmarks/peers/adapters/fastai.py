"""fastai: Learner.fit at a constant rate with its own SGD; stripped, without bar and records and with torch's SGD."""

from functools import partial

from fastai.basics import CrossEntropyLossFlat, DataLoaders, Learner, OptimWrapper, Recorder
from fastai.callback.progress import ProgressCallback
from fastai.optimizer import SGD, Adam
from torch import nn
from torch.utils.data import DataLoader, TensorDataset
from work import Work


def loaders(work: Work) -> DataLoaders:
    held = TensorDataset(*work.held)
    if work.tuned:
        return DataLoaders(work.loader(), DataLoader(held, batch_size=work.batch_size))
    return DataLoaders.from_dsets(TensorDataset(work.x, work.y), held, bs=work.batch_size, device="cpu", num_workers=0)


def default(work: Work) -> nn.Module:
    opt = Adam if work.adam else partial(SGD, mom=work.momentum)
    learner = Learner(loaders(work), work.model, loss_func=CrossEntropyLossFlat(), opt_func=opt)
    learner.fit(work.epochs, work.rate, wd=0.0)
    return work.model


def stripped(work: Work) -> nn.Module:
    opt = partial(OptimWrapper, opt=work.make_optimizer)
    learner = Learner(loaders(work), work.model, loss_func=nn.CrossEntropyLoss(), opt_func=opt)
    learner.remove_cbs([ProgressCallback, Recorder])
    learner.fit(work.epochs, work.rate, wd=0.0)
    return work.model


DEFAULT, STRIPPED = default, stripped

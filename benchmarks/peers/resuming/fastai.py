"""fastai: `SaveModelCallback(every_epoch=True, with_opt=True)`, `load`, `fit(start_epoch=...)`; after epochs only."""

from fastai.basics import DataLoaders, Learner, set_seed
from fastai.callback.tracker import SaveModelCallback
from fastai.optimizer import Adam
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from resuming.job import BATCH, EPOCHS, RATE, Job, rows, state

EPOCHS_ONLY = True


def run(job: Job) -> list[Tensor]:
    set_seed(0, reproducible=True)
    train, held = TensorDataset(*rows()), TensorDataset(*rows(32))
    loaders = DataLoaders.from_dsets(train, held, bs=BATCH, device="cpu", num_workers=0)
    learner = Learner(loaders, job.network(), loss_func=nn.CrossEntropyLoss(), opt_func=Adam, path=job.folder)
    if job.resumed:
        learner.load("model_0", with_opt=True)
    saving = SaveModelCallback(every_epoch=True, with_opt=True)
    learner.fit(EPOCHS, RATE, start_epoch=1 if job.resumed else 0, cbs=saving)
    return state(learner.model)

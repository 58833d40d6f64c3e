"""skorch: NeuralNetClassifier without its validation split, because the others train on all rows."""

from skorch import NeuralNetClassifier
from torch import nn
from work import Work


def fit(work: Work, **options: object) -> nn.Module:
    if work.tuned:
        options |= {"iterator_train": lambda dataset, **_: work.loader()}
    else:
        options |= {"iterator_train__shuffle": True}
    net = NeuralNetClassifier(
        work.model,
        criterion=nn.CrossEntropyLoss,
        optimizer=work.make_optimizer,
        lr=work.rate,
        batch_size=work.batch_size,
        max_epochs=work.epochs,
        train_split=None,
        **options,
    )
    net.fit(work.x, work.y)
    return net.module_


def default(work: Work) -> nn.Module:
    return fit(work)


def stripped(work: Work) -> nn.Module:
    return fit(work, callbacks="disable", verbose=0)


DEFAULT, STRIPPED = default, stripped

"""thalweg through its public face: monitors on, records on disk, validation in each epoch."""

import tempfile

from torch import nn
from work import Work

import thalweg as tw


def train(work: Work, **changes: object) -> nn.Module:
    with tempfile.TemporaryDirectory() as folder:
        experiment = tw.Experiment(
            work.model,
            train=(work.x, work.y),
            validation=work.held,
            test=False,
            loss="cross_entropy",
            directory=folder,
        )
        sgd, adam = tw.optimizers.SGD(lr=work.rate, momentum=work.momentum), tw.optimizers.Adam(lr=work.rate)
        optimizer = adam if work.adam else sgd
        plan = tw.Plan.plain(optimizer=optimizer, epochs=work.epochs, batch_size=work.batch_size, **changes)
        return experiment.train(plan, listeners=()).network


def plain(work: Work) -> nn.Module:
    """`Plan.plain`: the bare loop to the last bit."""
    return train(work)


def chosen(work: Work) -> nn.Module:
    """With what the automatic plan decides about a step: the layout of images in memory."""
    return train(work, memory_format="auto")

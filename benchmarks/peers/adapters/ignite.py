"""Ignite: the supervised trainer; by default with the loss logged every 100 iterations, as its guide starts."""

from ignite.engine import Engine, Events, create_supervised_trainer
from torch import nn
from torch.nn import functional as F
from work import Work


def default(work: Work) -> nn.Module:
    trainer = create_supervised_trainer(work.model, work.optimizer(), F.cross_entropy)

    @trainer.on(Events.ITERATION_COMPLETED(every=100))
    def log(engine: Engine) -> None:
        print(f"Epoch[{engine.state.epoch}], Iter[{engine.state.iteration}] Loss: {engine.state.output:.2f}")

    trainer.run(work.loader(), max_epochs=work.epochs)
    return work.model


def stripped(work: Work) -> nn.Module:
    create_supervised_trainer(work.model, work.optimizer(), F.cross_entropy).run(work.loader(), max_epochs=work.epochs)
    return work.model


DEFAULT, STRIPPED = default, stripped

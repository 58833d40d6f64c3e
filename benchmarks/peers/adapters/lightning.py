"""Lightning: the Trainer as its guide starts, and in its own benchmark mode (`barebones`)."""

import lightning as L
from torch import nn
from torch.nn import functional as F
from work import Work


class Module(L.LightningModule):
    def __init__(self, work: Work, log: bool) -> None:
        super().__init__()
        self.model, self.optimizer, self.log_loss = work.model, work.optimizer(), log

    def training_step(self, batch, batch_index):
        x, y = batch
        loss = F.cross_entropy(self.model(x), y)
        if self.log_loss:
            self.log("train_loss", loss)
        return loss

    def configure_optimizers(self):
        return self.optimizer


def default(work: Work) -> nn.Module:
    trainer = L.Trainer(max_epochs=work.epochs, accelerator="cpu", devices=1)
    trainer.fit(Module(work, log=True), work.loader())
    return work.model


def stripped(work: Work) -> nn.Module:
    trainer = L.Trainer(max_epochs=work.epochs, accelerator="cpu", devices=1, barebones=True)
    trainer.fit(Module(work, log=False), work.loader())
    return work.model


DEFAULT, STRIPPED = default, stripped

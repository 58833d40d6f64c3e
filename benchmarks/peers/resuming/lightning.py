"""Lightning: `ModelCheckpoint`, then `fit(ckpt_path=...)`."""

import lightning as L
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor
from torch.nn import functional as F

from resuming.job import EPOCHS, Job, adam, loader, state


class Module(L.LightningModule):
    def __init__(self, job: Job) -> None:
        super().__init__()
        self.model = job.network()

    def training_step(self, batch, batch_index):
        x, y = batch
        return F.cross_entropy(self.model(x), y)

    def configure_optimizers(self):
        return adam(self)


def run(job: Job) -> list[Tensor]:
    L.seed_everything(0)
    often = {"every_n_train_steps": job.every} if job.when == "mid" else {"every_n_epochs": 1}
    saving = ModelCheckpoint(dirpath=job.folder, filename="{step}", save_top_k=-1, **often)
    module = Module(job)
    trainer = L.Trainer(
        max_epochs=EPOCHS, accelerator="cpu", callbacks=[saving], default_root_dir=job.folder, logger=False
    )
    trainer.fit(module, loader(), ckpt_path=job.folder / f"step={job.every}.ckpt" if job.resumed else None)
    return state(module.model)

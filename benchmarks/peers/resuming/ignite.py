"""Ignite: `DeterministicEngine`, `Checkpoint` of trainer, model and optimizer, then `load_objects`."""

import torch
from ignite.engine import DeterministicEngine, Events
from ignite.handlers import Checkpoint, DiskSaver
from ignite.utils import manual_seed
from torch import Tensor
from torch.nn import functional as F

from resuming.job import EPOCHS, Job, adam, loader, state


def run(job: Job) -> list[Tensor]:
    manual_seed(0)
    model = job.network()
    optimizer = adam(model)

    def update(engine, batch):
        model.train()
        optimizer.zero_grad()
        loss = F.cross_entropy(model(batch[0]), batch[1])
        loss.backward()
        optimizer.step()
        return loss.item()

    trainer = DeterministicEngine(update)
    saved = {"trainer": trainer, "model": model, "optimizer": optimizer}
    saving = Checkpoint(saved, DiskSaver(str(job.folder), require_empty=False), n_saved=None)
    trainer.add_event_handler(Events.ITERATION_COMPLETED(every=job.every), saving)
    if job.resumed:
        path = job.folder / f"checkpoint_{job.every}.pt"
        Checkpoint.load_objects(to_load=saved, checkpoint=torch.load(path, weights_only=False))
    trainer.run(loader(), max_epochs=EPOCHS)
    return state(model)

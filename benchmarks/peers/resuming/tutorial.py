"""The PyTorch tutorial "Saving and loading a general checkpoint": model, optimizer and epoch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from resuming.job import EPOCHS, Job, adam, loader, state

EPOCHS_ONLY = True


def run(job: Job) -> list[Tensor]:
    torch.manual_seed(0)
    model = job.network()
    optimizer, path, start = adam(model), job.folder / "checkpoint.pt", 0
    if job.resumed:
        checkpoint = torch.load(path)
        model.load_state_dict(checkpoint["model"])
        optimizer.load_state_dict(checkpoint["optimizer"])
        start = checkpoint["epoch"] + 1
    rows = loader()
    for epoch in range(start, EPOCHS):
        for x, y in rows:
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
        checkpoint = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": epoch}
        torch.save(checkpoint, path)
    return state(model)

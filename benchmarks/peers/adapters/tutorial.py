"""The loop of the PyTorch tutorial; and the one that a person writes who knows what is slow in it."""

from torch import nn
from torch.nn import functional as F
from work import Work


def train(work: Work) -> nn.Module:
    model, loader, optimizer = work.model, work.loader(), work.optimizer()
    model.train()
    for _ in range(work.epochs):
        for x, y in loader:
            optimizer.zero_grad()
            loss = F.cross_entropy(model(x), y)
            loss.backward()
            optimizer.step()
    return model


DEFAULT, STRIPPED = train, train

"""The average of the weights along a training, ready to be evaluated: batch norm's estimates are measured for it."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import islice

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Inputs, call
from thalweg.parts.averaging import Averaging
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.evaluation import evaluating

RECALIBRATION_BATCHES = 50  # a mean of 50 batches' variances is within some percent of all rows'


class Average:
    """A copy of the network that holds the averaged weights.

    Args:
        network: the network that is trained; it is read, never written.
        averaging: how much of the newest weights enters after each update.
    """

    def __init__(self, network: nn.Module, averaging: Averaging) -> None:
        self.source, self.averaging, self.network = network, averaging, clone(network)
        pairs = zip(self.network.parameters(), network.parameters(), strict=True)
        moving = [(own.detach(), new.detach()) for own, new in pairs if new.requires_grad]
        self.own, self.new = [own for own, _ in moving], [new for _, new in moving]

    def update(self, update: int, num_steps: int) -> None:
        """Takes the weights after update number `update` in."""
        share = self.averaging.share(update, num_steps)
        if share:
            torch._foreach_lerp_(self.own, self.new, share)

    def settle(self, batches: Iterable[tuple[Inputs, Tensor]]) -> nn.Module:
        """The averaged network, batch norm's estimates measured for it on training batches, other buffers copied.

        The training's network and the random generators are left alone; dropout is off, as it is in use.
        """
        set_tensors(self.network, dict(self.source.named_buffers()))
        for own, trained in zip(self.network.modules(), self.source.modules(), strict=True):
            own.training = trained.training
        recalibrate(self.network, batches)
        return self.network

    def state_dict(self) -> dict[str, Tensor]:
        return {f"average.{name}": value for name, value in tensors(self.network).items()}


def recalibrate(network: nn.Module, batches: Iterable[tuple[Inputs, Tensor]]) -> None:
    """Measures the running mean and variance of every batch norm anew, as means over the batches (L16).

    Norms in evaluation mode, such as frozen pretrained ones, keep theirs.

    >>> network = nn.Sequential(nn.BatchNorm1d(1))
    >>> recalibrate(network, [(torch.tensor([[1.0], [3.0]]), torch.zeros(2))])
    >>> network[0].running_mean.item(), network[0].running_var.item()
    (2.0, 2.0)
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    if not norms:
        return
    with evaluating(network), counting_anew(norms):
        for inputs, *_ in islice(batches, RECALIBRATION_BATCHES):
            call(network, inputs)


@contextmanager
def counting_anew(norms: list[_BatchNorm]) -> Iterator[None]:
    """Within it the norms are in training mode and their estimates are plain means, from nothing."""
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # torch's word for a cumulative mean
        norm.train()
    try:
        yield
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum

"""The average of the weights along a training, ready to be evaluated: batch norm's estimates are measured for it."""

from collections.abc import Iterable
from itertools import islice

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs
from thalweg.parts.averaging import Averaging
from thalweg.parts.normalization.recalibration import recalibrate
from thalweg.train.clone import clone, set_tensors, tensors

RECALIBRATION_BATCHES = 50  # the variance of 50 batches' rows is within some percent of all rows'


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
        recalibrate(self.network, islice(batches, RECALIBRATION_BATCHES))
        return self.network

    def state_dict(self) -> dict[str, Tensor]:
        return {f"average.{name}": value for name, value in tensors(self.network).items()}

"""The best epoch of a training so far, and its weights: in memory while they are small, else on the disk."""

import math
from pathlib import Path

from torch import Tensor, nn

from thalweg.train.checkpoint import load_checkpoint, save_checkpoint
from thalweg.train.clone import set_tensors, tensors

KEPT_BYTES = 32 * 2**20  # that a copy of a training's state may take in memory; larger ones go to the disk at once
NAME = "best"


def size_of(values: dict[str, Tensor]) -> int:
    return sum(value.numel() * value.element_size() for value in values.values())


class Best:
    """The best epoch by the selection measure. `epoch` counts from 1; it is 0 while there is none.

    Args:
        folder: of the checkpoints.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.epoch, self.step, self.value = 0, 0, math.nan
        self._weights: dict[str, Tensor] = {}  # those that are not on the disk yet

    def offer(self, network: nn.Module, *, epoch: int, step: int, value: float, higher_is_better: bool) -> bool:
        """Keeps the network's weights where `value` is at least as good as the best so far; whether it was.

        A tie goes to the later epoch: at the lower rate the weights have settled further.
        """
        worse = value < self.value if higher_is_better else value > self.value
        if math.isnan(value) or (self.epoch and worse):
            return False
        self.epoch, self.step, self.value = epoch, step, value
        found = tensors(network)
        if size_of(found) <= KEPT_BYTES:
            self._weights = {name: tensor.clone() for name, tensor in found.items()}
        else:
            self._write(found)
        return True

    def save(self) -> None:
        """Writes the weights where they are not on the disk yet."""
        if self._weights:
            self._write(self._weights)
            self._weights = {}

    def _write(self, weights: dict[str, Tensor]) -> None:
        save_checkpoint(self.folder, NAME, weights, {"epoch": self.epoch, "step": self.step, "value": self.value})

    def restore(self) -> None:
        """Goes back to what is on the disk."""
        _, facts = load_checkpoint(self.folder, NAME)
        self.epoch, self.step, self.value = int(facts["epoch"]), int(facts["step"]), float(facts["value"])

    def put_into(self, network: nn.Module) -> None:
        """Gives the network the best weights."""
        set_tensors(network, self._weights or load_checkpoint(self.folder, NAME)[0])

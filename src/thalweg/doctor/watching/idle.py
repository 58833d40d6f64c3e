"""Passes without gradient, which is how rows are evaluated: the modes they ran in."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thalweg.doctor.watching.sample import ModeReader, Modes
from thalweg.measure.calls import first_tensor

MOST = 16  # passes that are looked at: then the hook, which training passes meet too, is taken off


class Idle:
    """Notes the modes of the first passes without gradient.

    Args:
        network: as the loop calls it.
        modes: what reads them.
        steps: of the loop, so far.
    """

    def __init__(self, network: nn.Module, modes: ModeReader, steps: Callable[[], int]) -> None:
        self.network, self._modes, self._steps = network, modes, steps
        self.modes: list[Modes] = []
        self.sizes: list[int] = []
        self.same = False  # whether they got the same inputs twice without a step between: averaged dropout
        self._last: tuple[int, Tensor] | None = None  # steps before the last pass, and its inputs
        self._handle: RemovableHandle | None = None

    def start(self) -> None:
        self._handle = self.network.register_forward_pre_hook(self._see)

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = self._last = None

    def _see(self, network: nn.Module, args: tuple[object, ...]) -> None:
        if torch.is_grad_enabled():
            return
        with torch._C.DisableTorchFunction():
            self.modes.append(self._modes.read())
            given = first_tensor(args)
            if given is not None:
                self.sizes.append(len(given) if given.dim() else 1)
                before, last = self._last or (-1, given)
                same = (
                    before == self._steps() and last.shape == given.shape and torch.equal(last, given)
                )  # synchronizes
                self.same = self.same or same
                self._last = (self._steps(), given)
        if len(self.modes) >= MOST:
            self.stop()

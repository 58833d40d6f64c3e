"""Passes without gradient, which is how rows are evaluated: the modes they ran in."""

import random
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thalweg.doctor.watching.sample import ModeReader, Modes
from thalweg.measure.calls import first_tensor

MOST = 16  # passes that are looked at: then the hook, which training passes meet too, is taken off
HOOK = 12e-6  # seconds that a hook costs a training pass (benchmarks/watching.py)
FIRST, SPAN = 256, 32  # steps at the start, and later at a time, in which it is on: the epochs of small data are seen
NEVER = 2**62


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
        self.turn = NEVER  # step at which `plan` is due
        self._last: tuple[int, Tensor] | None = None  # steps before the last pass, and its inputs
        self._handle: RemovableHandle | None = None
        self._draw = random.Random(0)  # spans at even distances might never meet an evaluation

    def start(self) -> None:
        self._put_on()
        self.turn = FIRST

    def stop(self) -> None:
        self._take_off()
        self._last, self.turn = None, NEVER

    def plan(self, share: float) -> None:
        """Puts the hook on and off by turns; for good once passes were seen, so that it is over soon.

        Args:
            share: of a step's time that the hook may take, over what it takes.
        """
        if self.modes or share >= 1:
            self._put_on()
            self.turn = NEVER
        elif self._handle is None:
            self._put_on()
            self.turn = self._steps() + SPAN
        else:
            self._take_off()
            self.turn = self._steps() + max(1, round(SPAN * (1 / max(share, 1e-3) - 1) * self._draw.uniform(0.5, 1.5)))

    def _put_on(self) -> None:
        if self._handle is None:
            self._handle = self.network.register_forward_pre_hook(self._see)

    def _take_off(self) -> None:
        if self._handle is not None:
            self._handle.remove()
            self._handle = None

    def _see(self, network: nn.Module, args: tuple[object, ...]) -> None:
        if torch.is_grad_enabled():
            return
        with torch._C.DisableTorchFunction():
            self.modes.append(self._modes.read())
            given = first_tensor(args)
            if given is not None:
                self.sizes.append(len(given) if given.dim() else 1)
                before, last = self._last or (-1, given)
                alike = before == self._steps() and last.shape == given.shape
                self.same = self.same or (alike and torch.equal(last, given))  # synchronizes
                self._last = (self._steps(), given)
        if len(self.modes) >= MOST:
            self.stop()

"""A schedule as a scheduler of torch, for loops of one's own."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from thalweg.parts.schedules.schedule import Measured, Schedule


class TorchScheduler(LRScheduler):
    """Sets rate and momentum of a torch optimizer by a schedule; `Schedule.build` makes it.

    Args:
        optimizer: torch's; the rate of each of its groups is that group's peak.
        schedule: what it follows.
        num_steps: calls of `step` in the whole training, one per update. After them the last rate stays.

    >>> import torch
    >>> from thalweg.parts.schedules import Cosine
    >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    >>> scheduler = Cosine().build(optimizer, num_steps=4)
    >>> for _ in range(4):
    ...     print(round(scheduler.get_last_lr()[0], 4), end=" ")
    ...     optimizer.step()
    ...     scheduler.step()
    0.1 0.0854 0.05 0.0146
    """

    def __init__(self, optimizer: Optimizer, schedule: Schedule, *, num_steps: int) -> None:
        self.schedule, self.informed, self.num_steps = schedule, schedule, num_steps
        self.history: list[tuple[int, float, float]] = []
        super().__init__(optimizer)

    def get_lr(self) -> list[Any]:
        step = min(self.last_epoch, self.num_steps - 1)
        momentum = self.informed.momentum(step, self.num_steps)
        for group in self.optimizer.param_groups if momentum is not None else ():
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            else:
                group["momentum"] = momentum
        factor = self.informed.factor(step, self.num_steps)
        return [base * factor for base in self.base_lrs]

    def measured(self, *, validation_loss: float, train_loss: float = float("nan")) -> None:
        """Tells what an epoch's end has shown, before its last `step`; a `Plateau` needs it."""
        self.history.append((self.last_epoch + 1, train_loss, validation_loss))
        self._inform()

    def _inform(self) -> None:
        self.informed = self.schedule.informed([Measured(*measured) for measured in self.history], self.num_steps)

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs: plain numbers; the schedule is given again when it is built."""
        return {name: value for name, value in super().state_dict().items() if name not in ("schedule", "informed")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._inform()

"""The precision of the forward pass: float32, or half precision under autocast; weights and updates keep theirs."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

HALF = {"bf16": torch.bfloat16, "fp16": torch.float16}
FIRST_SCALE, GROWTH, BACKOFF, GROWTH_INTERVAL = 2.0**16, 2.0, 0.5, 2000  # those of torch.amp.GradScaler


def autocast(precision: str, device: torch.device) -> AbstractContextManager[object]:
    """The context of a forward pass and its loss. Weights are cast anew in each: they have changed since."""
    if precision not in HALF:
        return nullcontext()
    return torch.autocast(device.type, HALF[precision], cache_enabled=True)


class LossScale:
    """Keeps small gradients from vanishing in float16: the loss is multiplied, the gradients divided again.

    The factor doubles after 2,000 steps without overflow and halves at one, whose update is left out. As
    `torch.amp.GradScaler`, with the state as tensors that a checkpoint holds.
    """

    def __init__(self, device: torch.device) -> None:
        self.scale = torch.full((), FIRST_SCALE, device=device)
        self.steps_without = torch.zeros((), dtype=torch.int32, device=device)

    def divide(self, gradients: list[Tensor]) -> bool:
        """Divides the gradients in place; False where they overflowed and the update must be left out. Synchronizes."""
        overflow = torch.zeros((), device=self.scale.device)
        torch._amp_foreach_non_finite_check_and_unscale_(gradients, overflow, self.scale.double().reciprocal().float())
        torch._amp_update_scale_(self.scale, self.steps_without, overflow, GROWTH, BACKOFF, GROWTH_INTERVAL)
        return not bool(overflow)  # synchronizes

    def state_dict(self) -> dict[str, Tensor]:
        return {"loss_scale.scale": self.scale, "loss_scale.steps_without": self.steps_without}

"""The logarithm of what is skewed, with its sign."""

import torch
from torch import Tensor

from thalweg.parts.preprocessing.modules.fitted import Fitted


class SignedLog(Fitted):
    """y = sign(x) · log(1 + |x| / unit) where chosen, else x.

    Args:
        chosen: bool, broadcasts against a row of x.
        unit: the size below which y is nearly x / unit.
    """

    chosen: Tensor
    unit: Tensor

    def __init__(self, chosen: Tensor, unit: Tensor) -> None:
        super().__init__()
        self.register_buffer("chosen", chosen)
        self.register_buffer("unit", unit.float())

    def prepare(self, x: Tensor) -> Tensor:
        return torch.where(self.chosen, signed_log(x, self.unit.to(x.dtype)), x)

    def undo(self, y: Tensor) -> Tensor:
        return torch.where(self.chosen, y.sign() * y.abs().expm1() * self.unit.to(y.dtype), y)

    def told(self, names: tuple[str, ...] = ()) -> str:
        return columns_text(self.chosen, "the logarithm", names)


def signed_log(x: Tensor, unit: Tensor | float = 1.0) -> Tensor:
    """sign(x) · log(1 + |x| / unit).

    >>> signed_log(torch.tensor([0.0, -1.0, 1.0])).tolist()
    [0.0, -0.693..., 0.693...]
    """
    return x.sign() * (x.abs() / unit).log1p()


def columns_text(chosen: Tensor, what: str, names: tuple[str, ...] = ()) -> str:
    """Which columns something was done to: `"2 of 5 columns got the logarithm: 0, 3"`."""
    places = chosen.flatten().nonzero().flatten().tolist()
    if chosen.numel() == 1:
        return f"all columns got {what}" if places else f"no column got {what}: none is skewed"
    if not places:
        return f"none of {chosen.numel()} columns got {what}: none is skewed"
    shown = ", ".join(names[i] if names else str(i) for i in places[:8]) + (", ..." if len(places) > 8 else "")
    return f"{len(places)} of {chosen.numel()} columns got {what}: {shown}"

"""Dropout of single numbers, scaled in training or at inference (L30, L31)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError


class Dropout(nn.Dropout):
    r"""Sets each number to 0 with probability p while training, and keeps its expectation (L30, L31).

    With m = 1 for a number that stays, which has the probability 1 − p, and 0 else:

        training:   y = m x / (1 − p)        inference:  y = x              (scale_at="training", torch's)
        training:   y = m x                  inference:  y = (1 − p) x      (scale_at="inference", the original form)

    In either form the expectation in training is the value at inference: x, or (1 − p) x. The two differ by the factor
    1 / (1 − p) throughout, so that a layer that follows learns weights as much smaller. After a linear layer the mean
    over all 2ⁿ networks is exactly the one network at inference; through a nonlinearity it is an approximation, which
    `monte_carlo` replaces by an average.

    Args:
        p: probability of being dropped, from 0 to 1; 0.5 is usual for wide hidden layers, 0.1 to 0.2 for inputs.
        scale_at: "training" or "inference".
        inplace: whether to overwrite the input, as torch has it; only with scale_at="training".

    Raises:
        UsageError: for a `scale_at` of another name, or with `inplace`.
        ValueError: for a p out of range, from torch.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> x = torch.ones(6)
    >>> Dropout(0.5)(x), Dropout(0.5, scale_at="inference").eval()(x)
    (tensor([0., 0., 2., 0., 0., 0.]), tensor([0.5000, 0.5000, 0.5000, 0.5000, 0.5000, 0.5000]))

    Source: Hinton et al. 2012; Srivastava et al. 2014, "Dropout". With scale_at="training" it is `torch.nn.Dropout`,
    bit by bit; torch has no other form. On a CPU both drop the same numbers from the same seed.
    """

    def __init__(
        self, p: float = 0.5, *, scale_at: Literal["training", "inference"] = "training", inplace: bool = False
    ) -> None:
        super().__init__(p, inplace)
        if scale_at not in ("training", "inference"):
            raise UsageError(f"Dropout got scale_at={scale_at!r}; allowed: 'training' or 'inference'.")
        if inplace and scale_at == "inference":
            raise UsageError("Dropout got inplace=True with scale_at='inference'; allowed: inplace=False.")
        self.scale_at = scale_at

    def forward(self, x: Tensor) -> Tensor:
        if self.scale_at == "training":
            return F.dropout(x, self.p, self.training, self.inplace)
        if self.training:
            return x * torch.bernoulli(x.detach(), 1 - self.p)
        return x * (1 - self.p)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, scale_at={self.scale_at!r}"

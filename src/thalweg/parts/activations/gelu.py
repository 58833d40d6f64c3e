"""Gaussian error linear unit (L07)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class GELU(Activation):
    r"""The number times the probability that a standard-normal one is smaller; usual in transformers (L07).

        φ(x) = x Φ(x) = x/2 (1 + erf(x/√2))
        φ(x) ≈ x/2 (1 + tanh(√(2/π) (x + 0.044715 x³)))        (approximate="tanh")

    Args:
        approximate: `"none"` is exact; `"tanh"` is what GPT-2 was trained with, within 5e-4 of it.

    Raises:
        UsageError: for another word.

    >>> import torch
    >>> GELU().function(torch.tensor([-1.0, 0.0, 1.0]))
    tensor([-0.1587,  0.0000,  0.8413])

    Source: Hendrycks, Gimpel 2016, "Gaussian error linear units". As `torch.nn.GELU`.
    """

    approximate: Literal["none", "tanh"] = "none"

    def __post_init__(self) -> None:
        self._check("approximate", self.approximate in ("none", "tanh"), "'none' or 'tanh'")

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.gelu(x, approximate=self.approximate)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        return nn.GELU(self.approximate)

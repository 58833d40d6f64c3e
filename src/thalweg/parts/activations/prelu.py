"""Parametric rectified linear unit: the slope below 0 is learned (L06)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import UsageError
from thalweg.parts.activations.activation import Activation, is_finite

if TYPE_CHECKING:
    from torch import Tensor, nn


@dataclass(frozen=True, kw_only=True)
class PReLU(Activation):
    r"""A ReLU whose slope below 0 is learned, one for the layer or one per channel (L06).

        φ(x) = x for x ≥ 0, else αx;    ∂φ/∂α = x for x < 0, else 0

    Args:
        slope: α before the first step, any finite number. The default, 0.25, is the source's and torch's: far enough
            from 0 that gradients pass, and from 1 that the layer is not linear.
        shared: one slope for the whole layer, as torch's default; False gives each channel its own, and `build` needs
            their number.

    Raises:
        UsageError: for another slope, or for `build` without the channels that it needs.

    >>> PReLU().build(), PReLU(shared=False).build(channels=16)
    (PReLU(num_parameters=1), PReLU(num_parameters=16))

    Source: He et al. 2015, "Delving deep into rectifiers". As `torch.nn.PReLU`; torch calls the slope `init`. The
    optimizers here decay no slope (it is a vector); torch's do, and the source advises against it. `function` is φ at
    the first slope.
    """

    slope: float = 0.25
    shared: bool = True

    def __post_init__(self) -> None:
        self._check("slope", is_finite(self.slope), "a finite number")
        self._check("shared", isinstance(self.shared, bool), "True (one slope) or False (one per channel)")

    @property
    def kinks(self) -> tuple[float, ...]:
        return (0.0,)

    def function(self, x: "Tensor") -> "Tensor":
        from torch.nn import functional

        return functional.leaky_relu(x, self.slope)

    def build(self, channels: int | None = None) -> "nn.Module":
        from torch import nn

        if self.shared:
            return nn.PReLU(init=self.slope)
        if channels is None:
            raise UsageError("PReLU(shared=False).build() needs the number of channels: build(channels=64).")
        return nn.PReLU(channels, init=self.slope)

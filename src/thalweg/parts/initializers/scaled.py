"""What Xavier, He and LeCun have in common: a deviation of gain / √fan, and a distribution."""

from dataclasses import dataclass
from typing import Any, ClassVar

from thalweg.parts.initializers.distributions import DISTRIBUTIONS, Distribution, draw_
from thalweg.parts.initializers.initializer import Initializer, Role, Scale


@dataclass(frozen=True, kw_only=True)
class Scaled(Initializer):
    """A deviation that follows from the fans of the layer and, but for LeCun, the activation after it.

    Recurrent weights are orthogonal per gate, as is usual.

    Args:
        distribution: `"normal"`, `"uniform"`, or `"truncated_normal"`, cut off at two deviations; all of one deviation.
    """

    distribution: Distribution = "normal"
    own_gain: ClassVar[float] = 1.0  # where nobody says which activation follows

    def __post_init__(self) -> None:
        allowed = " or ".join(map(repr, DISTRIBUTIONS))
        self._check("distribution", self.distribution in DISTRIBUTIONS, allowed)

    def fan(self, scale: Scale) -> float:
        """What the variance is divided by."""
        return scale.fan_in

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        gain = self.own_gain if scale.gain is None else scale.gain
        return gain / float(self.fan(scale) ** 0.5)

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        draw_(tensor, self.distribution, self.deviation(scale, tuple(tensor.shape), groups), generator)

    def for_role(self, role: Role) -> Initializer:
        from thalweg.parts.initializers.orthogonal import Orthogonal

        return Orthogonal() if role == "recurrent" else self

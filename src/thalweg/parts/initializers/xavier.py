"""Xavier, also called Glorot: a compromise between the signal forward and the gradient backward (L11)."""

from dataclasses import dataclass

from thalweg.parts.initializers.distributions import Distribution
from thalweg.parts.initializers.initializer import Scale
from thalweg.parts.initializers.scaled import Scaled


@dataclass(frozen=True, kw_only=True)
class Xavier(Scaled):
    """A variance between those that keep the signal forward and the gradient backward (L11). Also `Glorot`.

        W ~ U(±gain · √(6 / (fan_in + fan_out)))    or    N(0, gain² · 2 / (fan_in + fan_out))

    The gain is that of the activation that comes next; where fans differ from layer to layer, neither is kept exactly.

    Args:
        distribution: `"uniform"`, the lecture's form; `"normal"` or `"truncated_normal"`, of the same deviation.

    Raises:
        UsageError: for another word.

    >>> import torch
    >>> weight = Xavier().fill_(torch.empty(300, 100), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.abs().max()), 3), round((6 / 400) ** 0.5, 3)
    (0.122, 0.122)

    Source: Glorot, Bengio 2010, "Understanding the difficulty of training deep feedforward neural networks". As
    `torch.nn.init.xavier_uniform_` and `xavier_normal_`; there the gain is 1 unless named, as it is in the source.
    """

    distribution: Distribution = "uniform"

    def fan(self, scale: Scale) -> float:
        return (scale.fan_in + scale.fan_out) / 2

"""The rate falls along a power of what is left of the training (L27)."""

from dataclasses import dataclass

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.schedules.schedule import Length, Schedule, period_of


@dataclass(frozen=True, kw_only=True)
class Polynomial(Schedule):
    """Falls along a power of what is left: of the training, or of its first steps (L27).

    With T = over · N, or `over` steps where it is an integer; afterwards the rate stays:

        factor(t) = f + (1 − f) (1 − min(t / T, 1))^power

    Args:
        power: p, above 0: 1 is a line, 2 falls quickly first, 0.9 is usual for segmentation.
        final: f, share of the peak at the end, from 0 to 1.
        over: how long it falls: a share of the training, or steps.

    Raises:
        UsageError: for a value out of range.

    >>> [Polynomial(power=2).factor(step, 4) for step in range(4)]
    [1.0, 0.5625, 0.25, 0.0625]

    Source: Chen et al. 2018, "DeepLab". Equals torch's `PolynomialLR` (total_iters T, power), which always falls to 0;
    its default of 5 iterations leaves a rate of 0 for the rest, the default here is the whole training.
    """

    power: float = 1.0
    final: float = 0.0
    over: Length = 1.0

    def __post_init__(self) -> None:
        self._check("power", in_range(self.power, 0) and self.power > 0, "a number above 0")
        self._check_share("final")
        self._check_length("over")

    def check(self, num_steps: int) -> None:
        self._require_fit("over", self.over, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        left = 1 - min(step / period_of(self.over, num_steps), 1.0)
        return float(self.final + (1 - self.final) * left**self.power)

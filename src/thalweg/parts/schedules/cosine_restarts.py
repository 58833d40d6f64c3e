"""Half cosines down, each begun anew at the peak (L28)."""

from dataclasses import dataclass

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.schedules.schedule import Length, Schedule, half_cosine, period_of


@dataclass(frozen=True, kw_only=True)
class CosineRestarts(Schedule):
    """Falls along half a cosine, starts again at the peak, and falls longer each time: SGDR (L28).

    Cycle i has C_i = C · mult^i steps, C = first · N, or `first` steps where it is an integer. With u the steps since
    the begin of the cycle that t is in:

        factor(t) = f + (1 − f) (1 + cos(π u / C_i)) / 2

    Args:
        first: length of the first cycle: a share of the training, or steps. A seventh makes, with `mult` 2, three
            cycles of 1/7, 2/7 and 4/7: the training ends at the lowest rate, as it should.
        mult: how much longer each cycle is than the one before, at least 1.
        final: f, share of the peak at the end of a cycle, from 0 to 1.

    Raises:
        UsageError: for a value out of range.

    >>> [round(CosineRestarts(first=2, mult=2).factor(step, 6), 4) for step in range(6)]
    [1.0, 0.5, 1.0, 0.8536, 0.5, 0.1464]

    Source: Loshchilov, Hutter 2017, "SGDR: Stochastic Gradient Descent with Warm Restarts". Equals torch's
    `CosineAnnealingWarmRestarts` (T_0 C, T_mult, eta_min) with one call per step; torch takes whole numbers only.
    """

    first: Length = 1 / 7
    mult: float = 2
    final: float = 0.0

    def __post_init__(self) -> None:
        self._check_length("first")
        self._check("mult", in_range(self.mult, 1), "a number of at least 1")
        self._check_share("final")

    def check(self, num_steps: int) -> None:
        self._require_fit("first", self.first, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        length: float = period_of(self.first, num_steps)
        # Half a step: a cycle begins at the step that is nearest, also where its begin was rounded up.
        if self.mult == 1:
            since = step - int((step + 0.5) / length) * length
        else:
            since = step
            while since + 0.5 >= length:
                since -= length
                length *= self.mult
        return half_cosine(1.0, self.final, max(since, 0) / length)

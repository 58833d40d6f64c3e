"""The rate falls along half a cosine (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Length, Schedule, half_cosine, period_of


@dataclass(frozen=True, kw_only=True)
class Cosine(Schedule):
    """Falls along half a cosine: slowly first, quickly in the middle, slowly at the end (L27).

    With T = over · N, or `over` steps where it is an integer; afterwards the rate stays:

        factor(t) = f + (1 − f) (1 + cos(π min(t / T, 1))) / 2

    Args:
        final: f, share of the peak at the end, from 0 to 1.
        over: how long it falls: a share of the training, or steps.

    Raises:
        UsageError: for a value out of range.

    >>> [round(Cosine().factor(step, 4), 4) for step in range(4)]
    [1.0, 0.8536, 0.5, 0.1464]

    Source: Loshchilov, Hutter 2017, "SGDR", one cycle. Equals torch's `CosineAnnealingLR` (T_max T, eta_min), which
    rises again after T_max; this stays. `WarmupCosine` rises first.
    """

    final: float = 0.0
    over: Length = 1.0

    def __post_init__(self) -> None:
        self._check_share("final")
        self._check_length("over")

    def check(self, num_steps: int) -> None:
        self._require_fit("over", self.over, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        return half_cosine(1.0, self.final, step / period_of(self.over, num_steps))

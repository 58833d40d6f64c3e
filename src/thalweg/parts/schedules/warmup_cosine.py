"""Linear warm-up, then a cosine down (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Length, Schedule, half_cosine
from thalweg.parts.schedules.warmup import rising_steps


@dataclass(frozen=True, kw_only=True)
class WarmupCosine(Schedule):
    """Rises in a line to the peak, then falls along half a cosine (L27).

    With N steps, of which W = round(warmup · N), or `warmup` where it is an integer, warm up:

        factor(t) = (t + 1) / (W + 1)                                        t < W
        factor(t) = f + (1 − f) (1 + cos(π (t − W) / (N − W))) / 2           t ≥ W

    No step is wasted at rate 0: the line starts one notch above it, and `final` would be reached at step N, one after
    the last. It is `Warmup(then=Cosine())` in one, and what a plan takes by itself.

    Args:
        warmup: a share of the training, below 1, or steps. A short one lets momentum and second moments settle before
            the full rate.
        final: f, share of the peak at the end, from 0 to 1.

    Raises:
        UsageError: for a value out of range; before the training where `warmup` is as many steps or more.

    >>> [round(WarmupCosine(warmup=0.2).factor(step, 10), 3) for step in (0, 1, 2, 6, 9)]
    [0.333, 0.667, 1.0, 0.5, 0.038]

    Source: Loshchilov, Hutter 2017, "SGDR", one cycle; Goyal et al. 2017 for the warm-up. Equals torch's `LinearLR`
    (start_factor 1/(W + 1), W iterations) followed by `CosineAnnealingLR` (T_max N − W).
    """

    warmup: Length = 0.05
    final: float = 0.0

    def __post_init__(self) -> None:
        self._check_length("warmup", zero=True)
        self._check_share("final")

    def check(self, num_steps: int) -> None:
        self._require_fit("warmup", self.warmup, num_steps, left=1)

    def warmup_steps(self, num_steps: int) -> int:
        return rising_steps(self.warmup, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        rising = rising_steps(self.warmup, num_steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        return half_cosine(1.0, self.final, (step - rising) / (num_steps - rising))

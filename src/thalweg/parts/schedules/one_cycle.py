"""One cycle: up to the peak and down again, far below the start (L28)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Schedule, half_cosine


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Rises along half a cosine from `initial` to the peak, then falls along another to `final` (L28).

    With N steps and P = warmup · N − 1, which need not be whole:

        factor(t) = half cosine from initial to 1 at t / P                      t ≤ P
        factor(t) = half cosine from 1 to final at (t − P) / (N − 1 − P)        t > P

    Args:
        warmup: share of the steps that rise, from 0 to below 1.
        initial: share of the peak at step 0, from 0 to 1.
        final: share of the peak at the last step, from 0 to 1.

    Raises:
        UsageError: for a share out of range.

    >>> [round(OneCycle().factor(step, 10), 4) for step in (0, 1, 2, 9)]
    [0.04, 0.52, 1.0, 0.0001]

    Source: Smith, Topin 2019, "Super-Convergence". As torch's `OneCycleLR` with `anneal_strategy="cos"`, where
    `pct_start` is warmup, `div_factor` 1 / initial and `final_div_factor` initial / final: torch counts the last from
    the initial rate, and its default of 1e4 is a `final` of 4e-6. Unlike torch's default, momentum is not cycled.
    """

    warmup: float = 0.3
    initial: float = 0.04
    final: float = 1e-4

    def __post_init__(self) -> None:
        self._check_share("warmup", below_one=True)
        self._check_share("initial")
        self._check_share("final")

    def factor(self, step: int, num_steps: int) -> float:
        peak = self.warmup * num_steps - 1
        if step < peak:
            return half_cosine(self.initial, 1.0, step / peak)
        return half_cosine(1.0, self.final, (step - peak) / (num_steps - 1 - peak))

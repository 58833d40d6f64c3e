"""One cycle: up to the peak and down again, far below the start (L28)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import (
    MOMENTA,
    Length,
    Schedule,
    are_momenta,
    half_cosine,
)
from thalweg.parts.schedules.warmup import rising_steps

FORMS = ("cosine", "linear")


@dataclass(frozen=True, kw_only=True)
class OneCycle(Schedule):
    """Rises from `initial` to the peak, then falls to `final`, along half a cosine each (L28).

    With N steps and P = warmup · N − 1, which need not be whole, or `warmup` − 1 where it is an integer:

        factor(t) = half cosine from initial to 1 at t / P                      t ≤ P
        factor(t) = half cosine from 1 to final at (t − P) / (N − 1 − P)        t > P

    The momentum, where it is cycled, moves against the rate: half cosines from the second of `momenta` to the
    first and back. While the rate is high, much momentum would add up to steps that are too long.

    Args:
        warmup: a share of the training, below 1, or steps that rise.
        initial: share of the peak at step 0, from 0 to 1.
        final: share of the peak at the last step, from 0 to 1.
        form: `"cosine"`, or `"linear"` for lines in the place of half cosines.
        momenta: momenta at the peak and at the ends, such as (0.85, 0.95): the optimizer's `momentum`, or the
            first of its betas. None leaves it as the optimizer has it; it is the default since not every optimizer
            has a momentum, and since one that a plan names should not be replaced unasked.

    Raises:
        UsageError: for a value out of range; before the training where `warmup` is as many steps or more, or where
            the optimizer has no momentum to cycle.

    >>> [round(OneCycle().factor(step, 10), 4) for step in (0, 1, 2, 9)]
    [0.04, 0.52, 1.0, 0.0001]
    >>> [round(OneCycle(momenta=(0.85, 0.95)).momentum(step, 10), 4) for step in (0, 1, 2, 9)]
    [0.95, 0.9, 0.85, 0.95]

    Source: Smith, Topin 2019, "Super-Convergence". As torch's `OneCycleLR`, where `pct_start` is warmup, `div_factor`
    1 / initial and `final_div_factor` initial / final: torch counts the last from the initial rate, and its default of
    1e4 is a `final` of 4e-6. Torch cycles the momentum between 0.85 and 0.95 unless it is told not to. Its form with
    three phases, which falls back to `initial` before the last, is not here.
    """

    warmup: Length = 0.3
    initial: float = 0.04
    final: float = 1e-4
    form: str = "cosine"
    momenta: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self._check_length("warmup", zero=True)
        self._check_share("initial")
        self._check_share("final")
        self._check_word("form", FORMS)
        self._check("momenta", are_momenta(self.momenta), MOMENTA)

    def check(self, num_steps: int) -> None:
        self._require_fit("warmup", self.warmup, num_steps, left=1)

    def warmup_steps(self, num_steps: int) -> int:
        return max(rising_steps(self.warmup, num_steps) - 1, 0)

    def factor(self, step: int, num_steps: int) -> float:
        return self._between(self.initial, 1.0, self.final, step, num_steps)

    def momentum(self, step: int, num_steps: int) -> float | None:
        if self.momenta is None:
            return None
        lowest, highest = self.momenta
        return self._between(highest, lowest, highest, step, num_steps)

    def _between(self, start: float, peak: float, end: float, step: int, num_steps: int) -> float:
        """From `start` to `peak` in the rise, to `end` in the fall."""
        turn = (self.warmup if isinstance(self.warmup, int) else self.warmup * num_steps) - 1
        if step < turn:
            progress, end = step / turn, peak
        else:
            falling = num_steps - 1 - turn  # none where the one step there is is the peak
            progress, start = (step - turn) / falling if falling else 0.0, peak
        if self.form == "cosine":
            return half_cosine(start, end, progress)
        return start + (end - start) * min(progress, 1.0)

"""The rate rises and falls in lines, again and again (L28)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import MOMENTA, Length, Schedule, are_momenta, period_of

MODES = ("triangular", "triangular2", "exp_range")


@dataclass(frozen=True, kw_only=True)
class Triangular(Schedule):
    """Rises and falls between two rates in lines, in one of three modes: cyclical rates, CLR (L28).

    With C = cycle · N, or `cycle` steps where it is an integer, k = ⌊t / C⌋ whole cycles before t, and x = t / C − k:

        rise(t) = x / r                    x ≤ r
        rise(t) = (1 − x) / (1 − r)        x > r
        factor(t) = low + (1 − low) · rise(t) · height(t)

        height(t) = 1 (triangular),   2^−k (triangular2),   shrink^(t / C) (exp_range)

    Args:
        low: share of the peak that it starts from and returns to, from 0 to 1.
        cycle: length of a rise and fall: a share of the training, or steps. The paper takes 4 to 20 epochs.
        mode: `"triangular"`; `"triangular2"`, which halves the height after each cycle; `"exp_range"`, which lowers it
            at every step, so that even the first top is below the peak.
        shrink: by what the height falls over a cycle in the mode exp_range, above 0, up to 1.
        rise: r, share of a cycle that rises, above 0 and below 1.
        momenta: momenta at the peak and at the lowest rate, between which the momentum moves against the rate;
            None leaves the optimizer's.

    Raises:
        UsageError: for a value out of range.

    >>> [round(Triangular(cycle=4, low=0.2).factor(step, 8), 2) for step in range(8)]
    [0.2, 0.6, 1.0, 0.6, 0.2, 0.6, 1.0, 0.6]

    Source: Smith 2017, "Cyclical Learning Rates for Training Neural Networks". Equals torch's `CyclicLR` (base_lr
    low · lr, max_lr lr, step_size_up r C, step_size_down (1 − r) C, gamma shrink^(1/C)); torch cycles the momentum
    unless it is told not to.
    """

    low: float = 0.1
    cycle: Length = 0.25
    mode: str = "triangular"
    shrink: float = 0.5
    rise: float = 0.5
    momenta: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        self._check_share("low")
        self._check_length("cycle")
        self._check_word("mode", MODES)
        self._check_reduction("shrink")
        self._check_reduction("rise")
        self._check("rise", self.rise < 1, "a share above 0 and below 1")
        self._check("momenta", are_momenta(self.momenta), MOMENTA)

    def check(self, num_steps: int) -> None:
        self._require_fit("cycle", self.cycle, num_steps)

    def warmup_steps(self, num_steps: int) -> int:
        return round(self.rise * period_of(self.cycle, num_steps))

    def factor(self, step: int, num_steps: int) -> float:
        return self.low + (1 - self.low) * self._height(step, num_steps)

    def momentum(self, step: int, num_steps: int) -> float | None:
        if self.momenta is None:
            return None
        lowest, highest = self.momenta
        return highest - (highest - lowest) * self._height(step, num_steps)

    def _height(self, step: int, num_steps: int) -> float:
        """From 0 at the lowest rate to 1 at the peak of the first cycle."""
        cycles = step / period_of(self.cycle, num_steps)
        whole = int(cycles)
        place = cycles - whole
        rise = place / self.rise if place <= self.rise else (1 - place) / (1 - self.rise)
        if self.mode == "triangular":
            return rise
        return float(rise * (0.5**whole if self.mode == "triangular2" else self.shrink**cycles))

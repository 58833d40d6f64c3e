"""A rise, the peak for most of the training, and a fall at its end (L27)."""

from dataclasses import dataclass
from math import sqrt

from thalweg.parts.schedules.schedule import Length, Schedule, half_cosine, steps_of
from thalweg.parts.schedules.warmup import rising_steps

FORMS = ("linear", "cosine", "1-sqrt")


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(Schedule):
    """Rises in a line, stays at the peak, and falls over the last steps: WSD, or the trapezoid (L27).

    With N steps, of which the first W = round(warmup · N) rise and the last D = round(decay · N) fall; integers count
    steps; p = (t − (N − D)) / D:

        factor(t) = (t + 1) / (W + 1)                 t < W
        factor(t) = 1                                 W ≤ t < N − D
        factor(t) = f + (1 − f) g(p)                  t ≥ N − D

        g(p) = 1 − p (linear),   (1 + cos(π p)) / 2 (cosine),   1 − √p (1-sqrt)

    The peak does not depend on the length of the training: with `warmup` and `decay` in steps, a training that was
    stopped before its fall, and is extended, is the same as a longer one from the start.

    Args:
        warmup: a share of the training, below 1, or steps.
        decay: a share of the training, or steps. A fifth does about as well as a cosine over all of it.
        form: how it falls: `"linear"`, `"cosine"` or `"1-sqrt"`.
        final: f, share of the peak at the end, from 0 to 1.

    Raises:
        UsageError: for a value out of range; before the training where rise and fall together are longer than it.

    >>> schedule = WarmupStableDecay(warmup=2, decay=4)
    >>> [round(schedule.factor(step, 9), 2) for step in range(9)]
    [0.33, 0.67, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]

    Source: Hu et al. 2024, "MiniCPM"; Hägele et al. 2024, "Scaling Laws and Compute-Optimal Training Beyond Fixed
    Training Durations", for the form 1 − √p. PyTorch has no such scheduler; the linear form equals `SequentialLR` of
    `LinearLR`, `ConstantLR` with a factor of 1, and `LinearLR`.
    """

    warmup: Length = 0.05
    decay: Length = 0.2
    form: str = "linear"
    final: float = 0.0

    def __post_init__(self) -> None:
        self._check_length("warmup", zero=True)
        self._check_length("decay")
        self._check_word("form", FORMS)
        self._check_share("final")
        self._check("decay", not self._shares or self.warmup + self.decay <= 1, "a share that the warm-up leaves over")

    def check(self, num_steps: int) -> None:
        self._require_fit("warmup", self.warmup, num_steps, left=1)
        if not self._shares:  # whose rounding may overlap by a step
            self._require_fit("decay", steps_of(self.decay, num_steps), num_steps - self.warmup_steps(num_steps))

    @property
    def _shares(self) -> bool:
        return isinstance(self.warmup, float) and isinstance(self.decay, float)

    def warmup_steps(self, num_steps: int) -> int:
        return rising_steps(self.warmup, num_steps)

    def factor(self, step: int, num_steps: int) -> float:
        falling = steps_of(self.decay, num_steps)
        past = step - (num_steps - falling)
        rising = rising_steps(self.warmup, num_steps)
        if step < rising:
            return (step + 1) / (rising + 1)
        if past < 0 or not falling:
            return 1.0
        return self.final + (1 - self.final) * fallen(self.form, min(past / falling, 1.0))


def fallen(form: str, progress: float) -> float:
    """From 1 to 0 in one of the forms.

    >>> [round(fallen(form, 0.25), 4) for form in FORMS]
    [0.75, 0.8536, 0.5]
    """
    if form == "linear":
        return 1 - progress
    return half_cosine(1.0, 0.0, progress) if form == "cosine" else 1 - sqrt(progress)

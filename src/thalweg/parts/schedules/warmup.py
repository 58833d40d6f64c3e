"""A rise to the peak before any other schedule (L27)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from thalweg.parts.schedules.constant import Constant
from thalweg.parts.schedules.schedule import Length, Measured, Schedule, half_cosine, steps_of

FORMS = ("linear", "cosine", "exponential")


@dataclass(frozen=True, kw_only=True)
class Warmup(Schedule):
    """Rises to the peak, then follows another schedule, whose training begins after the rise (L27).

    With N steps, of which W = round(warmup · N), or `warmup` where it is an integer, rise, and s = start:

        factor(t) = then(0) · (s + (1 − s) t / W)                                   t < W, linear
        factor(t) = then(0) · (s + (1 − s) (1 − cos(π t / W)) / 2)                  t < W, cosine
        factor(t) = then(0) · s^(1 − t / W)                                         t < W, exponential
        factor(t) = then(t − W), as in a training of N − W steps                    t ≥ W

    Args:
        then: the schedule after the rise.
        warmup: a share of the training, below 1, or steps. A short one lets momentum and second moments settle before
            the full rate.
        form: `"linear"`, `"cosine"` or `"exponential"`.
        start: s, share of the peak at the first step, above 0, up to 1; None takes 1 / (W + 1), one notch above 0, so
            that no step is wasted.

    Raises:
        UsageError: for a value out of range; before the training where `warmup` is as many steps or more.

    >>> from thalweg.parts.schedules import Exponential
    >>> schedule = Warmup(warmup=2, then=Exponential(every=1, reduction=0.5))
    >>> [round(schedule.factor(step, 6), 3) for step in range(6)]
    [0.333, 0.667, 1.0, 0.5, 0.25, 0.125]

    Source: Goyal et al. 2017, "Accurate, Large Minibatch SGD". Equals torch's `SequentialLR` of a `LinearLR`
    (start_factor s, W iterations) and the other scheduler, with milestone W.
    """

    then: Schedule = Constant()  # noqa: RUF009 - it is frozen
    warmup: Length = 0.05
    form: str = "linear"
    start: float | None = None

    def __post_init__(self) -> None:
        self._check("then", isinstance(self.then, Schedule), "a schedule, such as Cosine()")
        self._check_length("warmup", zero=True)
        self._check_word("form", FORMS)
        if self.start is not None:
            self._check_reduction("start")

    def check(self, num_steps: int) -> None:
        self._require_fit("warmup", self.warmup, num_steps, left=1)
        self.then.check(num_steps - self.warmup_steps(num_steps))

    def warmup_steps(self, num_steps: int) -> int:
        return rising_steps(self.warmup, num_steps)

    def informed(self, history: Sequence[Measured], num_steps: int) -> Schedule:
        rising = self.warmup_steps(num_steps)
        later = [m._replace(step=m.step - rising) for m in history if m.step > rising]
        return replace(self, then=self.then.informed(later, num_steps - rising))

    def factor(self, step: int, num_steps: int) -> float:
        rising = rising_steps(self.warmup, num_steps)
        if step >= rising:
            return self.then.factor(step - rising, num_steps - rising)
        start = 1 / (rising + 1) if self.start is None else self.start
        return self.then.factor(0, num_steps - rising) * risen(self.form, start, step / rising)

    def momentum(self, step: int, num_steps: int) -> float | None:
        rising = rising_steps(self.warmup, num_steps)
        return self.then.momentum(max(step - rising, 0), num_steps - rising)


def rising_steps(warmup: Length, num_steps: int) -> int:
    """The steps of a warm-up, which leaves at least one at the peak."""
    return min(steps_of(warmup, num_steps), num_steps - 1)


def risen(form: str, start: float, progress: float) -> float:
    """From `start` to 1 in one of the forms.

    >>> [round(risen(form, 0.04, 0.5), 4) for form in FORMS]
    [0.52, 0.52, 0.2]
    """
    if form == "linear":
        return start + (1 - start) * progress
    return half_cosine(start, 1.0, progress) if form == "cosine" else float(start ** (1 - progress))

"""A change against the training without it, on seeds that neither was chosen on: same start, batches and noise."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import hypot, sqrt
from statistics import fmean, stdev
from typing import Any

import torch

from thalweg.evaluate.student import quantile
from thalweg.fix.arm import Arm
from thalweg.measure.score import Score

FEW, MANY = (3, 4), (6, 8)  # seeds at each share of the steps, and at the last one besides
# Of accepting a change that gains nothing: 5 % over all looks together, by Bonferroni (alpha spending). Three seeds are
# for gains of six deviations and more, four for those of two and a half; looks further on are for what these leave.
ALPHA = 0.05
FIRST, LATER = (0.004, 0.008), (0.002, 0.004)  # of looks at few seeds: at the first share, at each one behind it
OTHER_SEEDS = 104_729  # added to the run's seed: seeds that no probe has used
WORTH_SECONDS = 4.0  # of trainings one after the other: to choose a population's form takes a tenth of that
ROW_ERRORS = 2.0  # standard errors of the validation rows


@dataclass(frozen=True)
class Effect:
    """What changes gain over the training without them.

    Args:
        measure: "accuracy" or "r2", on the validation rows.
        mean: gain, over the seeds.
        low: lower end of its interval: the gain is above it with 95 %, over all looks together.
        high: upper end.
        before: the mean without them.
        after: the mean with them.
        seeds: how many.
        share: of the training's steps, at which both were scored.
    """

    measure: str
    mean: float
    low: float
    high: float
    before: float
    after: float
    seeds: int
    share: float

    @property
    def real(self) -> bool:
        return self.low > 0

    def __str__(self) -> str:
        at = "" if self.share >= 1 else f" after {self.share:.0%} of the steps"
        return (
            f"{self.measure} {self.after:.3f} instead of {self.before:.3f}{at}, "
            f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f}) on {self.seeds} seeds"
        )

    def after_another(self, first: "Effect") -> "Effect":
        """What two changes gain together, the second on top of the first; errors add up in squares."""
        mean = first.mean + self.mean
        half = hypot(first.mean - first.low, self.mean - self.low)
        seeds, share = min(first.seeds, self.seeds), max(first.share, self.share)
        return Effect(self.measure, mean, mean - half, mean + half, self.after - mean, self.after, seeds, share)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def trial(control: Arm, changed: Arm, *, shares: Sequence[float], seed: int, pace: float) -> Effect | None:
    """Trains both on seeds of their own until the gain is decided; None where the time does not suffice for a look.

    Three seeds, then four, are looked at after each share of the steps, then more of them after the last. The interval
    is Student's over the paired differences of the seeds, and at least as wide as the validation rows allow, which are
    the same under every seed. A change that gains nothing is accepted with a probability of 5 % at most, over all looks
    together, where differences are as likely above their mean as below it, or skewed upward; where it gains a little
    under most seeds and loses much under a few, in up to 17 % (simulated, exponential). Looks at three and four seeds
    are at a few of the rows where all would take long.

    Args:
        control: the training without the change.
        changed: the training with it.
        shares: of the steps, after which both are looked at, in order.
        seed: the run's; the trial's begin far from it.
        pace: seconds of a step before an arm has shown its own.
    """
    effect = None
    for share, count, level in looks(shares):
        seeds = fresh(seed, count)
        if not control.budget.affords(seconds_of((control, changed), share, seeds, pace)):
            break
        seat((control, changed), share, seeds, pace)
        quick = count in FEW
        pairs = [tuple(arm.score(share, seed=own, quick=quick) for arm in (control, changed)) for own in seeds]
        known = [(a, b) for a, b in pairs if a is not None and b is not None and len(a.each) == len(b.each)]
        if len(known) < len(pairs):
            break
        effect = effect_of(known, share=share, level=level)
        if effect.real or effect.high < 0:
            break
    changed.forget()
    return effect


def fresh(seed: int, count: int) -> list[int]:
    """So many seeds that no probe has used.

    >>> fresh(3, 2)
    [104732, 209461]
    """
    return [seed + k * OTHER_SEEDS for k in range(1, count + 1)]


def seat(arms: Sequence[Arm], share: float, seeds: Sequence[int], pace: float) -> None:
    """Trains the new seeds of both arms as populations, where that is long enough to gain by it.

    Both or neither. Not where the network drops something: a population draws that in another way than a single
    training, and on a CPU large layers lose by it what they gain.
    """
    if any(arm.drops for arm in arms):
        return
    new = [seed for seed in seeds if not any(arm.knows(seed) for arm in arms)]
    if len(new) < 2 or seconds_of(arms, share, new, pace) < WORTH_SECONDS:
        return
    for arm in arms:
        arm.seat(new, share)


def looks(shares: Sequence[float]) -> list[tuple[float, int, float]]:
    """Share of the steps, number of seeds and level of each look: first deeper, then more seeds.

    >>> [(share, count) for share, count, _ in looks([0.125, 0.25])]
    [(0.125, 3), (0.125, 4), (0.25, 3), (0.25, 4), (0.25, 6), (0.25, 8)]
    >>> round(sum(level for _, _, level in looks([0.125, 0.25])), 9)
    0.05
    """
    few = [
        (share, count, level)
        for share in shares
        for count, level in zip(FEW, FIRST if share == shares[0] else LATER, strict=True)
    ]
    left = ALPHA - sum(level for _, _, level in few)
    return [*few, *((shares[-1], count, left / len(MANY)) for count in MANY)]


def seconds_of(arms: Sequence[Arm], share: float, seeds: Sequence[int], pace: float) -> float:
    """What it takes to bring the arms there on these seeds."""
    return sum(arm.seconds_to(share, own, pace) for arm in arms for own in seeds)


def effect_of(pairs: Sequence[tuple[Score, Score]], *, share: float, level: float) -> Effect:
    """The gain and its interval: each end is passed by chance with a probability of `level`.

    >>> before = Score("accuracy", torch.tensor([0.0, 1.0] * 50).double(), 0.5)
    >>> after = Score("accuracy", torch.ones(100).double(), 0.5)
    >>> effect_of([(before, after)] * 3, share=1.0, level=0.005).real
    True
    """
    gains = [after.value - before.value for before, after in pairs]
    mean = fmean(gains)
    over_seeds = quantile(1 - level, len(gains) - 1) * stdev(gains) / sqrt(len(gains))
    rows = torch.stack([after.each - before.each for before, after in pairs]).mean(0)
    over_rows = ROW_ERRORS * float(rows.std()) / sqrt(len(rows))
    half = max(over_seeds, over_rows)
    first = pairs[0][0]
    return Effect(
        first.name,
        mean,
        mean - half,
        mean + half,
        fmean(before.value for before, _ in pairs),
        fmean(after.value for _, after in pairs),
        len(pairs),
        share,
    )

"""How far two arms differ, and whether that is real."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from thalweg.evaluate.paired import LEVEL, bca_interval, constant, holm, sign_flip_test, t_interval, t_test
from thalweg.evaluate.power import pairs_needed, unbiased_effect
from thalweg.evaluate.sequential import anytime, t_limit
from thalweg.evaluate.student import quantile

Test = Literal["t", "anytime"]
Pair = tuple[str, str, list[float]]  # the better arm, the other, by how much it is better under each seed


@dataclass(frozen=True)
class Difference:
    """Two arms compared; `better` is the one that is better on average.

    Args:
        better: name of an arm.
        worse: name of the other.
        mean: by how much, above or equal 0 whichever way the measure improves.
        low: lower end of its 95 % interval, of this pair alone; None where there is none.
        high: upper end.
        p: probability of a difference as large between equals, after Holm's correction for the number of pairs.
        pairs: seeds under which both have a value.
        more_seeds: how many more would show a difference as large as measured with a probability of 80 % at least, the
            measured one without its upward bias (Hedges 1981); None where it is shown, or would take more than 100
            seeds in all, as from three on wherever p of this pair alone is above 0.5. Added to those before, they
            are a second look: of equals, 8 % are then called real at either; seeds of their own keep 5 % each, and
            `test="anytime"` keeps it over all looks.
        bca: the 95 % BCa bootstrap interval, which takes no distribution for granted; None where there is none.
        sign_flip: p of the sign-flip test after Holm's correction; None with splits that share rows.
    """

    better: str
    worse: str
    mean: float
    low: float | None
    high: float | None
    p: float
    pairs: int
    more_seeds: int | None
    bca: tuple[float, float] | None = None
    sign_flip: float | None = None

    @property
    def real(self) -> bool:
        return self.p <= LEVEL

    @property
    def verdict(self) -> str:
        """ "real", "not shown", or "needs about n more seeds"."""
        if self.real:
            return "real"
        if self.more_seeds is None:
            return "not shown"
        return f"needs about {self.more_seeds} more seed{'' if self.more_seeds == 1 else 's'}"

    def __str__(self) -> str:
        if not self.pairs:
            return f"{self.worse} and {self.better} have no seed in common: not shown"
        interval = "" if self.low is None or self.high is None else f" [{self.low:.3g}, {self.high:.3g}]"
        p = f"p = {self.p:.2g}" if self.p >= 1e-4 else "p < 0.0001"
        relation = "is better than" if self.real else "against"
        return f"{self.better} {relation} {self.worse}: {self.mean:.3g}{interval}, {p}: {self.verdict}"


def differences_of(pairs: Sequence[Pair], *, test: Test, overlap: float) -> list[Difference]:
    """Every pair tested, held to the number of pairs (Holm 1979), the surest first."""
    tested = [p_and_interval(values, test=test, overlap=overlap) for _, _, values in pairs]
    chances, flips = holm([p for p, _ in tested]), holm([sign_flip_test(values) for _, _, values in pairs])
    found = []
    for rank, k in enumerate(sorted(range(len(pairs)), key=lambda k: tested[k][0])):
        better, worse, values = pairs[k]
        low, high = tested[k][1] or (None, None)
        more = None
        if chances[k] > LEVEL:
            more = seeds_missing(values, level=LEVEL / (len(pairs) - rank), test=test, overlap=overlap)
        others = (None, None) if overlap else (bca_interval(values), flips[k])  # both take the values for independent
        found.append(Difference(better, worse, fmean_or(values), low, high, chances[k], len(values), more, *others))
    return found


def p_and_interval(
    differences: Sequence[float], *, test: Test, overlap: float
) -> tuple[float, tuple[float, float] | None]:
    """p, and the 95 % interval of the mean."""
    if test == "t":
        return t_test(differences, overlap=overlap), t_interval(differences, overlap=overlap)
    sequential = anytime(differences, overlap=overlap)
    return sequential.p, sequential.interval


def seeds_missing(differences: Sequence[float], *, level: float, test: Test, overlap: float) -> int | None:
    """How many more seeds would show the mean as it is, at this level, with a probability of 80 % at least."""
    count, mean = len(differences), fmean_or(differences)
    if count < 2 or mean == 0:
        return None
    if constant(differences):
        total = count
        while p_and_interval([mean] * total, test=test, overlap=overlap)[0] > level:
            total += 1
        return total - count

    def limit(count: int) -> float:
        if test == "t":
            return quantile(1 - level / 2, count - 1)
        return t_limit(count, level=level, overlap=overlap) / math.sqrt(1 + count * overlap)

    effect = unbiased_effect(mean, stdev(differences), count)
    needed = pairs_needed(effect, limit=limit, overlap=overlap, at_least=count + 1)
    return None if needed is None else needed - count


def doubt(difference: Difference, *, test: Test, num_pairs: int) -> str:
    """What the tests without a distribution say where both say otherwise; nothing where they are too few to say it.

    An anytime-valid test asks for more than they do, so what it does not show they may.
    """
    if difference.bca is None or difference.sign_flip is None:
        return ""
    low, high = difference.bca
    shown = difference.sign_flip <= LEVEL and not low <= 0 <= high
    hidden = difference.sign_flip > LEVEL and low <= 0 <= high
    reachable = num_pairs * 2.0 ** (1 - difference.pairs) <= LEVEL
    if not (reachable and (hidden if difference.real else shown and test == "t")):
        return ""
    return (
        f"{difference.better} against {difference.worse}: sign flips have p = {difference.sign_flip:.2g} and the "
        f"bootstrap (BCa) {span(difference.bca)}, against the verdict; its differences are not normal."
    )


def fmean_or(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def span(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"

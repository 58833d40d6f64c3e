"""Which of several trainings differ, from a measure of each under the same seeds. Plain data and statistics, no torch.

Differences are paired by seed: what a seed does to all arms alike (initialization, order, noise) cancels. Each pair has
the 95 % interval of Student's t; whether a difference is real is decided over all pairs together (Holm 1979), so that
among many comparisons of equals one is called real with a probability of 5 % at most.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan
from statistics import fmean, stdev
from typing import Any

from thalweg.evaluate.student import quantile, two_sided

LEVEL = 0.05
POWER = 0.8  # of the number of seeds that is advised
MOST = 4  # times the seeds there are: beyond that no number is advised
LIKELY = 0.5  # a difference whose corrected p is above it may as well be chance: no number is advised either
Values = Sequence[float | None]


@dataclass(frozen=True)
class Arm:
    """One of the trainings compared.

    Args:
        name: what sets it apart.
        values: its measure under each seed; None where it has none, as after a loss that was not finite.
        runs: names of its runs, for `experiment.open(name)`.
    """

    name: str
    values: tuple[float | None, ...]
    runs: tuple[str, ...] = ()

    @property
    def mean(self) -> float:
        """Over the seeds that have a value; NaN without any."""
        known = [value for value in self.values if value is not None]
        return fmean(known) if known else math.nan

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the mean over seeds; None with fewer than two values."""
        return t_interval([value for value in self.values if value is not None])


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
        more_seeds: how many more would show a difference as large as measured with a probability of 80 %; None
            where it is shown, may as well be chance (p above 0.5), or would take more than four times the seeds.
    """

    better: str
    worse: str
    mean: float
    low: float | None
    high: float | None
    p: float
    pairs: int
    more_seeds: int | None

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


@dataclass(frozen=True)
class Comparison:
    """Several trainings under the same seeds: their measure, and which differences are real.

    Args:
        measure: name of the measure on the validation rows.
        higher_is_better: which way it improves.
        seeds: the seeds, in the order of the values.
        arms: the best first.
        differences: of every pair, the surest first.
        folder: name of the folder of the runs.
        notes: what to know about it.
    """

    measure: str
    higher_is_better: bool
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    folder: str = ""
    notes: tuple[str, ...] = ()

    @property
    def best(self) -> Arm:
        """The best on average, which need not really be better."""
        return self.arms[0]

    @property
    def runs(self) -> dict[str, tuple[str, ...]]:
        """Names of the runs by arm, for `experiment.open(name)`."""
        return {arm.name: arm.runs for arm in self.arms}

    def rows(self) -> list[tuple[str, str, str, str]]:
        """The table: arm, mean, interval, value of each seed."""
        return [(a.name, text(a.mean), span(a.interval), "  ".join(map(text, a.values))) for a in self.arms]

    def __str__(self) -> str:
        direction = "higher" if self.higher_is_better else "lower"
        seeds = ", ".join(map(str, self.seeds))
        head = ("", self.measure, "95 % interval", f"seed {seeds}")
        rows = [head, *self.rows()]
        widths = [max(len(row[k]) for row in rows) for k in range(4)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        said = [f"{difference}." for difference in self.differences]
        return "\n".join([f"{self.measure} on the validation rows, {direction} is better", *lines, *said, *self.notes])

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import comparison_html

        return comparison_html(self)

    def to_json(self) -> dict[str, Any]:
        """Arms, differences with their verdicts, notes, as JSON values."""
        verdicts = [{**asdict(d), "verdict": d.verdict} for d in self.differences]
        arms = [{**asdict(a), "mean": None if isnan(a.mean) else a.mean, "interval": a.interval} for a in self.arms]
        return asdict(self) | {"arms": arms, "differences": verdicts}


def compare_arms(
    values: Mapping[str, Values],
    *,
    measure: str,
    higher_is_better: bool,
    seeds: Sequence[int],
    runs: Mapping[str, Sequence[str]] | None = None,
    folder: str = "",
    notes: Sequence[str] = (),
) -> Comparison:
    """The comparison of arms whose values are paired by seed.

    Args:
        values: by arm, one per seed; None for one that is missing.
        measure: its name.
        higher_is_better: which way it improves.
        seeds: as many as each arm has values.
        runs: names of runs by arm.
        folder: of the runs.
        notes: what to know about it.

    >>> sgd, adam = [0.90, 0.91, 0.89, 0.92, 0.90], [0.93, 0.94, 0.93, 0.94, 0.93]
    >>> found = compare_arms({"SGD": sgd, "Adam": adam}, measure="accuracy", higher_is_better=True, seeds=range(5))
    >>> print(found.differences[0])
    Adam is better than SGD: 0.03 [0.0212, 0.0388], p = 0.00069: real
    """
    sign = 1.0 if higher_is_better else -1.0
    arms = [Arm(name, tuple(v), tuple((runs or {}).get(name, ()))) for name, v in values.items()]
    arms.sort(key=lambda arm: -math.inf if isnan(arm.mean) else sign * arm.mean, reverse=True)
    pairs = [(a, b, paired(a.values, b.values, sign)) for a, b in combinations(arms, 2)]
    pairs = [pair if fmean_or(pair[2]) >= 0 else (pair[1], pair[0], [-d for d in pair[2]]) for pair in pairs]
    chances = [p_value(differences) for _, _, differences in pairs]
    order = sorted(range(len(pairs)), key=chances.__getitem__)
    found, largest = [], 0.0
    for rank, index in enumerate(order):  # Holm: the smallest p is held to the number of pairs, the next to one less
        better, worse, differences = pairs[index]
        factor = len(pairs) - rank
        largest = max(largest, min(factor * chances[index], 1.0))
        found.append(difference(better.name, worse.name, differences, largest, LEVEL / factor))
    return Comparison(measure, higher_is_better, tuple(seeds), tuple(arms), tuple(found), folder, tuple(notes))


def difference(better: str, worse: str, differences: list[float], p: float, level: float) -> Difference:
    low, high = t_interval(differences) or (None, None)
    more = None if p <= LEVEL or p > LIKELY else seeds_missing(differences, level)
    return Difference(better, worse, fmean_or(differences), low, high, p, len(differences), more)


def paired(first: Values, second: Values, sign: float) -> list[float]:
    """By how much the first is better under each seed that both have."""
    return [sign * (a - b) for a, b in zip(first, second, strict=True) if a is not None and b is not None]


def fmean_or(values: Sequence[float]) -> float:
    return fmean(values) if values else 0.0


def t_interval(values: Sequence[float]) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean; None with fewer than two values."""
    if len(values) < 2:
        return None
    half = quantile(1 - LEVEL / 2, len(values) - 1) * stdev(values) / math.sqrt(len(values))
    return fmean(values) - half, fmean(values) + half


def p_value(differences: Sequence[float]) -> float:
    """Two-sided p of the paired t test.

    Differences that are all the same have no deviation to test with, as coarse measures on few seeds may: then it is
    that of the sign test, 2 · 2⁻ⁿ.
    """
    count, mean = len(differences), fmean_or(differences)
    if count < 2 or mean == 0:
        return 1.0
    deviation = stdev(differences)
    if deviation <= 1e-12 * abs(mean):
        return float(2.0 ** (1 - count))
    return two_sided(mean / deviation * math.sqrt(count), count - 1)


def seeds_missing(differences: Sequence[float], level: float) -> int | None:
    """How many more seeds would show the mean as it is, at this level, with a probability of 80 %."""
    count, mean = len(differences), fmean_or(differences)
    if count < 2 or mean == 0:
        return None
    deviation = stdev(differences)
    for total in range(count + 1, MOST * count + 1):
        if deviation <= 1e-12 * abs(mean):
            enough = 2.0 ** (1 - total) <= level
        else:
            needed = quantile(1 - level / 2, total - 1) + quantile(POWER, total - 1)
            enough = abs(mean) / deviation * math.sqrt(total) >= needed
        if enough:
            return total - count
    return None


def text(value: float | None) -> str:
    return "–" if value is None or isnan(value) else f"{value:.4g}"


def span(interval: tuple[float, float] | None) -> str:
    return "–" if interval is None else f"{interval[0]:.4g} to {interval[1]:.4g}"

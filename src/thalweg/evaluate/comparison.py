"""Which of several trainings differ, from a measure of each under the same seeds. Plain data and statistics, no torch.

Differences are paired by seed: what a seed does to all arms alike (initialization, order, noise) cancels. Each pair has
the 95 % interval of Student's t; whether a difference is real is decided over all pairs together (Holm 1979), so that
among many comparisons of equals one is called real with a probability of 5 % at most. Where the rows are split anew
under each seed, interval and test are corrected for the rows that the splits share; where seeds are added until it is
decided, they are those of the anytime-valid test.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from math import isnan
from statistics import fmean
from typing import Any

from thalweg.evaluate.difference import Difference, Pair, Test, differences_of, doubt, fmean_or, span
from thalweg.evaluate.paired import t_interval

Values = Sequence[float | None]


ROUNDING = 1e-6  # relative: values nearer than that are alike; float32 sums in another order differ by less


@dataclass(frozen=True)
class Arm:
    """One of the trainings compared.

    Args:
        name: what sets it apart.
        values: its measure under each seed; None where it has none, as after a loss that was not finite.
        runs: names of its runs, for `experiment.open(name)`.
        overlap: validation rows per training row where seeds split the rows anew.
    """

    name: str
    values: tuple[float | None, ...]
    runs: tuple[str, ...] = ()
    overlap: float = 0.0

    @property
    def mean(self) -> float:
        """Over the seeds that have a value; NaN without any."""
        known = [value for value in self.values if value is not None]
        return fmean(known) if known else math.nan

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 % of the mean over seeds; None with fewer than two values."""
        return t_interval([value for value in self.values if value is not None], overlap=self.overlap)


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
        test: "t" for a number of seeds chosen before, "anytime" where seeds are added until it is decided.
        overlap: validation rows per training row where seeds split the rows anew, otherwise 0.
    """

    measure: str
    higher_is_better: bool
    seeds: tuple[int, ...]
    arms: tuple[Arm, ...]
    differences: tuple[Difference, ...]
    folder: str = ""
    notes: tuple[str, ...] = ()
    test: Test = "t"
    overlap: float = 0.0

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

    @property
    def remarks(self) -> tuple[str, ...]:
        """How it was tested, where other tests say otherwise, and the notes."""
        how = []
        if self.overlap:
            how.append(
                "Intervals and p are corrected for the rows that the seeds' splits share (Nadeau and Bengio 2003): "
                "more seeds narrow them only so far, more rows further."
            )
        if self.test == "anytime":
            how.append("Intervals and p are those of a test that may be looked at after every seed.")
        doubts = [doubt(d, test=self.test, num_pairs=len(self.differences)) for d in self.differences]
        return (*how, *filter(None, doubts), *self.notes)

    def details(self) -> str:
        """A table of the differences by each method, corrected for the number of pairs where it is a p.

        >>> values = {"SGD": [0.90, 0.91, 0.89, 0.92, 0.90, 0.91], "Adam": [0.93, 0.94, 0.93, 0.94, 0.93, 0.92]}
        >>> found = compare_arms(values, measure="accuracy", higher_is_better=True, seeds=range(6))
        >>> print(found.details())
                          mean   95 % interval       p       BCa interval    sign-flip p
        Adam against SGD  0.027  0.01583 to 0.03751  0.0015  0.015 to 0.035  0.031
        """
        head = ("", "mean", "95 % interval", "p", "BCa interval", "sign-flip p")
        rows = [
            (
                f"{d.better} against {d.worse}",
                f"{d.mean:.2g}",
                span(None if d.low is None or d.high is None else (d.low, d.high)),
                f"{d.p:.2g}",
                span(d.bca),
                "–" if d.sign_flip is None else f"{d.sign_flip:.2g}",
            )
            for d in self.differences
        ]
        return "\n".join(aligned([head, *rows]))

    def __str__(self) -> str:
        direction = "higher" if self.higher_is_better else "lower"
        seeds = ", ".join(map(str, self.seeds))
        lines = aligned([("", self.measure, "95 % interval", f"seed {seeds}"), *self.rows()])
        said = [f"{difference}." for difference in self.differences]
        title = f"{self.measure} on the validation rows, {direction} is better"
        return "\n".join([title, *lines, *said, *self.remarks])

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
    test: Test = "t",
    overlap: float = 0.0,
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
        test: "t" for a number of seeds chosen before the first value was seen. "anytime" where seeds were added, or
            arms dropped, by what was seen: its p and interval hold at every look (`Sequential`), and are wider.
        overlap: validation rows per training row where each seed splits the rows anew (`standard_error`).

    >>> sgd, adam = [0.90, 0.91, 0.89, 0.92, 0.90], [0.93, 0.94, 0.93, 0.94, 0.93]
    >>> found = compare_arms({"SGD": sgd, "Adam": adam}, measure="accuracy", higher_is_better=True, seeds=range(5))
    >>> print(found.differences[0])
    Adam is better than SGD: 0.03 [0.0212, 0.0388], p = 0.00069: real
    """
    sign = 1.0 if higher_is_better else -1.0
    arms = [Arm(name, tuple(v), tuple((runs or {}).get(name, ())), overlap) for name, v in values.items()]
    arms.sort(key=lambda arm: -math.inf if isnan(arm.mean) else sign * arm.mean, reverse=True)
    pairs = [oriented(a, b, sign) for a, b in combinations(arms, 2)]
    found = differences_of(pairs, test=test, overlap=overlap)
    return Comparison(
        measure, higher_is_better, tuple(seeds), tuple(arms), tuple(found), folder, tuple(notes), test, overlap
    )


def oriented(first: Arm, second: Arm, sign: float) -> Pair:
    """The better one, the other, and by how much it is better under each seed that both have."""
    both = [(a, b) for a, b in zip(first.values, second.values, strict=True) if a is not None and b is not None]
    differences = [0.0 if math.isclose(a, b, rel_tol=ROUNDING) else sign * (a - b) for a, b in both]
    if fmean_or(differences) >= 0:
        return first.name, second.name, differences
    return second.name, first.name, [-difference for difference in differences]


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines, the cells of a column below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def text(value: float | None) -> str:
    return "–" if value is None or isnan(value) else f"{value:.4g}"

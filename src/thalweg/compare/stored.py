"""Stored runs compared on the validation rows that they share: which network is better there, not which plan is.

One run of a plan has one seed, and another seed may turn the difference around (the interval here is over rows, the
plan's would be over seeds): that takes `Experiment.compare`, which trains the plans again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.compare.pairing import require_same_data
from thalweg.errors import UsageError
from thalweg.evaluate.bootstrap import Statistic, bootstrap, influence
from thalweg.evaluate.functions import ByWeight, Functions, class_functions, label_functions, position_functions
from thalweg.evaluate.functions import value_functions as regression_functions
from thalweg.evaluate.measures import as_threshold
from thalweg.evaluate.paired import holm
from thalweg.evaluate.student import two_sided
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.per_position import row_sums
from thalweg.run import Run
from thalweg.saved import batches_of, few_rows, outputs_of, scores_of
from thalweg.show.text import plural

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

LEVEL = 0.05
LOSSES = ("log_loss", "rmse")
ONE_RUN = "One run of each cannot tell whether other seeds would turn it around."


@dataclass(frozen=True)
class NetworkDifference:
    """Two trained networks on the same rows.

    Args:
        better: name of a run.
        worse: name of the other.
        mean: by how much its measure is better.
        low: lower end of the 95 % interval, over rows like these; None where they do not vary.
        high: upper end.
        p: two-sided, after Holm's correction for the number of pairs; None without an interval.
    """

    better: str
    worse: str
    mean: float
    low: float | None
    high: float | None
    p: float | None

    @property
    def shown(self) -> bool:
        return self.p is not None and self.p <= LEVEL and self.low is not None and self.low > 0

    def __str__(self) -> str:
        if self.low is None or self.high is None or self.p is None:
            return f"{self.better} against {self.worse}: {self.mean:.3g}, without an interval"
        relation, verdict = (
            ("is better than", "shown for these two networks") if self.shown else ("against", "not shown")
        )
        p = f"p = {self.p:.2g}" if self.p >= 1e-4 else "p < 0.0001"
        return (
            f"{self.better} {relation} {self.worse}: {self.mean:.3g} [{self.low:.3g}, {self.high:.3g}], {p}: {verdict}"
        )


@dataclass(frozen=True)
class RunComparison:
    """Stored runs on the validation rows they share.

    Args:
        measure: what they are compared by.
        higher_is_better: which way it improves.
        rows: how many validation rows.
        values: by name of the run, the best first.
        differences: of every pair, the surest first.
    """

    measure: str
    higher_is_better: bool
    rows: int
    values: dict[str, float]
    differences: tuple[NetworkDifference, ...]

    def __str__(self) -> str:
        direction = "higher" if self.higher_is_better else "lower"
        width = max(map(len, self.values))
        head = f"{self.measure} on the {plural(self.rows, 'validation row')} of the runs, {direction} is better"
        table = [f"{name:{width}}  {value:.4g}" for name, value in self.values.items()]
        return "\n".join([head, *table, *(f"{difference}." for difference in self.differences), ONE_RUN])

    def to_json(self) -> dict[str, Any]:
        differences = [asdict(d) | {"shown": d.shown} for d in self.differences]
        return asdict(self) | {"differences": differences, "note": ONE_RUN}


def compare_runs(experiment: "Experiment", runs: Sequence[Run], *, seed: int = 0) -> RunComparison:
    """The measure of each run on the shared validation rows, and the paired differences with intervals over rows.

    The measure is the one by which all of them chose their epoch; where that is the loss, or they differ, it is the
    log loss of a classifier, the root mean squared error of a regression. Rows are resampled for both networks at
    once (BCa; by whole groups where the rows were split by groups), p is that of Student's t with the spread that the
    influence of the rows gives (infinitesimal jackknife).

    Args:
        experiment: that they are runs of.
        runs: two at least.
        seed: of the bootstrap.

    Raises:
        UsageError: for fewer than two, runs of other data or validation rows, or a step that gives the loss alone.
    """
    names = [run.name for run in runs]
    if len(set(names)) < 2 or len(set(names)) < len(names):
        raise UsageError(f"There are no two different runs to compare; received {', '.join(names) or 'none'}.")
    require_same_data(experiment, runs)
    require_same_rows(runs)
    inside = experiment._with_rows_of(runs[0].store)
    functions = {run.name: functions_of(inside, run) for run in runs}
    measure = common_measure(runs, list(functions.values()))
    higher = measure not in LOSSES and metric(measure, inside.task.kind).higher_is_better
    sign = 1.0 if higher else -1.0
    drawing, own = Drawing.of(inside, seed), {name: found[measure, ""] for name, found in functions.items()}
    values = {name: drawing.value(function) for name, function in own.items()}
    ordered = sorted(values, key=lambda name: sign * values[name], reverse=True)
    found = [drawing.difference(a, b, less(own[a], own[b], sign)) for a, b in combinations(ordered, 2)]
    corrected = holm([1.0 if d.p is None else d.p for d in found])
    told = [d if d.p is None else replace(d, p=p) for d, p in zip(found, corrected, strict=True)]
    told.sort(key=lambda d: 1.0 if d.p is None else d.p)
    return RunComparison(measure, higher, drawing.num_rows, {name: values[name] for name in ordered}, tuple(told))


def require_same_rows(runs: Sequence[Run]) -> None:
    """Raises `UsageError` where the runs validated on different rows, as under two seeds of a comparison."""
    digests = {run.name: run.store.get("digest") for run in runs}
    first = runs[0].name
    for name, digest in digests.items():
        if digest != digests[first]:
            raise UsageError(
                f"The runs {first} and {name} were validated on different rows, as under two seeds of a comparison, so "
                "that their values cannot be paired. Train both plans on the same seeds, in Python: "
                "experiment.compare(run_a, run_b)."
            )


def common_measure(runs: Sequence[Run], functions: Sequence[Functions]) -> str:
    """The selection that all share and that is a function of weighted rows, else the loss of the task."""
    chosen = {run.plan.selection for run in runs}
    if len(chosen) == 1 and all((next(iter(chosen)), "") in found for found in functions):
        return next(iter(chosen))
    return "log_loss" if all(("log_loss", "") in found for found in functions) else "rmse"


def functions_of(experiment: "Experiment", run: Run) -> Functions:
    """Each measure of a run on the validation rows, as a function of the weights of these rows."""
    rows, task = experiment.data.validation, experiment.task
    if task.kind == "own":
        raise UsageError("The step gives the loss alone, so there is nothing of single rows to compare.")
    if task.kind == "per_position":
        batches = batches_of(run.model, rows, few_rows(rows.target[0], task))
        return position_functions(torch.cat([row_sums(output, target).cpu() for output, target in batches]))
    output, target = outputs_of(run.model, rows)
    if task.kind == "regression":
        return regression_functions(output, target, names=())
    scores = scores_of(experiment.loss_name, output, labels=task.kind == "multilabel")
    names = tuple(map(str, task.classes))
    if task.kind == "multilabel":
        return label_functions(output, target, scores=scores, threshold=as_threshold(None, scores), names=names)
    return class_functions(output, target, kind=task.kind, scores=scores, threshold=None, classes=names)


@dataclass(frozen=True)
class Drawing:
    """How rows are drawn: which depend on each other, and from which seed."""

    num_rows: int
    groups: Tensor | None
    seed: int

    @classmethod
    def of(cls, experiment: "Experiment", seed: int) -> "Drawing":
        rows = experiment.data.validation
        codes = None if rows.groups is None else torch.unique(rows.groups, return_inverse=True)[1]
        return cls(len(rows), codes, seed)

    def value(self, function: ByWeight) -> float:
        return influence(Statistic(function, self.num_rows), self.num_rows)[0]

    def difference(self, better: str, worse: str, function: ByWeight) -> NetworkDifference:
        """A function of the weights of the rows with its interval; the rows are drawn for both networks at once."""
        units = self.num_rows if self.groups is None else int(self.groups.max()) + 1
        statistic = Statistic(function, units)
        value, gradient = influence(statistic, self.num_rows)
        if self.groups is not None:
            gradient = torch.zeros(units, dtype=gradient.dtype).index_add(0, self.groups, gradient)
        variance = float(gradient.square().sum()) * units / max(units - 1, 1)
        if not variance > 0 or units < 2:
            return NetworkDifference(better, worse, value, None, None, None)
        interval = bootstrap(statistic, num_rows=self.num_rows, seed=self.seed, groups=self.groups)
        p = two_sided(value / variance**0.5, units - 1)
        return NetworkDifference(better, worse, value, interval.low, interval.high, p)


def less(first: ByWeight, second: ByWeight, sign: float) -> ByWeight:
    """The first less the second, in the direction that is better."""
    return lambda weights: sign * (first(weights) - second(weights))

"""The measures of a regression, in the unit of the target."""

import math
from dataclasses import replace

from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.evaluate.bootstrap import Statistic, bootstrap
from thalweg.evaluate.curves import predicted_curves
from thalweg.evaluate.estimates import mean_measure, undefined, with_interval
from thalweg.evaluate.intervals import Interval
from thalweg.evaluate.result import Measure, Result, TargetRow
from thalweg.evaluate.weighted import r2_by_weight, rmse_by_weight
from thalweg.parts.metrics import regression
from thalweg.parts.metrics.forms import pairs


def measure_regression(
    output: Tensor, target: Tensor, *, seed: int, replicates: int, names: tuple[str, ...] = ()
) -> Result:
    """r2, root mean squared and mean absolute error; of several targets their means, and each alone."""
    predicted, true = pairs(output, target)
    if not bool(predicted.isfinite().all() and true.isfinite().all()):
        raise DataError("An output or a target is infinite, so no error can be measured. Look for an overflow.")
    if len(names) not in (0, true.shape[1]):
        raise UsageError(f"There are {true.shape[1]} targets; received {len(names)} names: {list(names)}.")
    names = names or tuple(f"target {t}" for t in range(true.shape[1]))
    drawn = {"seed": seed, "replicates": replicates}
    several = range(true.shape[1]) if true.shape[1] > 1 else ()
    rows = tuple(target_row(names[t], predicted[:, t : t + 1], true[:, t : t + 1], **drawn) for t in several)
    curves = tuple(predicted_curves(predicted, true, names=names, seed=seed))
    return Result("regression", len(true), errors(predicted, true, **drawn), curves, per_target=rows)


def errors(predicted: Tensor, true: Tensor, *, seed: int, replicates: int) -> tuple[Measure, Measure, Measure]:
    return (
        r2(predicted, true, seed=seed, replicates=replicates),
        rmse(predicted, true, seed=seed, replicates=replicates),
        noted(mean_measure("mae", (predicted - true).abs().mean(1)), several_note(true)),
    )


def noted(measure: Measure, note: str) -> Measure:
    return replace(measure, note="; ".join(filter(None, (note, measure.note))))


def target_row(name: str, predicted: Tensor, true: Tensor, *, seed: int, replicates: int) -> TargetRow:
    return TargetRow(name, *errors(predicted, true, seed=seed, replicates=replicates))


def several_note(true: Tensor) -> str:
    return f"mean over {true.shape[1]} targets, each in its own unit" if true.shape[1] > 1 else ""


def r2(predicted: Tensor, true: Tensor, *, seed: int, replicates: int) -> Measure:
    if reason := regression.why_undefined(true):
        return undefined("r2", reason, len(true))
    statistic = Statistic(r2_by_weight(predicted - true, true), len(true))
    interval = bootstrap(statistic, num_rows=len(true), seed=seed, replicates=replicates)
    return with_interval("r2", regression.r2(predicted, true), interval, len(true), several_note(true))


def rmse(predicted: Tensor, true: Tensor, *, seed: int, replicates: int) -> Measure:
    """The root is monotone, so with one target the roots of the limits of the mean squared error are its limits."""
    value, error = regression.rmse(predicted, true), predicted - true
    if true.shape[1] > 1:
        statistic = Statistic(rmse_by_weight(error), len(true))
        interval = bootstrap(statistic, num_rows=len(true), seed=seed, replicates=replicates)
        return with_interval("rmse", value, interval, len(true), several_note(true))
    squares = mean_measure("mse", error[:, 0].square())
    low, high = (None if limit is None else math.sqrt(limit) for limit in (squares.low, squares.high))
    return with_interval("rmse", value, Interval(low, high, squares.method, squares.note), len(true))

"""The measures of binary and multi-class tasks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.evaluate.areas import auc_interval
from thalweg.evaluate.bootstrap import Statistic, bootstrap
from thalweg.evaluate.curves import MAX_CLASSES, rank_curves, reliability_curve
from thalweg.evaluate.estimates import mean_measure, proportion, undefined, with_interval
from thalweg.evaluate.intervals import Interval, f1_interval, mean_of_proportions, no_interval, wilson
from thalweg.evaluate.result import ClassRow, Measure, Result, Threshold
from thalweg.evaluate.weighted import average_precision_by_weight
from thalweg.parts.metrics import confusion, ranking
from thalweg.parts.metrics.calibration import Reliability, reliability
from thalweg.parts.metrics.forms import Kind, Scores, binary_scores, labels, predictions
from thalweg.parts.metrics.probability import brier_scores, log_losses
from thalweg.parts.metrics.several_classes import one_vs_rest

ROWS_PER_BIN = 20  # fewer leave a frequency uncertain by more than 0.2
MAX_BINS = 15


def measure_binary(
    output: Tensor,
    target: Tensor,
    *,
    scores: Scores,
    threshold: Threshold,
    classes: tuple[str, ...],
    seed: int,
    replicates: int,
) -> Result:
    """The measures of class 1 at the threshold, of the ranking, and of the probabilities."""
    score = binary_scores(output, scores)
    true = labels(target, num_classes=2)
    predicted = predictions(output, "binary", scores=scores, threshold=threshold.value)
    matrix = confusion.confusion_matrix(predicted, true, num_classes=2)
    rows = per_class(matrix, classes)
    positive = rows[confusion.POSITIVE]
    reason = ranking.why_undefined(true)
    table = reliability(output, true, kind="binary", scores=scores, bins=num_bins(len(true)))
    measures = [
        accuracy(matrix),
        balanced_accuracy(matrix),
        positive.precision,
        positive.recall,
        positive.f1,
        area([(score, true == 1)], true, reason),
        average_precision(score, true, reason, seed=seed, replicates=replicates),
        *probability_measures(output, true, "binary", scores),
        calibration_error(table, seed=seed, replicates=replicates),
    ]
    curves = ([] if reason else rank_curves(score, true)) + [reliability_curve(table)]
    counts = tuple(map(tuple, matrix.tolist()))
    return Result("binary", len(true), tuple(measures), tuple(curves), classes, counts, rows, threshold)


def measure_multiclass(
    output: Tensor, target: Tensor, *, scores: Scores, classes: tuple[str, ...], seed: int, replicates: int
) -> Result:
    """The measures of the class with the largest score, averaged over classes where they are measures of one."""
    predicted = predictions(output, "multiclass", scores=scores)
    true = labels(target, num_classes=len(classes))
    matrix = confusion.confusion_matrix(predicted, true, num_classes=len(classes))
    problems = [(k, score, one == 1) for k, score, one in one_vs_rest(output, true, scores=scores)]
    table = reliability(output, true, kind="multiclass", scores=scores, bins=num_bins(len(true)))
    measures = [
        accuracy(matrix),
        balanced_accuracy(matrix),
        macro("precision", matrix, confusion.precision(matrix), totals=matrix.sum(0)),
        macro("recall", matrix, confusion.recall(matrix), totals=matrix.sum(1)),
        macro_f1(matrix),
        area([(score, one) for _, score, one in problems], true, ranking.why_undefined(true)),
        *probability_measures(output, true, "multiclass", scores),
        calibration_error(table, seed=seed, replicates=replicates),
    ]
    drawn = problems if len(classes) <= MAX_CLASSES else []
    curves = [curve for k, score, one in drawn for curve in rank_curves(score, one, classes[k])]
    counts = tuple(map(tuple, matrix.tolist()))
    rows = per_class(matrix, classes)
    return Result("multiclass", len(true), tuple(measures), (*curves, reliability_curve(table)), classes, counts, rows)


def accuracy(matrix: Tensor) -> Measure:
    return proportion("accuracy", int(matrix.diagonal().sum()), int(matrix.sum()), "there are no rows")


def per_class(matrix: Tensor, classes: Sequence[str]) -> tuple[ClassRow, ...]:
    """Precision, recall and F1 of each class against the rest."""
    return tuple(class_row(matrix, k, name) for k, name in enumerate(classes))


def class_row(matrix: Tensor, k: int, name: str) -> ClassRow:
    hits, support, called = int(matrix[k, k]), int(matrix[k].sum()), int(matrix[:, k].sum())
    no_call, no_row = (confusion.why_undefined(measure, matrix, positive=k) for measure in ("precision", "recall"))
    f1 = undefined("f1", no_row, 0)
    if support:
        errors = support + called - 2 * hits
        interval = Interval(*f1_interval(hits, errors), "Wilson on TP / (TP + FP + FN)")
        f1 = with_interval("f1", 2 * hits / (support + called), interval, hits + errors)
    precision = proportion("precision", hits, called, no_call)
    return ClassRow(name, support, precision, proportion("recall", hits, support, no_row), f1)


def absent_note(matrix: Tensor) -> str:
    absent = len(matrix) - confusion.num_present(matrix)
    return f"classes without rows, left out: {absent} of {len(matrix)}" if absent else ""


def macro(name: str, matrix: Tensor, value: float, *, totals: Tensor) -> Measure:
    """A mean over classes of shares of `totals` rows; a class never predicted adds a plain 0 to the mean."""
    present = matrix.sum(1) > 0
    shared = present & (totals > 0)
    silent = int((present & ~shared).sum())
    notes = [absent_note(matrix), f"classes never predicted, counted as 0: {silent}" if silent else ""]
    interval = no_interval("none of the classes with rows was predicted")
    if bool(shared.any()):
        limits = mean_of_proportions(matrix.diagonal()[shared].tolist(), totals[shared].tolist())
        part = int(shared.sum()) / int(present.sum())
        interval = Interval(part * limits[0], part * limits[1], "score (Mee)")
    return with_interval(name, value, interval, int(matrix.sum()), "; ".join(filter(None, notes)))


def balanced_accuracy(matrix: Tensor) -> Measure:
    if reason := confusion.why_undefined("balanced_accuracy", matrix):
        return undefined("balanced_accuracy", reason, int(matrix.sum()))
    return macro("balanced_accuracy", matrix, confusion.balanced_accuracy(matrix), totals=matrix.sum(1))


def macro_f1(matrix: Tensor) -> Measure:
    """Mean F1 over the classes that have rows.

    By the delta method F1 has the variance of a proportion of `(1+J)^2 m / 2` rows, where J is the share TP of
    `m = TP + FP + FN` rows. An error lowers the F1 of two classes at once, which at most doubles the variance of the
    mean (Cauchy-Schwarz): with half the rows the score interval is wide enough, and little wider than a bootstrap,
    which fails where a class of few rows is all right.
    """
    present = matrix.sum(1) > 0
    hits = matrix.diagonal()[present].double()
    involved = (matrix.sum(0) + matrix.sum(1))[present] - hits
    rows = (1 + hits / involved).square() * involved / 4
    limits = mean_of_proportions((confusion.f1s(matrix)[present] * rows).tolist(), rows.tolist())
    interval = Interval(*limits, "score (Mee), effective rows")
    return with_interval("f1", confusion.f1(matrix), interval, int(matrix.sum()), absent_note(matrix))


def area(problems: Sequence[tuple[Tensor, Tensor]], true: Tensor, reason: str) -> Measure:
    """The area under the ROC curve, or its mean over the classes that have rows, each against the rest."""
    if reason:
        return undefined("auc", reason, len(true))
    value = sum(ranking.roc_auc(score, one) for score, one in problems) / len(problems)
    note = "all scores are equal" if all(bool((score == score[0]).all()) for score, _ in problems) else ""
    return with_interval("auc", value, auc_interval(problems, true), len(true), note)


def average_precision(score: Tensor, true: Tensor, reason: str, *, seed: int, replicates: int) -> Measure:
    if reason:
        return undefined("average_precision", reason, len(true))
    value = ranking.average_precision(score, true)
    positives = int(true.sum())
    statistic = Statistic(average_precision_by_weight(score, true), positives, unit=True)
    interval = bootstrap(statistic, num_rows=len(true), seed=seed, replicates=replicates)
    if interval.low is None and value == 1:
        interval = Interval(*wilson(positives, positives), "Wilson on the positive rows")
    return with_interval("average_precision", value, interval, len(true))


def probability_measures(output: Tensor, true: Tensor, kind: Kind, scores: Scores) -> list[Measure]:
    return [
        mean_measure("log_loss", log_losses(output, true, kind=kind, scores=scores)),
        mean_measure(
            "brier", brier_scores(output, true, kind=kind, scores=scores), most=1.0 if kind == "binary" else 2.0
        ),
    ]


def num_bins(num_rows: int) -> int:
    return max(1, min(MAX_BINS, num_rows // ROWS_PER_BIN))


def calibration_error(table: Reliability, *, seed: int, replicates: int) -> Measure:
    """Expected calibration error, `sum_b n_b/n |observed_b - predicted_b|`, with a bound that holds for any truth.

    By the triangle inequality the error of the estimate is at most the weighted sum of the bins' own absolute noise,
    whose 95 % quantile is drawn. A bootstrap would repeat the upward bias and never reach a true 0.
    """
    share = table.count / table.count.sum()
    value = float((share * (table.observed - table.predicted).abs()).sum())
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(replicates, len(share), dtype=torch.float64, generator=generator)
    total = (noise.abs() * (table.variance / table.count).sqrt()) @ share
    reach = float(torch.quantile(total, 0.95))
    interval = Interval(max(value - reach, 0.0), min(value + reach, 1.0), "triangle bound")
    bins = len(share)
    return with_interval("calibration_error", value, interval, int(table.count.sum()), f"bins of equal mass: {bins}")

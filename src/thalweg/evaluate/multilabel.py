"""The measures of several labels per row. Rows are resampled whole, since their labels depend on each other."""

from torch import Tensor

from thalweg.evaluate.areas import auc_interval
from thalweg.evaluate.bootstrap import Statistic, bootstrap
from thalweg.evaluate.classification import area, average_precision
from thalweg.evaluate.curves import MAX_CLASSES, rank_curves
from thalweg.evaluate.estimates import mean_measure, proportion, undefined, with_interval
from thalweg.evaluate.intervals import Interval, f1_interval, wilson
from thalweg.evaluate.result import ClassRow, Measure, Result, Threshold
from thalweg.evaluate.weighted import average_precision_by_weight, f1_by_weight, mean_by_weight
from thalweg.parts.metrics import multilabel, ranking
from thalweg.parts.metrics.forms import Scores, label_matrix, label_scores

Problems = list[tuple[int, Tensor, Tensor]]


def measure_multilabel(
    output: Tensor,
    target: Tensor,
    *,
    scores: Scores,
    threshold: Threshold,
    labels: tuple[str, ...],
    seed: int,
    replicates: int,
) -> Result:
    """The measures of all labels together and of each, called where its score exceeds the one threshold.

    Means over labels ("macro") leave out labels that no test row has: nothing about them was measured.
    """
    score = label_scores(output, scores)
    true = label_matrix(target, score.shape[1])
    found = multilabel.called(output, scores=scores, threshold=threshold.value)
    state = multilabel.counts_of(found, true)
    problems = multilabel.problems(output, target, scores=scores)
    drawn = {"seed": seed, "replicates": replicates}
    measures = [
        f1("micro_f1", multilabel.micro_f1(state), found, true, **drawn),
        f1("macro_f1", multilabel.macro_f1(state), found, true, **drawn),
        proportion("subset_accuracy", int(state[multilabel.EXACT, 0]), len(true), "there are no rows"),
        label_accuracy((found == true).double().mean(1)),
        macro_average_precision(problems, true, **drawn),
        macro_auc(problems, true),
        mean_measure("log_loss", multilabel.log_losses(output, target, scores=scores)),
    ]
    shown = problems if len(labels) <= MAX_CLASSES else []
    curves = [curve for k, values, one in shown for curve in rank_curves(values, one, labels[k])]
    rows = tuple(label_row(name, score[:, k], found[:, k], true[:, k], **drawn) for k, name in enumerate(labels))
    return Result("multilabel", len(true), tuple(measures), tuple(curves), labels, (), rows, threshold)


def left_out(true: Tensor) -> str:
    """The note about labels that no row has."""
    absent = int((~true.any(0)).sum())
    return f"labels without rows, left out: {absent} of {true.shape[1]}" if absent else ""


def f1(name: str, value: float, found: Tensor, true: Tensor, *, seed: int, replicates: int) -> Measure:
    if reason := multilabel.why_undefined(true):
        return undefined(name, reason, len(true))
    involved = int((found | true).any(1).sum())
    statistic = Statistic(f1_by_weight(found, true, micro=name == "micro_f1"), involved, unit=True)
    interval = bootstrap(statistic, num_rows=len(true), seed=seed, replicates=replicates)
    if interval.low is None and value in (0.0, 1.0):  # all right or all wrong, in so many rows
        right = involved if value else 0
        interval = Interval(*f1_interval(right, involved - right), "Wilson on the rows with labels")
    note = left_out(true) if name == "macro_f1" else ""
    return with_interval(name, value, interval, len(true), note)


def label_accuracy(shares: Tensor) -> Measure:
    """The mean over rows of the share of labels that are right."""
    errors = mean_measure("error", 1 - shares, most=1.0)
    if errors.low is None or errors.high is None:  # all rows alike: a share of N rows varies at most as a proportion
        interval = Interval(*wilson(float(shares.sum()), len(shares)), "Wilson")
    else:
        interval = Interval(1 - errors.high, 1 - errors.low, errors.method)
    return with_interval("label_accuracy", float(shares.mean()), interval, len(shares))


def macro_average_precision(problems: Problems, true: Tensor, *, seed: int, replicates: int) -> Measure:
    name = "macro_average_precision"
    if not problems:
        return undefined(name, multilabel.why_unranked(true), len(true))
    value = sum(ranking.average_precision(score, one) for _, score, one in problems) / len(problems)
    function = mean_by_weight([average_precision_by_weight(score, one) for _, score, one in problems])
    fewest = min(int(one.sum()) for _, _, one in problems)
    statistic = Statistic(function, fewest, unit=True, parts=len(problems))
    interval = bootstrap(statistic, num_rows=len(true), seed=seed, replicates=replicates)
    if interval.low is None and value == 1:
        interval = Interval(*wilson(fewest, fewest), "Wilson on the positive rows of the rarest label")
    return with_interval(name, value, interval, len(true), unranked(problems, true))


def macro_auc(problems: Problems, true: Tensor) -> Measure:
    if not problems:
        return undefined("macro_auc", multilabel.why_unranked(true), len(true))
    pairs = [(score, one == 1) for _, score, one in problems]
    value = sum(ranking.roc_auc(score, one) for score, one in pairs) / len(pairs)
    return with_interval("macro_auc", value, auc_interval(pairs, None), len(true), unranked(problems, true))


def unranked(problems: Problems, true: Tensor) -> str:
    """The note about labels that all rows or none have."""
    absent = true.shape[1] - len(problems)
    return f"labels of all rows or of none, left out: {absent} of {true.shape[1]}" if absent else ""


def label_row(name: str, score: Tensor, found: Tensor, true: Tensor, *, seed: int, replicates: int) -> ClassRow:
    hits, support, called = int((found & true).sum()), int(true.sum()), int(found.sum())
    value = undefined("f1", "no row has this label", 0)
    if support:
        errors = support + called - 2 * hits
        interval = Interval(*f1_interval(hits, errors), "Wilson on TP / (TP + FP + FN)")
        value = with_interval("f1", 2 * hits / (support + called), interval, hits + errors)
    reason = ranking.why_undefined(true)
    if reason:
        reason = "all rows have this label" if support else "no row has this label"
    return ClassRow(
        name,
        support,
        proportion("precision", hits, called, "this label was never called"),
        proportion("recall", hits, support, "no row has this label"),
        value,
        average_precision(score, true.long(), reason, seed=seed, replicates=replicates),
        area([(score, true)], true.long(), reason),
    )

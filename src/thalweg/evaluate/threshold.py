"""The threshold of a binary task, chosen on validation rows: a choice on the test rows would flatter the measures."""

import re
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.errors import UsageError, did_you_mean
from thalweg.evaluate.result import Threshold
from thalweg.parts.metrics.forms import Scores, binary_scores, label_matrix, label_scores, neutral
from thalweg.parts.metrics.ranking import cumulative_counts, why_undefined

OBJECTIVES = (
    "f1, f2, f0.5 (F-beta with any beta), accuracy, balanced_accuracy, youden, mcc, cost_10 (a missed positive row "
    "costs 10 times a false alarm), recall_at_precision_0.9, precision_at_recall_0.9, tpr_at_fpr_0.05"
)
NAMED = ("accuracy", "balanced_accuracy", "youden", "mcc")
NONE_CALLED = "no row is called positive: no cut does better"
NUMBER = r"(\d+(?:\.\d+)?)"
CONSTRAINED = re.compile(rf"(recall_at_precision|precision_at_recall|tpr_at_fpr)_{NUMBER}")


def choose_threshold(
    output: Tensor,
    target: Tensor,
    *,
    objective: str = "f1",
    scores: Scores = "logits",
    chosen_on: str = "validation",
) -> Threshold:
    """The cut with the largest objective among all there are: below every row, in each gap, at the highest score.

    A cut lies in the middle of its gap. Of several best cuts the one nearest to probability 1/2 is taken. With rows of
    one class nothing can be chosen: the cut stays at probability 1/2, and `note` says so.

    Args:
        output: `[N]`, `[N, 1]` or `[N, 2]`, of the validation rows.
        target: `[N]` of 0 and 1.
        objective: what is to be largest. `"f1"` of class 1 (a weak network reaches its best F1 by calling every row
            positive), `"f2"` or `"f0.5"` for F-beta; `"accuracy"`; `"balanced_accuracy"`, or `"youden"`: sensitivity +
            specificity - 1, which has the same maximum; `"mcc"`; `"cost_10"`, where a missed positive row costs 10
            times a false alarm. Or the largest recall (or precision) among the cuts that keep a limit:
            `"recall_at_precision_0.9"`, `"precision_at_recall_0.9"`, `"tpr_at_fpr_0.05"`. A limit that is kept on these
            rows is kept on others in about half of all cases: choose it with room.
        scores: what the output holds.
        chosen_on: the name of the rows, for the report.

    Raises:
        DataError: for no rows, NaN scores, or labels other than 0 and 1.
        UsageError: for an objective that is not known.

    >>> choose_threshold(torch.tensor([-3.0, -1.0, 2.0, 4.0]), torch.tensor([0, 0, 1, 1])).value
    0.5
    """
    check_objective(objective)
    values, true, false = cumulative_counts(binary_scores(output, scores), target)
    true, false = (torch.cat([count.new_zeros(1), count]) for count in (true, false))  # at the highest score: none
    middle = neutral(scores)
    count = len(target)
    if reason := why_undefined(target):
        return Threshold(middle, scores, "default", objective, count=count, note=f"not chosen: {reason}")
    reached = objective_at(true, false, objective)
    if bool(reached.isinf().all()):
        return Threshold(middle, scores, "default", objective, count=count, note="not chosen: no cut keeps the limit")
    best = (reached == reached.max()).nonzero()[:, 0]
    cuts = torch.cat([values[:1], middles(values)])[best]
    nearest = int((cuts - middle).abs().argmin())
    note = {-torch.inf: "every row is called positive: no cut does better", float(values[0]): NONE_CALLED}.get(
        float(cuts[nearest]), ""
    )
    return Threshold(float(cuts[nearest]), scores, chosen_on, objective, float(reached[best[nearest]]), count, note)


def choose_common_threshold(output: Tensor, target: Tensor, *, scores: Scores = "logits") -> Threshold:
    """One cut for all labels of a multi-label task: that with the largest micro F1, as `choose_threshold` finds it.

    A cut of its own for each label would fit the few validation rows that a rare label has.

    Args:
        output: `[N, T]` of the validation rows.
        target: `[N, T]` of 0 and 1.
        scores: what the output holds.

    >>> choose_common_threshold(torch.tensor([[-3.0, 2.0], [-1.0, 4.0]]), torch.tensor([[0, 1], [0, 1]])).value
    0.5
    """
    values = label_scores(output, scores)
    entries = label_matrix(target, values.shape[1]).flatten().long()
    found = choose_threshold(values.flatten(), entries, objective="f1", scores=scores)
    return replace(found, objective="micro_f1", count=len(target))


def check_objective(objective: str) -> None:
    """Raises `UsageError` for an objective that `choose_threshold` does not know."""
    named = objective in NAMED
    numbered = re.fullmatch(rf"(?:f|cost_){NUMBER}", objective)
    limited = CONSTRAINED.fullmatch(objective)
    if not (named or (numbered and float(numbered[1]) > 0) or (limited and 0 <= float(limited[2]) <= 1)):
        raise UsageError(f"objective got {objective!r}.{did_you_mean(objective, NAMED)} Allowed: {OBJECTIVES}.")


def objective_at(true: Tensor, false: Tensor, objective: str) -> Tensor:
    """`[cuts]` float64 objective where `true` positive and `false` negative rows are called positive.

    One division of whole numbers each, so that equal cuts are equal numbers; minus infinity where a limit is not kept.
    """
    positives, negatives = true[-1], false[-1]
    if limited := CONSTRAINED.fullmatch(objective):
        recall, precision = true.double() / positives, true.double() / (true + false).clamp_min(1)
        value, limit = {
            "recall_at_precision": (recall, precision),
            "precision_at_recall": (precision, recall),
            "tpr_at_fpr": (recall, 1 - false.double() / negatives),
        }[limited[1]]
        least = 1 - float(limited[2]) if limited[1] == "tpr_at_fpr" else float(limited[2])
        return value.where(limit >= least - 1e-12, -torch.inf)
    if objective.startswith("cost_"):
        cost = float(objective.removeprefix("cost_"))
        return -(cost * (positives - true).double() + false) / (positives + negatives)
    if objective == "accuracy":
        return (true + negatives - false).double() / (positives + negatives)
    if objective == "mcc":
        called = (true + false).double()
        product = called * positives * (positives + negatives - called) * negatives
        return (true * negatives - false * positives).double() / product.sqrt().where(product > 0, 1.0)
    if objective.startswith("f"):
        square = float(objective[1:]) ** 2
        return (1 + square) * true.double() / (true + false + square * positives).double()
    gain = true * negatives - false * positives  # Youden's J times P N
    if objective == "youden":
        return gain.double() / (positives * negatives).double()
    return (gain + positives * negatives).double() / (2 * positives * negatives).double()


def middles(values: Tensor) -> Tensor:
    """For each distinct score, from the highest, the cut below it: halfway to the next, or minus infinity below all."""
    below = torch.cat([values[1:], values.new_full((1,), -torch.inf)])
    cut = values / 2 + below / 2
    # Halfway between neighboring floats rounds to one of them; the lower one still lets the upper exceed it.
    return torch.where(cut < values, cut, below)

"""The threshold of a binary task, chosen on validation rows: a choice on the test rows would flatter the measures."""

from dataclasses import replace
from typing import Literal

import torch
from torch import Tensor

from thalweg.evaluate.result import Threshold
from thalweg.parts.metrics.forms import Scores, binary_scores, check_word, label_matrix, label_scores, neutral
from thalweg.parts.metrics.ranking import cumulative_counts, why_undefined

Objective = Literal["f1", "balanced_accuracy", "youden"]


def choose_threshold(
    output: Tensor,
    target: Tensor,
    *,
    objective: Objective = "f1",
    scores: Scores = "logits",
    chosen_on: str = "validation",
) -> Threshold:
    """The cut with the largest objective among all there are: one below every row, and one in each gap between scores.

    A cut lies in the middle of its gap. Of several best cuts the one nearest to probability 1/2 is taken. With rows of
    one class nothing can be chosen: the cut stays at probability 1/2, and `note` says so.

    Args:
        output: `[N]`, `[N, 1]` or `[N, 2]`, of the validation rows.
        target: `[N]` of 0 and 1.
        objective: `"f1"` of class 1 (a weak network reaches its best F1 by calling every row positive),
            `"balanced_accuracy"`, or `"youden"`: sensitivity + specificity - 1, which has the same maximum.
        scores: what the output holds.
        chosen_on: the name of the rows, for the report.

    Raises:
        DataError: for no rows, NaN scores, or labels other than 0 and 1.

    >>> choose_threshold(torch.tensor([-3.0, -1.0, 2.0, 4.0]), torch.tensor([0, 0, 1, 1])).value
    0.5
    """
    check_word("objective", objective, Objective)
    values, true, false = cumulative_counts(binary_scores(output, scores), target)
    middle = neutral(scores)
    count = len(target)
    if reason := why_undefined(target):
        return Threshold(middle, scores, "default", objective, count=count, note=f"not chosen: {reason}")
    reached = objective_at(true, false, objective)
    best = (reached == reached.max()).nonzero()[:, 0]
    cuts = middles(values)[best]
    nearest = int((cuts - middle).abs().argmin())
    note = "every row is called positive: no cut does better" if bool(cuts[nearest] == -torch.inf) else ""
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


def objective_at(true: Tensor, false: Tensor, objective: Objective) -> Tensor:
    """`[cuts]` float64 objective where `true` positive and `false` negative rows are called positive.

    One division of whole numbers each, so that equal cuts are equal numbers.
    """
    positives, negatives = true[-1], false[-1]
    if objective == "f1":
        return (2 * true).double() / (true + false + positives).double()
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

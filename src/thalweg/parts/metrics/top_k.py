"""Top-k accuracy: whether the true class is among the k with the largest scores (L41)."""

import torch
from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import class_scores, labels, mean_of, same_rows


def ranks(values: Tensor, true: Tensor) -> Tensor:
    """`[N]` int64: how many classes stand before the true one, by score `[N, C]`, then by number.

    >>> ranks(torch.tensor([[0.1, 0.7, 0.7]]), torch.tensor([2])).tolist()
    [1]
    """
    own = values.gather(1, true[:, None])
    before = torch.arange(values.shape[1], device=values.device) < true[:, None]
    return ((values > own) | ((values == own) & before)).sum(1)


def check_k(k: int, num_classes: int) -> None:
    """Raises `UsageError` where k is no whole number from 1 to C - 1, so that the answer would be 1 for any network."""
    if not (isinstance(k, int) and 1 <= k < num_classes):
        raise UsageError(
            f"k is a whole number from 1 to {num_classes - 1}, below the {num_classes} classes; received {k}."
        )


def top_k_accuracy(output: Tensor, target: Tensor, *, k: int, weight: Tensor | None = None) -> float:
    """Share of rows whose true class is among the k classes with the largest scores; NaN without rows.

    `1/N sum_n [rank of class y_n in row n ≤ k]`

    Args:
        output: `[N, C]` scores of any monotone scale: logits or probabilities.
        target: `[N]` class indices.
        k: from 1 to C - 1.
        weight: `[N]` of at least 0; None counts each row once.

    Raises:
        UsageError: for a k out of range: with k = C every network has 1.
        DataError: for NaN, labels out of range, lengths that differ.

    >>> scores = torch.tensor([[0.5, 0.3, 0.2], [0.4, 0.5, 0.1]])
    >>> top_k_accuracy(scores, torch.tensor([1, 2]), k=2)
    0.5

    Source: Russakovsky et al. 2015, "ImageNet Large Scale Visual Recognition Challenge"; L41. Of equal scores the lower
    class comes first, as in `argmax`, so that k = 1 is the accuracy; scikit-learn's puts the higher class first.
    """
    return mean_of(hits(output, target, k=k), weight)


def hits(output: Tensor, target: Tensor, *, k: int) -> Tensor:
    """`[N]` float64: 1 where the true class is among the first k, else 0."""
    values = class_scores(output)
    same_rows(values, target)
    check_k(k, values.shape[1])
    true = labels(target, num_classes=values.shape[1]).to(values.device)
    return (ranks(values, true) < k).double()

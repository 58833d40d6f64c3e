"""Measures of agreement beyond chance, from the confusion matrix: Matthews correlation, Cohen's kappa (L41)."""

from typing import Literal

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import check_word, exact

Distance = Literal["unweighted", "linear", "quadratic"]


def mcc(matrix: Tensor) -> float:
    """Matthews correlation coefficient: the correlation between true and predicted class, from -1 to 1.

    With c right rows of s, t_k rows of class k and p_k predictions of it:

        R = (c s - Σ t_k p_k) / √((s² - Σ p_k²) (s² - Σ t_k²))

    In a binary task it is `(TP TN - FP FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN))`. Unlike F1 it counts all four cells.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.

    >>> round(mcc(torch.tensor([[9, 1], [2, 8]])), 4)
    0.7035

    Source: Matthews 1975; several classes: Gorodkin 2004, "Comparing two K-category assignments"; L41. NaN where all
    rows are of one class or one class is always predicted: 0/0, for which scikit-learn answers 0.
    """
    cells = exact(matrix)
    rows, called, total = cells.sum(1), cells.sum(0), cells.sum()
    shared = cells.diagonal().sum() * total - (rows * called).sum()
    # s² - Σ t² as Σ t (s - t), which loses no digits where one class has nearly all rows.
    spread = (rows * (total - rows)).sum() * (called * (total - called)).sum()
    return float(shared / spread.sqrt()) if float(spread) > 0 else torch.nan


def kappa(matrix: Tensor, *, distance: Distance = "unweighted") -> float:
    """Cohen's kappa: how much less disagreement there is than between independent answers with the same frequencies.

    `κ = 1 - Σ w_ij O_ij / Σ w_ij E_ij`, where O is the matrix and `E_ij = t_i p_j / s`.

    Args:
        matrix: a confusion matrix `[C, C]`, row = true class, column = predicted class.
        distance: w between two classes: `"unweighted"`, 1 for any other class; `"linear"`, `|i - j|`; `"quadratic"`,
            `(i - j)²`. The latter are for ordered classes, such as grades.

    Raises:
        UsageError: for another distance.

    >>> round(kappa(torch.tensor([[9, 1], [2, 8]])), 4), kappa(torch.tensor([[2, 0], [2, 0]]))
    (0.7, 0.0)

    Source: Cohen 1960; weighted: Cohen 1968; L41. As scikit-learn's `cohen_kappa_score(weights=)`; NaN where all rows
    are of one class and it was always predicted.
    """
    check_word("distance", distance, Distance)
    cells = exact(matrix)
    place = torch.arange(len(cells), dtype=torch.float64, device=cells.device)
    apart = (place[:, None] - place).abs()
    apart = {"unweighted": (apart > 0).double(), "linear": apart, "quadratic": apart.square()}[distance]
    expected = cells.sum(1)[:, None] * cells.sum(0) / cells.sum()
    return float(1 - (apart * cells).sum() / (apart * expected).sum())

"""How much a score owes to rows that were trained on: copies against the other rows, class by class."""

from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

from thalweg.measure.score import Score

IMBALANCED = 0.8  # of the rows in one class: then a score that counts rows alike hides what happens to the others
LEAST_CLEAN = 30  # rows without a copy: of fewer the mean says nothing about the others


@dataclass(frozen=True)
class Inflation:
    """What copies add to a score.

    Args:
        name: of the score.
        whole: the score of all rows that were compared.
        clean: the score that these rows would have, were copies answered like the others of their class.
        difference: `whole - clean`.
        error: its standard error over independent rows.
        constant: what a constant answer reaches.
        count: rows without a copy.
    """

    name: str
    whole: float
    clean: float
    difference: float
    error: float
    constant: float
    count: int


def inflation(found: Score, copies: Tensor) -> Inflation | None:
    """The score of all rows against that of rows without a copy in the training data.

    `sum_c w_c (mean of copies in c - mean of the others in c)` over the classes c, since copies may be of the easier
    classes; w_c is the share of copies of c in all rows. Where one class has more than 0.8 of the rows, it is the
    balanced score: w_c is the share of copies in c over the number of classes. Its variance takes the rows of a class
    as independent. Classes of which only one kind of row is there are left out. None with fewer than 30 rows without a
    copy.

    Args:
        found: scores of the rows.
        copies: `[N]` which rows equal a training row.

    >>> each = torch.cat([torch.ones(50), torch.ones(20), torch.zeros(30)]).double()
    >>> made = inflation(Score("accuracy", each, 0.5), torch.arange(100) < 50)
    >>> made.whole, round(made.clean, 3), round(made.difference, 3)
    (0.7, 0.4, 0.3)
    """
    copies = copies.to(found.each.device)
    classes = torch.zeros(len(copies), dtype=torch.long, device=copies.device) if found.labels is None else found.labels
    kinds = int(classes.max()) + 1 if len(classes) else 1
    copied, clean = classes[copies].bincount(minlength=kinds), classes[~copies].bincount(minlength=kinds)
    taken = (copied > 0) & (clean > 0)
    used = taken[classes]
    each, classes, copies = found.each[used], classes[used], copies[used]
    if int((~copies).sum()) < LEAST_CLEAN:
        return None
    cells = [cell_of(each, classes + kinds * copies.long(), kinds * which, kinds) for which in (1, 0)]
    pooled = float(sum(cell.squares.sum() for cell in cells)) / max(len(each) - 2 * int(taken.sum()), 1)
    rows = (cells[0].counts + cells[1].counts).clamp(min=1)
    share = cells[0].counts / len(each)
    constant, name = found.constant, found.name
    whole = each.mean()
    if found.labels is not None and constant > IMBALANCED:
        name, constant = f"balanced {name}", 1 / int(taken.sum())
        share = cells[0].counts / rows / int(taken.sum())
        whole = each.new_zeros(kinds).index_add_(0, classes, each).div(rows)[taken].mean()
    difference = float((share * (cells[0].means - cells[1].means))[taken].sum())
    variance = sum(float((share.square() * cell.variance(pooled))[taken].sum()) for cell in cells)
    # where all rows are right no variance is seen, though the next may be wrong: at least that of one row in all
    error = max(sqrt(variance), 1 / len(each))
    return Inflation(name, float(whole), float(whole) - difference, difference, error, constant, int((~copies).sum()))


@dataclass(frozen=True)
class Cell:
    """Per class: rows, their mean, and the squares of their deviations from it."""

    counts: Tensor
    means: Tensor
    squares: Tensor

    def variance(self, pooled: float) -> Tensor:
        """Of the means, with the classes' own variance of a row, and at least that of all classes together."""
        own = self.squares / (self.counts - 1).clamp(min=1)
        return own.clamp(min=pooled) / self.counts.clamp(min=1)


def cell_of(each: Tensor, codes: Tensor, first: int, kinds: int) -> Cell:
    """The classes whose codes begin at `first`."""
    inside = (codes >= first) & (codes < first + kinds)
    values, classes = each[inside], codes[inside] - first
    counts = classes.bincount(minlength=kinds).double()
    means = each.new_zeros(kinds).index_add_(0, classes, values) / counts.clamp(min=1)
    squares = each.new_zeros(kinds).index_add_(0, classes, (values - means[classes]).square())
    return Cell(counts, means, squares)

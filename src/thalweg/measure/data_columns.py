"""The columns of a table: which are constant or equal, how they are conditioned, which one alone tells the target."""

from collections.abc import Sequence

import torch
from torch import Tensor

from thalweg.measure.data_features import standard
from thalweg.measure.data_shift import cross_fitted
from thalweg.measure.inputs import is_constant
from thalweg.readings import Reading

MOST_COLUMNS, MOST_CLASSES = 256, 20  # beyond, a row is rather a picture or a signal, and time grows with both
LEAST_ROWS, LEAST_COLUMNS = 100, 3
BINS = 16  # quantiles of a column, or its values where there are no more
FOLDS = 5
PRIOR = 1.0  # rows of the mean that each bin begins with
EQUAL = 1 - 1e-9  # correlation of columns that are one column: float32 has 7 digits, products of them 14


def describe_columns(columns: Tensor, names: Sequence[str] = ()) -> list[Reading]:
    """Readings of the columns `[N, F]` of a table.

    `columns.constant` and `columns.equal`, how many are constant, or equal to an earlier one up to scale and offset
    (the note names them); `columns.condition`, the largest over the smallest eigenvalue of the correlations of the
    others, and `columns.spread`, the largest over the smallest of their deviations, squared.

    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> x = torch.cat([x, 2 * x[:, :1] + 1, torch.ones(200, 1)], 1)
    >>> [(r.name, int(r.value), r.note) for r in describe_columns(x)][:2]
    [('columns.constant', 1, '4'), ('columns.equal', 1, '3 = 0')]
    """
    if columns.dim() != 2 or not LEAST_COLUMNS <= columns.shape[1] <= MOST_COLUMNS or len(columns) < LEAST_ROWS:
        return []
    values = columns.detach().double().cpu()
    values = values[values.isfinite().all(1)]
    if len(values) < max(LEAST_ROWS, columns.shape[1]):
        return []
    labels = list(names) if len(names) == columns.shape[1] else [str(i) for i in range(columns.shape[1])]
    mean, spread = values.mean(0), values.std(0, correction=0)
    constant = is_constant(spread, mean)
    kept = (~constant).nonzero()[:, 0]
    scaled = (values[:, kept] - mean[kept]) / spread[kept]
    correlation = scaled.T @ scaled / len(values)
    earlier = correlation.abs().tril(-1) >= EQUAL
    double = earlier.any(1)
    equal = [f"{labels[kept[i]]} = {labels[kept[int(earlier[i].int().argmax())]]}" for i in double.nonzero()[:, 0]]
    unlike = ~double
    named = ", ".join(labels[i] for i in constant.nonzero()[:, 0].tolist()[:5])
    readings = [
        Reading("columns.constant", int(constant.sum()), count=len(values), note=named),
        Reading("columns.equal", len(equal), count=len(values), note=", ".join(equal[:5])),
    ]
    if int(unlike.sum()) > 1:
        eigenvalues = torch.linalg.eigvalsh(correlation[unlike][:, unlike])
        condition = float(eigenvalues[-1] / eigenvalues[0].clamp(min=1e-15))
        deviations = spread[kept][unlike]
        readings += [
            Reading("columns.condition", condition, count=len(values)),
            Reading("columns.spread", float((deviations.max() / deviations.min()).square()), count=len(values)),
        ]
    return readings


def telling_column(columns: Tensor, target: Tensor, *, classes: bool, names: Sequence[str] = ()) -> list[Reading]:
    """The one column that alone predicts the target best, beside all others together.

    Reading `column.alone`, the share of the target's variance (of the one-hot classes) that the means of its bins
    explain on other rows, with its 95 % interval and the column as place; and `column.others`, the same for a ridge
    regression on all other columns and their squares.

    Args:
        columns: `[N, F]`.
        target: `[N]` class indices, or numbers.
        classes: whether it holds class indices.
        names: of the columns.
    """
    if columns.dim() != 2 or target.dim() != 1 or len(columns) < LEAST_ROWS:
        return []
    if not LEAST_COLUMNS <= columns.shape[1] <= MOST_COLUMNS:
        return []
    values, wanted = columns.detach().double().cpu(), wanted_of(target.detach().cpu(), classes=classes)
    if wanted is None or not bool(values.isfinite().all()):
        return []
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(0))
    values, wanted = values[order], wanted[order]
    total = wanted.square().sum(1).mean()
    shares = torch.stack([1 - left / total for left in errors_alone(binned(values), wanted)])
    best = int(shares.mean(1).argmax())
    each = shares[best]
    half = 1.96 * float(each.std()) / len(each) ** 0.5
    others = torch.cat([values[:, :best], values[:, best + 1 :]], dim=1)
    features = standard(others)
    error = (cross_fitted(torch.cat([features, standard(features.square())], 1), wanted) - wanted).square().sum(1)
    value = float(each.mean())
    place = names[best] if len(names) == columns.shape[1] else str(best)
    return [
        Reading("column.alone", value, place, low=value - half, high=value + half, count=len(each)),
        Reading("column.others", max(float(1 - error.mean() / total), 0.0), place, count=len(each)),
    ]


def wanted_of(target: Tensor, *, classes: bool) -> Tensor | None:
    """`[N, K]` centered: one-hot classes, or the numbers; None where all are equal, or there are too many classes."""
    if classes:
        present, codes = torch.unique(target, return_inverse=True)
        if not 2 <= len(present) <= MOST_CLASSES:
            return None
        found = torch.nn.functional.one_hot(codes).double()
    else:
        found = target.double()[:, None]
    found = found - found.mean(0)
    return found if bool(found.isfinite().all()) and bool(found.square().sum() > 0) else None


def binned(values: Tensor) -> Tensor:
    """`[N, F]` codes from 0: the value's place among up to 16 different ones, or else its quantile."""
    codes = []
    for column in values.T:
        present, inverse = torch.unique(column, return_inverse=True)
        if len(present) > BINS:
            edges = column.quantile(torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1])
            inverse = torch.bucketize(column.contiguous(), edges)
        codes.append(inverse)
    return torch.stack(codes, dim=1)


def errors_alone(codes: Tensor, wanted: Tensor) -> Tensor:
    """`[F, N]`: the squared error of each row by the mean of its bin over the other folds, for each column."""
    folds = torch.arange(len(codes)) % FOLDS
    errors = torch.empty(codes.shape[1], len(codes), dtype=torch.float64)
    for fold in range(FOLDS):
        seen, judged = folds != fold, folds == fold
        mean = wanted[seen].mean(0)
        for place, column in enumerate(codes.T):
            sums = wanted.new_zeros(BINS, wanted.shape[1]).index_add_(0, column[seen], wanted[seen])
            counts = column[seen].bincount(minlength=BINS).double()[:, None]
            means = (sums + PRIOR * mean) / (counts + PRIOR)
            errors[place, judged] = (means[column[judged]] - wanted[judged]).square().sum(1)
    return errors

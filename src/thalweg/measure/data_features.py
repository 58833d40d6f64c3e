"""A row in some tens of numbers, whatever its form: what simple classifiers of rows look at."""

import torch
from torch import Tensor

from thalweg.data.rows import Batch, Inputs, tensors_of

COLUMNS = 64  # rows with more are projected onto so many random directions
VALUES = 32  # the most frequent ones of integers, such as tokens, that are counted
SEED = 104_729  # of the directions: an unusual one, so that data drawn in a test are not the same numbers
CLIP = 6.0  # deviations: a few outliers must not decide what a linear classifier sees


def describe_rows(inputs: Inputs) -> Tensor | None:
    """`[N, F]` float64 features of rows, each of mean 0 and deviation 1 over these rows; None for a whole `Batch`.

    Of floats the columns (random projections of them, where there are more than 64), their squares, and mean, spread,
    extremes and roughness of each row; of integers in sequences how often each
    frequent value occurs.

    >>> describe_rows(torch.randn(50, 3)).shape
    torch.Size([50, 6])
    """
    if isinstance(inputs, Batch):
        return None
    found = []
    for place, value in enumerate(tensors_of(inputs)):
        flat = value.detach().reshape(len(value), -1).cpu()
        flat = flat.float() if flat.shape[1] > COLUMNS else flat.double()  # of wide rows the time counts
        if not bool(flat.isfinite().all()):
            return None
        if not value.is_floating_point() and value.dim() > 1:
            found.append(counted(flat))
            continue
        columns = standard(flat)
        if flat.shape[1] > COLUMNS:
            generator = torch.Generator().manual_seed(SEED + place)
            directions = torch.randn(flat.shape[1], COLUMNS, generator=generator)
            columns = torch.cat([columns @ directions, of_row(flat)], dim=1)
            columns = standard(columns.double())
        found += [columns, columns.square()]
    return standard(torch.cat(found, dim=1)) if found else None


def standard(columns: Tensor) -> Tensor:
    """Mean 0 and deviation 1 per column, cut off at six deviations; constant columns are 0."""
    spread, mean = columns.std(0, correction=0), columns.mean(0)
    constant = spread <= 1e-9 * mean.abs() + 1e-30
    return ((columns - mean) / spread.masked_fill(constant, torch.inf)).clamp(-CLIP, CLIP)


def counted(values: Tensor) -> Tensor:
    """How often each of the most frequent integers occurs in each row."""
    present, counts = torch.unique(values, return_counts=True)
    frequent = present[counts.argsort(descending=True)[:VALUES]]
    return torch.stack([(values == one).double().sum(1) for one in frequent], dim=1)


def of_row(flat: Tensor) -> Tensor:
    """What kind of row each is: level, spread, extremes, change from one value to the next, how often there is none."""
    change = flat.diff(dim=1)
    return torch.stack(
        [
            flat.mean(1),
            flat.std(1),
            flat.amin(1),
            flat.amax(1),
            change.abs().mean(1),
            (change == 0).double().mean(1),
        ],
        dim=1,
    )

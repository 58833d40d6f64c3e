"""Rows that are nearly those of another part: a picture saved twice, a measurement with another rounding."""

import torch
from torch import Tensor

from thalweg.readings import Reading

COMPONENTS = 64
LEAST_ROWS, LEAST_COLUMNS = 100, 8  # in few columns all rows lie close to one another
MOST_ROWS = 2048  # of the training rows: their distances to one another take .1 s
RATIO = 0.1  # of the distance that a row has to its nearest neighbor within the training rows, at the median
AGREE = 0.99  # correlation of the whole rows, by which a pair is verified


def near_duplicates(train: Tensor, held: Tensor, ids: Tensor, held_ids: Tensor, *, of: int) -> list[Reading]:
    """How many held rows nearly equal a training row without being equal.

    Rows are compared in 64 principal components; a pair is near where its distance is below a tenth of the median
    distance of a training row to its nearest other one, and its whole rows correlate by more than 0.99.

    Reading `near.share`, of the held rows, were they compared with all training rows: `count` were compared, and the
    note names the first pairs by their numbers. `near.rows`, how many were found.

    Args:
        train: `[N, F]` floats.
        held: `[M, F]`.
        ids: `[N]` the numbers of the training rows.
        held_ids: `[M]` those of the held rows.
        of: how many training rows there are, of which these N are a sample.
    """
    if train.shape[1] < LEAST_COLUMNS or min(len(train), len(held)) < LEAST_ROWS:
        return []
    if not bool(train.isfinite().all() and held.isfinite().all()):
        return []
    mean = train.mean(0)
    one, other = project(train - mean, held - mean)
    own = torch.cdist(one, one).fill_diagonal_(torch.inf)
    own = own.masked_fill(own == 0, torch.inf)  # copies within the training rows are no measure of distance
    closest = own.amin(1)
    closest = closest[closest.isfinite()]
    typical = float(closest.median()) if len(closest) else 0.0
    nearest, which = torch.cdist(other, one).min(1)
    pairs = (nearest < RATIO * typical).nonzero()[:, 0]
    a, b = held[pairs] - mean, train[which[pairs]] - mean
    same = (held[pairs] == train[which[pairs]]).all(1)
    alike = torch.nn.functional.cosine_similarity(a, b) > AGREE
    found = pairs[alike & ~same]
    named = [f"validation row {int(held_ids[i]):,} ≈ training row {int(ids[which[i]]):,}" for i in found[:5]]
    share = min(len(found) / len(held) * of / len(train), 1.0)
    return [
        Reading("near.share", share, place="validation", count=len(held), note=", ".join(named)),
        Reading("near.rows", len(found), place="validation", count=len(held)),
    ]


def project(train: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """Rows in the principal components of the training rows; as they are where they have few columns."""
    if train.shape[1] <= COMPONENTS:
        return train, held
    basis = torch.pca_lowrank(train, q=COMPONENTS, center=False, niter=2)[2]
    return train @ basis, held @ basis

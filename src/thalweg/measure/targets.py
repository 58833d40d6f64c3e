"""The target as it enters the loss."""

import torch
from torch import Tensor

from thalweg.readings import Reading


def describe_target(target: Tensor) -> list[Reading]:
    """Reading `target.distinct`, how many different targets there are (up to 2 are told apart); and, of floats that are
    not all zeros and ones, `target.mean` and `target.deviation` over all columns together, `target.ratio` the largest
    column's deviation over the smallest one's.
    """
    distinct = 1 if bool((target == target[:1]).all()) else 2
    readings = [Reading("target.distinct", distinct, count=len(target))]
    if target.is_floating_point() and not bool(((target == 0) | (target == 1)).all()):
        values = target.double()
        columns = values.reshape(len(values), -1).std(0, correction=0)
        columns = columns[columns > 0]
        readings += [
            Reading("target.mean", float(values.mean()), count=len(target)),
            Reading("target.deviation", float(values.std(correction=0)), count=len(target)),
            Reading("target.ratio", float(columns.max() / columns.min()) if len(columns) else 1.0, count=len(target)),
        ]
    return readings


def scaled(target: Tensor) -> Tensor:
    """Each column of a float target with mean 0 and deviation 1."""
    values = target.double()
    spread = values.std(0, correction=0, keepdim=True)
    return ((values - values.mean(0, keepdim=True)) / torch.where(spread > 0, spread, 1.0)).to(target.dtype)

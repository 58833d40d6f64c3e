"""The order of floats as integers, of which the top bits are bins: fine near 0, and near 1 for probabilities too."""

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Scores

HALF = 0x3F000000  # the bits of 0.5


def bins_of(values: Tensor, scores: Scores, bits: int) -> tuple[Tensor, Tensor]:
    """Bin numbers from 0 to 2^bits - 1, int32, in the order of the values, and whether each value is its bin's edge.

    A float32's bits, read as an integer, are in the order of the floats once those of negative numbers are reversed.
    The top bits of it are sign, exponent and the leading digits of the mantissa: 16 of 32 bits divide each octave into
    128 bins. Probabilities above 1/2 are mirrored, p -> 1 - p, which rounds nothing (Sterbenz), so that they keep this
    resolution near 1; their keys have 31 bits.

    Rounding float64 to float32 keeps the order, but for equal neighbors. NaN and what is no probability have bins
    without meaning; those of NaN stay in range.
    """
    if scores == "logits":
        single = values.float() + 0.0  # a copy, in which -0.0 is 0.0
        key = single.view(torch.int32)
        key ^= (key >> 31) & 0x7FFFFFFF
        offset, shift = 2 ** (bits - 1), 32 - bits
        exact = single == values if values.dtype == torch.float64 else None
    else:
        upper = values > 0.5
        mirrored = torch.where(upper, 1 - values, values)
        single = mirrored.float() + 0.0
        key = single.view(torch.int32)
        key = torch.where(upper, 2 * HALF - key, key)
        offset, shift = 0, 31 - bits
        exact = single == mirrored if values.dtype == torch.float64 else None
    edge = (key & (2**shift - 1)) == 0
    bins = (key >> shift).add_(offset)
    return bins, edge if exact is None else edge & exact


def edges(scores: Scores, bits: int) -> Tensor:
    """`[2^bits]` float64: the least score of each bin; NaN for bins of none.

    >>> edges("probabilities", 10)[bins_of(torch.tensor([0.0, 0.25, 1.0]), "probabilities", 10)[0]].tolist()
    [0.0, 0.25, 1.0]
    """
    number = torch.arange(2**bits, dtype=torch.int64)
    if scores == "logits":
        key = (number - 2 ** (bits - 1)) << (32 - bits)
        return (key ^ ((key >> 31) & 0x7FFFFFFF)).int().view(torch.float32).double()
    key = number << (31 - bits)
    low = torch.where(key <= HALF, key, 2 * HALF - key)
    value = low.clamp_min(0).int().view(torch.float32).double()
    return torch.where(key <= HALF, value, 1 - value).where(low >= 0, torch.nan)

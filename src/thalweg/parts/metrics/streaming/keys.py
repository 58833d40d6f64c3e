"""The order of floats as integers, of which the top bits are bins: fine near 0, and near 1 for probabilities too."""

import torch
from torch import Tensor

from thalweg.parts.metrics.forms import Scores

HALF = 0x3F000000  # the bits of 0.5
LEAST = -0x7F800001  # the key of minus infinity


def bins_of(values: Tensor, scores: Scores, bits: int) -> tuple[Tensor, Tensor]:
    """Bin numbers 0 to 2^bits - 1, int32, in the order of the values, and how many values are not the round one of it.

    A float32's bits, read as an integer, are in the order of the floats once those of negative numbers are reversed.
    The top bits of it are sign, exponent and the leading digits of the mantissa: 16 of 32 bits divide each octave into
    128 bins. Probabilities above 1/2 are mirrored, p -> 1 - p, which rounds nothing (Sterbenz), so that they keep this
    resolution near 1; their keys have 31 bits.

    A bin has one value whose remaining bits are 0. If all its values are that one, they are tied in truth.

    Rounding float64 to float32 keeps the order, but for neighbors that become equal. NaN, and what is no probability,
    has bins of its own beyond those of the least and the largest value (`valid_bins`).
    """
    if scores == "logits":
        given = values
        shift, offset = 32 - bits, 2 ** (bits - 1)
        key = (given.float() + 0.0).view(torch.int32)  # a copy, in which -0.0 is 0.0 and every NaN a quiet one
        rounded = key & (2**shift - 1)
        key ^= (key >> 31).bitwise_and_(0x7FFFFFFF)
    else:
        upper = (0.5 - values).float().view(torch.int32) >> 31  # -1 where p is above 1/2, else 0
        shift, offset = 31 - bits, 0
        given = torch.minimum(values, 1 - values)
        key = (given.float() + 0.0).view(torch.int32)
        key.clamp_min_(-(2**24))  # p below 0 or above 1; either comes to 0x7F000000, above the key of 1
        key ^= upper  # with the next line: -key where upper; torch.where would take as long as all the rest
        key -= upper
        key += upper.bitwise_and_(2 * HALF)
        key &= 0x7FFFFFFF
        rounded = key & (2**shift - 1)
    if values.dtype == torch.float64:
        rounded = (given.float() != given) | (rounded != 0)
    key >>= shift
    key += offset
    return key, rounded.count_nonzero()


def valid_bins(scores: Scores, bits: int) -> slice:
    """The bins of values; those outside hold NaN and what is no probability.

    >>> valid_bins("logits", 10), valid_bins("probabilities", 10)
    (slice(1, 1023, None), slice(0, 1009, None))
    """
    ends = (-torch.inf, torch.inf) if scores == "logits" else (0.0, 1.0)
    first, last = bins_of(torch.tensor(ends), scores, bits)[0].tolist()
    return slice(first, last + 1)


def edges(scores: Scores, bits: int) -> Tensor:
    """`[2^bits]` float64: the least score of each bin of scores.

    >>> edges("probabilities", 10)[bins_of(torch.tensor([0.0, 0.25, 1.0]), "probabilities", 10)[0]].tolist()
    [0.0, 0.25, 1.0]
    """
    number = torch.arange(2**bits, dtype=torch.int64)
    if scores == "logits":
        key = ((number - 2 ** (bits - 1)) << (32 - bits)).clamp_min(LEAST)
        single: Tensor = (key ^ ((key >> 31) & 0x7FFFFFFF)).int()
        return single.view(torch.float32).double()
    key = number << (31 - bits)
    low = torch.where(key <= HALF, key, (2 * HALF - key).clamp_min(0))
    value = low.int().view(torch.float32).double()
    return torch.where(key <= HALF, value, 1 - value)

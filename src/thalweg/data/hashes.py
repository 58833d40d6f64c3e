"""A hash of each row of some tensors, by which equal rows are found."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Hashes = NDArray[np.uint64]
BLOCK_BYTES = 2**17  # hashed at once: stays in the cache, and is no new memory each time, which takes thrice as long


def hash_rows(columns: Sequence[Tensor]) -> Hashes:
    """`[N]`: a 64-bit hash of each row's values. Equal rows have equal hashes, 0.0 and -0.0 among them.

    Each word of 8 bytes is mixed, so that all its bits count in all bits, multiplied by a number of its place, and
    added up. That two rows among a million share a hash by chance has a probability of 3e-8.
    """
    total = np.zeros(len(columns[0]), dtype=np.uint64)
    for place, column in enumerate(columns):
        row_bytes = column[:1].nbytes
        generator = np.random.default_rng(place)
        factors = generator.integers(2**63, size=-(-row_bytes // 8), dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        size = max(BLOCK_BYTES // max(row_bytes, 1), 1)
        for start in range(0, len(column), size):
            words = mixed(as_words(column[start : start + size].detach().cpu()))
            total[start : start + size] += np.multiply(words, factors, out=words).sum(1, dtype=np.uint64)
    return mixed(total)


def as_words(values: Tensor) -> Hashes:
    """`[N, W]`: the bytes of each row as words of 8, filled up with zeros."""
    values = values + 0.0 if values.is_floating_point() else values  # of two zeros only one
    content = values.unsqueeze(-1).flatten(1).contiguous().view(torch.uint8).numpy()
    if content.shape[1] % 8:
        content = np.pad(content, ((0, 0), (0, -content.shape[1] % 8)))
    return content.view(np.uint64)


def mixed(words: Hashes) -> Hashes:
    """Each word with every bit spread over all others: a bijection, the finish of MurmurHash3 without its last step."""
    words = words ^ (words >> np.uint64(33))
    words *= np.uint64(0xFF51AFD7ED558CCD)
    words ^= words >> np.uint64(29)
    return words

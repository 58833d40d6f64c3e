"""Texts with neighboring words exchanged (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn
from thalweg.parts.augmentations.draws import Integers, spread, uniforms
from thalweg.parts.augmentations.tokens import TokenAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenSwap(TokenAugmentation):
    """Lets pairs of neighboring tokens change places, no token in more than one pair.

    Args:
        rate: share of the tokens that change places, on average; of a row's first and last one half of it, as they have
            one neighbor.
        padding: id that fills rows at their end; it keeps its place.
        keep: ids that keep their place, as those of the start, the end and the separator.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TokenSwap(0.5)(torch.tensor([[5, 6, 7, 8, 9, 0], [5, 6, 7, 0, 0, 0]]), ids=[0, 1])
    tensor([[6, 5, 8, 7, 9, 0],
            [5, 6, 7, 0, 0, 0]])

    Source: lecture row L32; Wei and Zou 2019, "EDA: easy data augmentation" (random swap), here of neighbors.
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("rate", 0, 1)

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        free = self.free(x, drawn)
        places = torch.arange(x.shape[1], device=x.device).expand(x.shape)
        if x.shape[1] < 2:
            return x.clone()
        swapped = torch.from_numpy(pairs(drawn["seed"], x.shape[1] - 1, self.rate)).to(x.device)
        swapped &= free[:, :-1] & free[:, 1:]
        source = places.clone()
        source[:, :-1] += swapped.long()
        source[:, 1:] -= swapped.long()
        return x.gather(1, source)


def pairs(seed: Integers, count: int, rate: float) -> "np.ndarray[Any, np.dtype[np.bool_]]":
    """`[B, count]`, whether place t and the next one are a pair, no two of them neighbors.

    A place begins a pair with probability q = rate / 2, whether it is the first one or follows others: the first one
    with q, and one that no pair reaches with r, where q = r (1 − q).
    """
    q = rate / 2
    u = uniforms(spread(seed, count))
    hit: np.ndarray[Any, np.dtype[np.bool_]] = u < q / (1 - q)
    hit[:, 0] = u[:, 0] < q
    place = np.arange(count)
    before = np.maximum.accumulate(np.where(hit, -1, place), axis=1)  # the last place that is not hit
    hit &= (place - before) % 2 == 1  # of hits in a row the first, the third, …
    return hit

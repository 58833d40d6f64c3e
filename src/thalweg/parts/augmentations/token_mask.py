"""Texts with words masked (L32)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, Integers, integers, seeds, spread, uniforms
from thalweg.parts.augmentations.tokens import TokenAugmentation, is_id

if TYPE_CHECKING:
    from torch import Tensor

MASKED, RANDOM = 0.8, 0.1  # of the chosen tokens, Devlin et al. 2019, section 3.1; the others stay


@dataclass(frozen=True)
class TokenMask(TokenAugmentation):
    """Puts the mask in the place of tokens, each with the same probability.

    With a vocabulary as BERT does: of the chosen tokens 80 % become the mask, 10 % any id of the vocabulary but the
    mask, the padding and what is kept, and 10 % stay.

    Args:
        rate: probability that a token is chosen.
        mask: id of the mask.
        vocabulary: number of ids; None for the mask in all places that are chosen.
        padding: id that fills rows at their end; never chosen.
        keep: ids that are never chosen, as those of the start, the end and the separator.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TokenMask(0.5, mask=3)(torch.tensor([[5, 6, 7, 8, 9, 0], [5, 6, 7, 0, 0, 0]]), ids=[0, 1])
    tensor([[3, 6, 3, 3, 3, 0],
            [3, 3, 7, 0, 0, 0]])

    Source: lecture row L32; Devlin et al. 2019, "BERT". The tokens that were there are not returned.
    """

    rate: float = 0.15
    mask: int = field(kw_only=True)
    vocabulary: int | None = field(default=None, kw_only=True)
    num_draws: ClassVar[int] = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("rate", 0, 1)
        self._check("mask", is_id(self.mask), "the id of the mask, an integer")
        least = len(self.spared()) + 1
        good = self.vocabulary is None or (is_id(self.vocabulary) and self.vocabulary >= least)
        self._check("vocabulary", good, f"None, or the number of ids, at least {least}")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"seed": seeds(u[0]), "word": seeds(u[1])}

    def spared(self) -> list[int]:
        """Ids that no token becomes at random, ascending."""
        return sorted({self.mask, self.padding, *self.keep})

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        u = uniforms(spread(drawn["seed"], x.shape[1]))
        largest = self.mask if self.vocabulary is None else self.vocabulary - 1
        free = self.free(x, drawn, self.mask, largest)
        masked = u < self.rate * (1.0 if self.vocabulary is None else MASKED)
        found = x.masked_fill(free & torch.from_numpy(masked).to(x.device), self.mask)
        if self.vocabulary is None:
            return found
        replaced = ~masked & (u < self.rate * (MASKED + RANDOM))
        words = torch.from_numpy(self.words(drawn["word"], x.shape[1])).to(x.device, x.dtype)
        return words.where(free & torch.from_numpy(replaced).to(x.device), found)

    def words(self, seed: Integers, count: int) -> Integers:
        """`[B, count]` ids, each of those that are not spared as likely."""
        assert self.vocabulary is not None
        spared = [i for i in self.spared() if 0 <= i < self.vocabulary]
        found = integers(uniforms(spread(seed, count)), self.vocabulary - len(spared)).astype(np.int64)
        for own in spared:
            found += found >= own
        return found

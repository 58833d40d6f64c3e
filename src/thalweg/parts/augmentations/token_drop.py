"""Texts with words left out (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.augmentations.augmentation import Drawn
from thalweg.parts.augmentations.draws import spread, uniforms
from thalweg.parts.augmentations.tokens import TokenAugmentation

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenDrop(TokenAugmentation):
    """Leaves tokens out, each with the same probability; those after it move up, and padding fills the end.

    A row does not become empty: where all its tokens would go, the first one stays.

    Args:
        rate: probability that a token is left out.
        padding: id that fills rows at their end.
        keep: ids that are never left out, as those of the start, the end and the separator.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> TokenDrop(0.5)(torch.tensor([[5, 6, 7, 8, 9, 0], [5, 6, 7, 0, 0, 0]]), ids=[0, 1])
    tensor([[6, 0, 0, 0, 0, 0],
            [7, 0, 0, 0, 0, 0]])

    Source: lecture row L32; Wei and Zou 2019, "EDA: easy data augmentation" (random deletion).
    """

    rate: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("rate", 0, 1)

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        size = x.shape[1]
        hit = torch.from_numpy(uniforms(spread(drawn["seed"], size)) < self.rate).to(x.device)
        token = x != self.padding
        dropped = hit & self.free(x, drawn)
        emptied = token.any(1) & ~(token & ~dropped).any(1)
        first = token & (token.cumsum(1) == 1)
        dropped &= ~(first & emptied[:, None])
        place = torch.where(dropped, size, (~dropped).cumsum(1) - 1)  # what is left out goes to a place beyond the end
        found = x.new_full((len(x), size + 1), self.padding)
        return found.scatter_(1, place, x)[:, :size].contiguous()

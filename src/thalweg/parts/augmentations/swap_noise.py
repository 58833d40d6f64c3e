"""Tables with cells of other rows (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.augmentations.augmentation import Drawn
from thalweg.parts.augmentations.columns import TableAugmentation
from thalweg.parts.augmentations.draws import spread, uniforms

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class SwapNoise(TableAugmentation):
    """Gives cells the value of the same column in the next row of the batch, the last row those of the first.

    Each column keeps its values, be they numbers or codes of categories. Which cells these are is each sample's own
    draw; which row is the next depends on the batch, so draw the order of the rows at random. A cell stays where it or
    the other one is missing (NaN).

    Args:
        rate: probability that a cell is replaced.
        columns: their places; None for all. Leave out one-hot columns: of several, one alone would change.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> SwapNoise(0.5)(torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]), ids=[0, 1, 2])
    tensor([[4., 2., 6.],
            [7., 8., 6.],
            [1., 2., 3.]])

    Source: lecture row L32; Vincent et al. 2010, "Stacked denoising autoencoders" (there cells become 0).
    """

    rate: float = 0.15

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("rate", 0, 1)

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        other = x.roll(-1, 0)
        hit = torch.from_numpy(uniforms(spread(drawn["seed"], x.shape[1])) < self.rate).to(x.device)
        return other.where(hit & ~(x.isnan() | other.isnan()), x)

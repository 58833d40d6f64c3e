"""A box of one image pasted into another (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Shape
from thalweg.parts.augmentations.draws import Floats, Integers
from thalweg.parts.augmentations.mixing import BETA_DRAWS, Mixing, beta

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.augmentations.forms import Sample


@dataclass(frozen=True)
class CutMix(Mixing):
    """A box of the next image takes the place of an image's own; the target follows by area.

        box: a share 1 − λ of the area, of the image's proportions, λ ~ Beta(α, α), its center anywhere
        y' = λ' y + (1 − λ') y_next,  λ' the share that the image kept, after the box was cut off at the edges

    Of sequences `[B, T]` or `[B, C, T]` it is a stretch of time. Masks, and targets that have a value per pixel, are
    pasted along.

    Args:
        alpha: α above 0; 1 draws λ evenly.
        classes: how many there are, where targets are class indices; a plan fills it in.
        p: probability of acting on a sample.
        per: "sample" for a box of each sample's own; "batch" for one for all.

    >>> import torch
    >>> images, target = torch.stack([torch.zeros(1, 8, 8), torch.ones(1, 8, 8)]), torch.tensor([0, 1])
    >>> x, y = CutMix(classes=2)((images, target), ids=[0, 1])
    >>> torch.allclose(x.mean((1, 2, 3)), y[:, 1])
    True

    Source: lecture row L32; Yun et al. 2019, "CutMix".
    """

    alpha: float = 1.0
    num_draws: ClassVar[int] = BETA_DRAWS + 2

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("alpha", 1e-3)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return cut(beta(u, self.alpha), u[-2:], shape)

    def mix(self, sample: "Sample", drawn: Drawn) -> None:
        paste(self, sample, drawn, drawn["applied"])


def cut(share: Floats, u: Floats, shape: Shape) -> Drawn:
    """The box `[B, 4]` of whole pixels, (left, top, right, bottom), whose area is 1 − share before it is cut off."""
    height, width = sides(shape)
    ratio = np.sqrt(1 - share) if height > 1 else 1 - share
    half_width = ratio * width / 2
    half_height = ratio * height / 2 if height > 1 else np.ones_like(ratio)
    across, down = u[0] * width, u[1] * height if height > 1 else np.zeros_like(ratio)
    edges = (
        np.clip(np.rint(across - half_width), 0, width),
        np.clip(np.rint(down - half_height), 0, height),
        np.clip(np.rint(across + half_width), 0, width),
        np.clip(np.rint(down + half_height), 0, height),
    )
    return {"box": np.stack(edges, 1).astype(np.int64)}


def sides(shape: Shape) -> tuple[int, int]:
    """Height and width of an image `(C, H, W)`; of a sequence `(T,)` or `(C, T)` the height is 1."""
    return (shape[-2], shape[-1]) if len(shape) > 2 else (1, shape[-1])


def paste(part: Mixing, sample: "Sample", drawn: Drawn, chosen: "np.ndarray[tuple[int], np.dtype[np.bool_]]") -> None:
    """The boxes of the next samples into the chosen ones, masks and targets along."""
    import torch

    height, width = sides(sample.shape)
    box = np.where(chosen[:, None], drawn["box"], 0)
    inside = boxed(box, height, width).to(sample.x.device)
    sample.x = pasted(sample.x, inside)
    if sample.mask is not None:
        sample.mask = pasted(sample.mask, inside)
    if sample.target is None:
        return
    area = (box[:, 2] - box[:, 0]) * (box[:, 3] - box[:, 1]) / (width * height)
    part.mix_target(sample, torch.from_numpy(1 - area))


def boxed(box: Integers, height: int, width: int) -> "Tensor":
    """`[B, H, W]`, whether a pixel is inside."""
    import torch

    across, down = np.arange(width), np.arange(height)
    columns = (across >= box[:, 0:1]) & (across < box[:, 2:3])
    rows = (down >= box[:, 1:2]) & (down < box[:, 3:4])
    return torch.from_numpy(rows)[:, :, None] & torch.from_numpy(columns)[:, None, :]


def pasted(value: "Tensor", inside: "Tensor") -> "Tensor":
    if value.dim() < 3:  # [B, T]
        return value.roll(-1, 0).where(inside[:, 0], value)
    if inside.shape[1] == 1 and value.dim() == 3:  # [B, C, T]
        return value.roll(-1, 0).where(inside, value)
    return value.roll(-1, 0).where(inside if value.dim() == 3 else inside[:, None], value)

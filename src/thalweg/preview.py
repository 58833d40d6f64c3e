"""A picture of real training images under each augmentation, and under all of a plan together."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.augmenting import sampled_images
from thalweg.data.augmented import Augmenter
from thalweg.data.prepare import Prepared
from thalweg.errors import UsageError
from thalweg.parts.augmentations import Augmentation, Compose
from thalweg.show.notebook.frame import framed
from thalweg.show.report.images import Pixels, data_url, image_grid, png, strip

PICKED = 64  # training images, of which those that are shown are taken
LARGEST = 96  # pixels of a side that is stored; larger images are averaged down
Row = tuple[str, str, int]  # label, data URL of the strip, images in it


@dataclass(frozen=True)
class Preview:
    """Images under augmentation.

    Args:
        rows: of each augmentation its name, a strip of images as a data URL, and how many there are.
        drawn: what was drawn for them by all parts together, as text.
    """

    rows: tuple[Row, ...]
    drawn: str

    def __repr__(self) -> str:
        return self.drawn

    def _repr_html_(self) -> str:
        return framed(image_grid(self.rows))

    def save(self, path: str | Path) -> Path:
        """Writes the picture as one HTML file that loads nothing else."""
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        head = '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Augmentation</title></head>'
        path.write_text(f"{head}<body>{self._repr_html_()}</body></html>\n", encoding="utf-8")
        return path


def preview(
    prepared: Prepared, augmenter: Augmenter | None, *, images: int = 8, epoch: int = 0, seed: int = 0
) -> Preview:
    """Training images under the augmentation, as the training of this seed sees them in an epoch.

    Raises:
        UsageError: for no images, a plan without augmentation, or data that are no images with one class each.
    """
    if images < 1:
        raise UsageError(f"preview got images={images!r}; allowed: an integer of at least 1.")
    if augmenter is None:
        raise UsageError("The plan has no augmentation. Give one: plan.replace(augmentation='trivial'), for example.")
    found = sampled_images(prepared.train, max(images, PICKED))
    if found is None:
        raise UsageError("The training rows are no images with one class each; there is nothing to draw a picture of.")
    rows, ids = grid(*found, augmenter, images=images, epoch=epoch, seed=seed)
    return Preview(rows, str(together(augmenter).draw(ids, shape=shape_of(found[0]), epoch=epoch, seed=seed)))


def shown(prepared: Prepared, augmenter: Augmenter | None, *, seed: int) -> dict[str, Any] | None:
    """What a run keeps of its augmentation, as JSON values: the range of its images, and the picture's rows."""
    if augmenter is None:
        return None
    found = sampled_images(prepared.train, PICKED) if augmenter.early and augmenter.early.kind == "image" else None
    rows = () if found is None else grid(*found, augmenter, seed=seed)[0]
    return {"peak": augmenter.peak, "rows": [list(row) for row in rows]}


def grid(
    x: Tensor, target: Tensor, numbers: Tensor, augmenter: Augmenter, *, images: int = 8, epoch: int = 0, seed: int = 0
) -> tuple[tuple[Row, ...], list[int]]:
    """The rows of the picture, and which images they are of: of each class in turn."""
    chosen = each_class(target, images)
    some, ids = x[chosen], numbers[chosen].tolist()
    shown = augmenter.peak if some.amin() >= 0 else None
    scale = shown or float(some.abs().max())
    whole = together(augmenter)
    named = [(str(part), Compose(replace(part, p=1.0))) for part in whole.parts]
    named += [("all together", whole)] if len(named) > 1 else []
    rows = [row(name, under(parts, some, ids, scale, epoch, seed), scale) for name, parts in named]
    return (row("as they are", some, scale), *rows), ids


def together(augmenter: Augmenter) -> Compose:
    """All parts; those that mix need no classes here."""
    parts: list[Augmentation] = [p for half in (augmenter.early, augmenter.late) if half for p in half.parts]
    return Compose(*parts)


def under(parts: Compose, x: Tensor, ids: list[int], peak: float, epoch: int, seed: int) -> Tensor:
    batch: Any = (x, torch.zeros(len(x))) if parts.mixes else x
    changed = parts(batch, ids=ids, epoch=epoch, seed=seed, peak=peak)
    found: Tensor = changed[0] if parts.mixes else changed
    return found


def each_class(target: Tensor, count: int) -> Tensor:
    """`count` positions, of each class one, then of each a second."""
    order = torch.argsort(target, stable=True)
    sizes = torch.bincount(target)
    within = torch.cat([torch.arange(int(size)) for size in sizes])
    return order[torch.argsort(within, stable=True)][:count]


def shape_of(x: Tensor) -> tuple[int, ...]:
    return tuple(x.shape[1:]) if x.dim() == 4 else (1, *x.shape[1:])


def row(label: str, x: Tensor, peak: float) -> Row:
    images = [pixels(image, peak) for image in (x if x.dim() == 4 else x[:, None])]
    return label, data_url(png(strip(images))), len(images)


def pixels(image: Tensor, peak: float) -> Pixels:
    """`[H, W]` or `[H, W, 3]` bytes of an image `[C, H, W]`."""
    shown = image.float()
    if max(shown.shape[1:]) > LARGEST:
        shown = F.adaptive_avg_pool2d(shown[None], LARGEST)[0]
    low = min(float(shown.min()), 0.0)
    level = ((shown - low) / (peak - low)).clamp(0, 1).mul(255).round().to(torch.uint8).numpy()
    return np.ascontiguousarray(level.transpose(1, 2, 0) if len(level) == 3 else level[0])

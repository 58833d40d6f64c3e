"""Several augmentations, one after the other, in as few passes over the pixels as they allow."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations.augmentation import (
    Augmentation,
    Drawn,
    ImageAugmentation,
    Shape,
    TensorAugmentation,
    draw_all,
)
from thalweg.parts.augmentations.draw import Draw
from thalweg.parts.augmentations.mixing import Mixing
from thalweg.parts.augmentations.stages import Stage, merged

if TYPE_CHECKING:
    from thalweg.parts.augmentations.forms import Sample


@dataclass(frozen=True, init=False)
class Compose(Augmentation):
    """Parts in their order.

    Of images, warps that follow each other become one interpolation, linear changes of color one matrix, and colors
    between warps go before the one warp that these become. The result differs from one part after the other in four
    ways: there is one interpolation, which keeps detail that several would blur; what a crop left out and a later warp
    turns in again is there; values are limited to the range of brightness once; and the mean that contrast is taken
    about is that of the image before the warp.

    Args:
        links: the parts, in their order; at least one. A Compose among them stands for its parts.
        parts: the same as a sequence, as JSON has it.
        p: 1, as its parts have their own.
        per: "sample", as its parts have their own.

    Raises:
        UsageError: for what is no part, for none, for parts of different kinds of data, or for another p or per.

    >>> import torch
    >>> from thalweg.parts.augmentations import Affine, HorizontalFlip, PaddedCrop
    >>> augment = Compose(HorizontalFlip(), PaddedCrop(4), Affine(rotate=15))
    >>> x = torch.rand(8, 3, 32, 32)
    >>> y = augment(x, ids=range(8), epoch=3, seed=1)
    >>> torch.equal(augment(x[5:], ids=[5, 6, 7], epoch=3, seed=1), y[5:])
    True

    Source: lecture row L32. As torchvision's `Compose`, whose parts act one after the other on one draw per call.
    """

    parts: tuple[Augmentation, ...]

    def __init__(
        self, *links: Augmentation, parts: Iterable[Augmentation] = (), p: float = 1.0, per: str = "sample"
    ) -> None:
        given = (*links, *parts)
        for name, value in (("parts", given), ("p", p), ("per", per)):
            object.__setattr__(self, name, value)
        good = bool(given) and all(isinstance(part, Augmentation) for part in given)
        self._check("parts", good, "parts of tw.augmentations, as in Compose(HorizontalFlip(), PaddedCrop(4))")
        if (self.p, self.per) != (1.0, "sample"):
            raise UsageError(f"Compose got p={self.p!r}, per={self.per!r}; give them to its parts.")
        flat = tuple(p for part in given for p in (part.parts if isinstance(part, Compose) else (part,)))
        object.__setattr__(self, "parts", flat)
        kinds = list(dict.fromkeys(part.kind for part in flat if part.kind != "any"))
        if len(kinds) > 1:
            raise UsageError(f"Compose got parts for {' and '.join(kinds)}; one batch is of one kind.")

    @property
    def kind(self) -> str:  # type: ignore[override]
        """What its parts act on."""
        return next((part.kind for part in self.parts if part.kind != "any"), "any")

    @property
    def mixes(self) -> bool:
        """Whether samples of a batch are mixed, targets with them."""
        return any(isinstance(part, Mixing) for part in self.parts)

    @property
    def total_draws(self) -> int:
        """Uniform numbers that all parts take for a sample."""
        return sum(1 + part.num_draws for part in self.parts)

    def __str__(self) -> str:
        return ", ".join(map(str, self.parts))

    def draw(self, ids: Any, *, shape: Shape, epoch: int = 0, seed: int = 0, first: int = 0) -> Draw:
        """What the parts draw for samples, to be shown or replayed.

        Args:
            ids: `[B]` integers, the samples' numbers.
            shape: of one sample, `(C, H, W)` of an image.
            epoch: pass over the samples.
            seed: of the draw.
            first: number of the first uniform number; those before it were another composition's.

        >>> from thalweg.parts.augmentations import HorizontalFlip
        >>> print(Compose(HorizontalFlip()).draw([3, 4], shape=(1, 8, 8)))
        HorizontalFlip  sample 3: applied  sample 4: applied
        """
        numbers = as_ids(ids)
        drawn = draw_all(self.parts, numbers, tuple(shape), seed=seed, epoch=epoch, first=first)
        return Draw(numbers, tuple(shape), self.parts, drawn)

    def called(self, batch: Any, *, ids: Any, epoch: int, seed: int | None, peak: float | None) -> Any:
        """What `__call__` returns."""
        from thalweg.parts.augmentations.forms import Sample

        sample = Sample.of(batch, kind=self.kind, mixes=self.mixes)
        if ids is None:
            import torch

            seed = int(torch.randint(2**62, ())) if seed is None else seed
            ids = np.arange(len(sample.x))
        return self.act(sample, self.draw(ids, shape=sample.shape, epoch=epoch, seed=seed or 0), peak).value()

    def replay(self, batch: Any, draw: Draw, *, peak: float | None = None) -> Any:
        """The batch under a draw that was made before, by this composition.

        Raises:
            DataError: where the draw is of another number of samples, of another shape or by other parts.
        """
        from thalweg.parts.augmentations.forms import Sample

        return self.act(Sample.of(batch, kind=self.kind, mixes=self.mixes), draw, peak).value()

    def act(self, sample: "Sample", draw: Draw, peak: float | None = None) -> "Sample":
        """What the parts make of a batch under a draw; raises `DataError` where the two do not belong together."""
        import torch

        if len(draw.ids) != len(sample.x) or draw.shape != sample.shape or draw.parts != self.parts:
            raise DataError(
                f"The draw is of {len(draw.ids)} samples of shape {list(draw.shape)} under {len(draw.parts)} parts; "
                f"the batch has {len(sample.x)} of shape {list(sample.shape)}, and this is of {len(self.parts)} parts."
            )
        at = 0
        with torch.no_grad():
            for kind, group in groupby(self.parts, key=category):
                parts = list(group)
                drawn = draw.drawn[at : at + len(parts)]
                at += len(parts)
                if kind is ImageAugmentation:
                    sample.render(staged(parts, drawn, sample.shape), peak)
                    continue
                for part, own in zip(parts, drawn, strict=True):
                    if isinstance(part, Mixing):
                        part.mix(sample, own)
                    elif isinstance(part, TensorAugmentation):
                        sample.x = part.apply(sample.x, own)
        return sample


def category(part: Augmentation) -> type:
    return next(kind for kind in (ImageAugmentation, Mixing, TensorAugmentation) if isinstance(part, kind))


def staged(parts: "list[Any]", drawn: "tuple[Drawn, ...]", shape: Shape) -> list[Stage]:
    """The stages of image parts, merged."""
    found: list[Stage] = []
    for part, own in zip(parts, drawn, strict=True):
        found += part.stages(own, shape)
        shape = part.shape_after(shape)
    return merged(found)


def as_ids(ids: Any) -> "np.ndarray[Any, np.dtype[np.int64]]":
    """Samples' numbers as NumPy has them. Raises `DataError` for what is no row of integers."""
    found = np.asarray(ids)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        raise DataError(f"ids are of {found.dtype} and shape {list(found.shape)}; give one integer for each sample.")
    return found.astype(np.int64)

"""Augmentation of the batches that a training sees."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from thalweg.data.rows import Inputs, map_inputs, tensors_of
from thalweg.errors import DataError
from thalweg.parts.augmentations import Compose
from thalweg.parts.augmentations.forms import Sample, require_layout

NEARLY = 200.0  # bytes as floats: a few hundred images of them are rarely all darker


@dataclass(frozen=True)
class Augmenter:
    """What a feeder does to its batches, sample by sample before they are prepared, and then batch by batch.

    Args:
        early: what acts on a sample by itself, on raw inputs; None for nothing.
        late: what mixes samples or acts on prepared ones; None for nothing.
        places: which of the inputs' tensors it acts on.
        peak: the brightest value of raw images.
        whole: whether integers stay integers, because nothing prepares them.
    """

    early: Compose | None
    late: Compose | None
    places: tuple[int, ...] = (0,)
    peak: float = 1.0
    whole: bool = False

    def before(self, inputs: Inputs, target: Tensor, ids: Tensor, *, epoch: int, seed: int) -> tuple[Inputs, Tensor]:
        """Raw inputs and targets under what was drawn for their rows."""
        return self._act(self.early, 0, inputs, target, ids, epoch=epoch, seed=seed)

    def after(self, inputs: Inputs, target: Tensor, ids: Tensor, *, epoch: int, seed: int) -> tuple[Inputs, Tensor]:
        """One batch of prepared inputs, and its targets."""
        first = 0 if self.early is None else self.early.total_draws
        return self._act(self.late, first, inputs, target, ids, epoch=epoch, seed=seed)

    def _act(
        self, parts: Compose | None, first: int, inputs: Inputs, target: Tensor, ids: Tensor, *, epoch: int, seed: int
    ) -> tuple[Inputs, Tensor]:
        if parts is None or not len(target):
            return inputs, target
        numbers = ids.cpu().numpy()
        found, aim = list(tensors_of(inputs)), target
        for place in self.places:
            x = found[place]
            sample = Sample.of((x, target), kind=parts.kind, mixes=parts.mixes)
            drawn = parts.draw(numbers, shape=sample.shape, epoch=epoch, seed=seed, first=first)
            changed, aim = parts.act(sample, drawn, self.peak).value()
            found[place] = rounded(changed, x.dtype) if self.whole and not x.is_floating_point() else changed
        each = iter(found)
        return map_inputs(lambda _: next(each), inputs), aim


def rounded(x: Tensor, dtype: torch.dtype) -> Tensor:
    return x.round().to(dtype) if x.is_floating_point() else x


def fitting(inputs: Inputs, kind: str) -> tuple[int, ...]:
    """Which of the inputs' tensors augmentations of a kind act on.

    Raises:
        DataError: where none fits, or several might where it cannot be told.
    """
    found = tensors_of(inputs)
    if kind == "any":
        return tuple(i for i, x in enumerate(found) if x.is_floating_point() or x.dim() > 2)
    fits = [i for i, x in enumerate(found) if takes(x, kind)]
    if kind == "image" and any(found[i].dim() == 4 for i in fits):
        return tuple(i for i in fits if found[i].dim() == 4)
    if len(fits) == 1:
        return tuple(fits)
    names = list(inputs) if isinstance(inputs, Mapping) else [f"number {i}" for i in range(len(found))]
    came = ", ".join(
        f"{n}: {str(x.dtype).removeprefix('torch.')} {list(x.shape)}" for n, x in zip(names, found, strict=True)
    )
    if not fits and len(found) == 1:
        require_layout(found[0], kind)  # which says what is due
    why = "none of them is" if not fits else "more than one of them may be"
    raise DataError(
        f"The plan augments {kind} data; of the inputs ({came}) {why} that. Augment in the Dataset instead."
    )


def takes(x: Tensor, kind: str) -> bool:
    try:
        require_layout(x, kind)
    except DataError:
        return False
    return True


def brightest(inputs: Inputs, places: tuple[int, ...]) -> float | None:
    """The brightest value that raw images can have: 1, 255, or else the largest there is; None where some are below 0.

    >>> brightest(torch.tensor([[[[0.0, 16.0]]]]), (0,)), brightest(torch.tensor([[[[3]]]], dtype=torch.uint8), (0,))
    (16.0, 255.0)
    """
    found = [tensors_of(inputs)[i] for i in places]
    low, high = min(float(x.amin()) for x in found), max(float(x.amax()) for x in found)
    if not low >= 0:
        return None
    if all(x.dtype == torch.uint8 for x in found) or NEARLY < high <= 255:
        return 255.0
    return max(high, 1.0)


def settled(parts: Compose, **changes: Any) -> Compose:
    """The same parts, with fields that the data decide filled in where the parts have them open."""
    done = []
    for part in parts.parts:
        own = {f.name for f in fields(part)}
        open_ = {n: v for n, v in changes.items() if n in own and getattr(part, n) is None}
        done.append(replace(part, **open_) if open_ else part)
    return Compose(*done)

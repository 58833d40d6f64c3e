"""A batch in the forms that users have: checked, brought into one form, and given back as it came."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from thalweg.errors import DataError
from thalweg.parts.augmentations.carried import carried_boxes, carried_masks, carried_points
from thalweg.parts.augmentations.pixels import render
from thalweg.parts.augmentations.stages import Stage, Warp

ENTRIES = ("image", "mask", "boxes", "keypoints", "target")
LAYOUTS = {
    "image": "images [B, C, H, W], or [B, H, W] of one channel",
    "sequence": "floats [B, T], or [B, C, T] with time last",
    "tokens": "integers [B, T]",
    "table": "floats [B, F]",
    "any": "a tensor with samples in dimension 0",
}
CHANNELS = (1, 2, 3, 4)  # of an image whose last dimension holds them


@dataclass
class Sample:
    """A batch under way.

    Args:
        x: `[B, ...]`.
        kind: what the parts act on.
        target: what belongs to each sample; None where none was given.
        mask: `[B, H, W]` or `[B, C, H, W]`, moved with the pixels, never interpolated.
        boxes: `[B, N, 4]` or a list of `[N, 4]`: left, top, right, bottom in pixels.
        keypoints: `[B, N, 2]` or a list of `[N, 2]`: x, y, the center of the first pixel at (0, 0).
        form: how it is given back: "tensor", "pair" or "dict".
        flat: whether images came without a dimension for their one channel.
    """

    x: Tensor
    kind: str
    target: Tensor | None = None
    mask: Tensor | None = None
    boxes: Any = None
    keypoints: Any = None
    form: str = "tensor"
    flat: bool = False
    names: tuple[str, ...] = field(default=())

    @staticmethod
    def of(batch: Any, *, kind: str, mixes: bool = False) -> "Sample":
        """Raises `DataError` for a form, layout or type that the parts do not take: what came and what is due."""
        if isinstance(batch, dict):
            sample = from_dict(batch, kind)
        elif isinstance(batch, tuple | list) and len(batch) == 2 and all(isinstance(v, Tensor) for v in batch):
            sample = Sample(batch[0], kind, target=batch[1], form="pair")
            if kind in ("image", "any") and is_mask(batch[1], batch[0]):
                sample.mask, sample.target = batch[1], None
        elif isinstance(batch, Tensor):
            sample = Sample(batch, kind)
        else:
            raise DataError(
                f"An augmentation got a {type(batch).__name__}; give a tensor of {LAYOUTS[kind]}, a pair (x, y) of "
                f"tensors, or a dict with {', '.join(map(repr, ENTRIES))}."
            )
        require_layout(sample.x, kind)
        if kind == "image" and sample.x.dim() == 3:
            sample.x, sample.flat = sample.x[:, None], True
        for name in ("target", "mask", "boxes", "keypoints"):
            value = getattr(sample, name)
            if value is not None and len(value) != len(sample.x):
                raise DataError(f"{name!r} has {len(value)} entries for {len(sample.x)} samples; give one for each.")
        if mixes and sample.target is None and sample.mask is None:
            raise DataError("Mixing changes the targets too: give (x, y), or a dict with 'image' and 'target'.")
        if mixes and (sample.boxes is not None or sample.keypoints is not None):
            raise DataError("Boxes and keypoints of mixed images are not defined; leave the mixing out.")
        sample.check_annotations()
        return sample

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one sample."""
        return tuple(self.x.shape[1:])

    def check_annotations(self) -> None:
        if self.mask is not None and tuple(self.mask.shape[-2:]) != self.shape[1:]:
            raise DataError(f"Masks are of {list(self.mask.shape[-2:])} pixels and images of {list(self.shape[1:])}.")
        for name, width in (("boxes", 4), ("keypoints", 2)):
            value = getattr(self, name)
            parts = [] if value is None else [value] if isinstance(value, Tensor) else list(value)
            for i, part in enumerate(parts):
                if not isinstance(part, Tensor) or part.shape[-1:] != (width,) or not part.is_floating_point():
                    what = f"{part.dtype} {list(part.shape)}" if isinstance(part, Tensor) else type(part).__name__
                    raise DataError(f"{name} got {what}; give floats [B, N, {width}], or a list of [N, {width}].")
                if name == "boxes":
                    require_inside(part, self.shape[1:], i)

    def render(self, stages: list[Stage], peak: float | None) -> None:
        """Pixels, and what is carried with them."""
        for warp in (stage for stage in stages if isinstance(stage, Warp)):
            if self.mask is not None:
                self.mask = carried_masks(self.mask, warp)
            if self.boxes is not None:
                self.boxes = carried_boxes(self.boxes, warp)
            if self.keypoints is not None:
                self.keypoints = carried_points(self.keypoints, warp)
        self.x = render(self.x, stages, peak_of(self.x, stages) if peak is None else peak)

    def value(self) -> Any:
        """The batch in the form in which it came."""
        x = self.x[:, 0] if self.flat else self.x
        if self.form == "tensor":
            return x
        if self.form == "pair":
            return x, self.mask if self.target is None else self.target
        return {name: x if name == "image" else getattr(self, name) for name in self.names}


def is_mask(target: Tensor, x: Tensor) -> bool:
    """Whether a target has a value for each pixel of the images."""
    return x.dim() in (3, 4) and target.dim() in (3, 4) and target.shape[-2:] == x.shape[-2:]


def from_dict(batch: dict[str, Any], kind: str) -> Sample:
    unknown = [name for name in batch if name not in ENTRIES]
    if unknown or not isinstance(batch.get("image"), Tensor):
        raise DataError(
            f"An augmentation got a dict of {', '.join(map(repr, batch)) or 'nothing'}; give 'image', a tensor of "
            f"{LAYOUTS[kind]}, and any of {', '.join(map(repr, ENTRIES[1:]))}."
        )
    others = {name: value for name, value in batch.items() if name != "image"}
    return Sample(batch["image"], kind, **others, form="dict", names=tuple(batch))


def peak_of(x: Tensor, stages: list[Stage]) -> float:
    """The brightest value that images of this type have: 255 of integers, 1 of floats.

    Raises:
        DataError: for floats that are not from 0 to 1, where something depends on it.
    """
    if not x.is_floating_point():
        return 255.0
    if any(not isinstance(stage, Warp) or stage.fill not in ("edge", "reflect", 0.0) for stage in stages):
        low, high = (float(value) for value in torch.aminmax(x))
        if low < 0 or high > 1:
            raise DataError(
                f"Images of floats are due from 0 to 1; these are from {low:.3g} to {high:.3g}. Give peak=, the "
                "brightest value (255.0, say), and augment before standardizing."
            )
    return 1.0


def require_layout(x: Tensor, kind: str) -> None:
    """Raises `DataError` for a layout or type that the parts of a kind do not take."""
    integers = not x.is_floating_point() and not x.is_complex() and x.dtype != torch.bool
    good = {
        "image": x.dim() in (3, 4) and (x.is_floating_point() or integers),
        "sequence": x.dim() in (2, 3) and x.is_floating_point(),
        "tokens": x.dim() == 2 and integers,
        "table": x.dim() == 2 and x.is_floating_point(),
        "any": x.dim() > 0,
    }[kind]
    came = f"{str(x.dtype).removeprefix('torch.')} {list(x.shape)}"
    if not good:
        raise DataError(f"An augmentation of {kind} data got {came}; it takes {LAYOUTS[kind]}.")
    if not len(x):
        raise DataError(f"An augmentation got an empty batch, {came}; give at least one sample.")
    if kind == "image" and x.dim() == 4 and x.shape[3] in CHANNELS and x.shape[1] > max(CHANNELS) <= x.shape[2]:
        raise DataError(f"Images came as {came}, channels last; they are due as [B, C, H, W]: x.permute(0, 3, 1, 2).")


def require_inside(boxes: Tensor, size: tuple[int, ...], index: int) -> None:
    """Raises `DataError` for boxes that are no boxes or lie outside of the image."""
    height, width = size
    flat = boxes.reshape(-1, 4)
    limit = flat.new_tensor([width, height, width, height])
    bad = ((flat < 0) | (flat > limit)).any(1) | (flat[:, 2] < flat[:, 0]) | (flat[:, 3] < flat[:, 1])
    bad |= ~flat.isfinite().all(1)
    if bool(bad.any()):
        first = flat[int(bad.nonzero()[0])].tolist()
        raise DataError(
            f"Box {[round(v, 2) for v in first]} does not lie in an image {width} wide and {height} high (entry "
            f"{index}); boxes are (left, top, right, bottom) in pixels, left ≤ right and top ≤ bottom."
        )

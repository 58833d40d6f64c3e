"""What every augmentation is: what it draws for a sample, and what it makes of it (L32)."""

from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thalweg.parts.augmentations.draws import Floats, uniforms, words
from thalweg.parts.augmentations.stages import Color, Pixels, Stage, Warp
from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor

Drawn = dict[str, Any]  # parameters by name, arrays `[B, ...]`; "applied" tells which samples they act on
Shape = tuple[int, ...]  # of one sample: (C, H, W) of an image
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
FILLS = ("edge", "reflect")


@dataclass(frozen=True, kw_only=True)
class Augmentation(Part):
    """A random change of the training samples that leaves the label as it is, or changes it along.

    What is drawn for a sample is a function of (seed, epoch, sample id) alone: the same in any batch, order, process
    and on any device, and in a training that was resumed.

    In a loop of one's own a part, or several in a `Compose`, is called on a batch. Given the samples' ids it draws by
    them; without ids it draws a seed from torch's generator, as torchvision does.

        x = augment(x)                                     # another draw with each call
        x = augment(x, ids=ids, epoch=epoch, seed=seed)    # the same draw for a sample in an epoch, wherever
        x, y = augment((x, y))                             # with targets, which mixing changes
        batch = augment({"image": x, "mask": m, "boxes": b, "keypoints": k})

    Args:
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all, that of the first row.
    """

    p: float = 1.0
    per: str = "sample"
    num_draws: ClassVar[int] = 0  # uniform numbers that the parameters take
    kind: ClassVar[str] = "image"  # what it acts on: "image", "sequence", "tokens", "table" or "any"

    def __post_init__(self) -> None:
        self._check("p", is_number(self.p) and 0 <= self.p <= 1, "a probability from 0 to 1")
        self._check("per", self.per in ("sample", "batch"), "'sample' or 'batch'")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        """What `num_draws` uniform numbers `[num_draws, B]` come to, for samples of this shape."""
        return {}

    def __call__(
        self, batch: Any, *, ids: Any = None, epoch: int = 0, seed: int | None = None, peak: float | None = None
    ) -> Any:
        """The batch augmented, in the form in which it came.

        Args:
            batch: a tensor with the samples in dimension 0; `(x, y)`; or a dict with "image" and any of "mask"
                `[B, H, W]` or `[B, C, H, W]`, "boxes" `[B, N, 4]`, "keypoints" `[B, N, 2]`, "target".
            ids: `[B]` integers, the samples' own numbers.
            epoch: pass over the samples; takes part in the draw.
            seed: takes part in the draw; 0 where ids are given, else drawn from torch's generator.
            peak: the brightest value of an image; by default 255 of integers and 1 of floats.

        Raises:
            DataError: for another layout or type than the parts take, or ids that do not fit.
        """
        import torch

        from thalweg.parts.augmentations.compose import Compose

        whole = self if isinstance(self, Compose) else Compose(self)
        given: dict[str, Any] = {"ids": ids, "epoch": epoch, "seed": seed, "peak": peak}
        if not torch.compiler.is_compiling():
            return whole.called(batch, **given)
        from thalweg.parts.augmentations.untraced import augmented

        return augmented(whole, batch, **given)

    def _require_range(self, name: str, low: float, high: float = np.inf) -> None:
        value = getattr(self, name)
        good = isinstance(value, tuple | list) and len(value) == 2 and all(map(is_number, value))
        bounds = f"from {low:g} to {high:g}" if np.isfinite(high) else f"of at least {low:g}"
        self._check(name, good and low <= value[0] <= value[1] <= high, f"(low, high), numbers {bounds}, low first")

    def _require_span(self, name: str, most: float) -> None:
        """A number from 0 to the most, which stands for both signs, or (low, high) within it."""
        if is_number(getattr(self, name)):
            self._require_number(name, 0, most)
        else:
            self._require_range(name, -most, most)

    def _require_count(self, name: str, least: int = 1) -> None:
        value = getattr(self, name)
        good = isinstance(value, int) and not isinstance(value, bool) and value >= least
        self._check(name, good, f"an integer of at least {least}")

    def _require_number(self, name: str, low: float, high: float = np.inf) -> None:
        value = getattr(self, name)
        allowed = f"a number from {low:g} to {high:g}" if np.isfinite(high) else f"a number of at least {low:g}"
        self._check(name, is_number(value) and low <= value <= high, allowed)

    def __str__(self) -> str:
        ordered = sorted(fields(self), key=lambda f: f.kw_only is True)
        own = [f for f in ordered if getattr(self, f.name) != f.default]
        return f"{type(self).__name__}({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in own)})"


@dataclass(frozen=True)
class ImageAugmentation(Augmentation):
    """One of images `[B, C, H, W]`, or `[B, H, W]` of one channel."""

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        """What is done to the samples' pixels."""
        raise NotImplementedError

    def shape_after(self, shape: Shape) -> Shape:
        """Of an image of this shape."""
        return shape


@dataclass(frozen=True)
class Geometric(ImageAugmentation):
    """One that moves pixels; several in a row become one interpolation.

    Args:
        fill: what lies outside: a share of the brightest value, "edge" or "reflect".
        interpolation: "bilinear", "bicubic" or "nearest".
    """

    fill: float | str = field(default=0.0, kw_only=True)
    interpolation: str = field(default="bilinear", kw_only=True)
    permutes: ClassVar[bool] = False  # only puts the pixels in another order, whatever is drawn

    def __post_init__(self) -> None:
        super().__post_init__()
        good = self.fill in FILLS or (is_number(self.fill) and 0 <= float(self.fill) <= 1)
        self._check("fill", good, "a share of the brightest value from 0 to 1, 'edge' or 'reflect'")
        self._check("interpolation", self.interpolation in INTERPOLATIONS, ", ".join(map(repr, INTERPOLATIONS)))

    def matrix(self, drawn: Drawn, shape: Shape) -> Floats:
        """`[B, 3, 3]`, from the output's pixel numbers (x, y, 1) to the input's."""
        raise NotImplementedError

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        matrix = np.where(drawn["applied"][:, None, None], self.matrix(drawn, shape), self.unmoved(shape))
        size = self.shape_after(shape)[1], self.shape_after(shape)[2]
        return [Warp(matrix, size, self.fill, self.interpolation, permutes=self.permutes)]

    def unmoved(self, shape: Shape) -> Floats:
        """`[3, 3]`, for a sample that it does not act on."""
        return np.eye(3)


@dataclass(frozen=True)
class Photometric(ImageAugmentation):
    """One that changes colors linearly; several in a row become one matrix per sample."""

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        """The fields of `Color` that it changes."""
        raise NotImplementedError

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        applied = drawn["applied"]
        changed = Color.of(len(applied), **self.color(drawn))
        kept = Color.of(len(applied))
        values = {name: np.where(applied, getattr(changed, name), getattr(kept, name)) for name in Color.FIELDS}
        return [Color(**values)]


@dataclass(frozen=True)
class Pixelwise(ImageAugmentation):
    """One that does anything else to the pixels of a sample."""

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        """Of the samples that it acts on.

        Args:
            x: `[n, C, H, W]` floats, whose memory may be used.
            parameters: theirs: floats as float tensors `[n, ...]` on the device of x, else as NumPy has them.
            peak: the brightest value.
        """
        raise NotImplementedError

    def stages(self, drawn: Drawn, shape: Shape) -> list[Stage]:
        rows = np.flatnonzero(drawn["applied"])
        if not len(rows):
            return []
        own = {name: value[rows] for name, value in drawn.items() if name != "applied"}
        return [Pixels(self.apply, own, None if len(rows) == len(drawn["applied"]) else rows)]


@dataclass(frozen=True)
class TensorAugmentation(Augmentation):
    """One of samples that are no images."""

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        """The batch changed, a new tensor.

        Args:
            x: the batch, samples in dimension 0.
            drawn: of all samples; those that are not "applied" stay as they are.
        """
        raise NotImplementedError


def is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def draw_all(
    parts: "tuple[Augmentation, ...]",
    ids: "np.ndarray[Any, np.dtype[np.int64]]",
    shape: Shape,
    *,
    seed: int,
    epoch: int,
    first: int = 0,
) -> tuple[Drawn, ...]:
    """What each part draws for the samples: one pass of the generator for all of them, from number `first` on."""
    counts = [1 + part.num_draws for part in parts]
    u = uniforms(words(ids, seed=seed, epoch=epoch, count=sum(counts), first=first))
    found: list[Drawn] = []
    for part, count in zip(parts, counts, strict=True):
        own, u = u[:count], u[count:]
        if part.per == "batch":
            own = np.repeat(own[:, :1], len(ids), axis=1)
        found.append({"applied": own[0] < part.p, **part.parameters(own[1:], shape)})
        if isinstance(part, ImageAugmentation):
            shape = part.shape_after(shape)
    return tuple(found)

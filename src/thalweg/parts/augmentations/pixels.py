"""Stages on a batch of images: one interpolation for a warp, one matrix product for a color."""

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import cache
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.parts.augmentations.draws import Floats
from thalweg.parts.augmentations.room import room
from thalweg.parts.augmentations.stages import Color, Pixels, Stage, Warp

CHUNK_BYTES = 2**21  # of floats at once: what one stage leaves is still in the cache when the next one reads it
ROWS_BYTES = 2**24  # where stages concern some samples each, of which there should be several
SOME_BYTES = 2**22  # of these
LARGE_BYTES = 2**16  # of one sample
LEAST_SAMPLES = 4  # of a chunk: a stage costs some 50 microseconds besides its pixels
PADDING = {"edge": "border", "reflect": "reflection"}
LUMA = (0.299, 0.587, 0.114)  # Rec. 601
YIQ = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])


def render(x: Tensor, stages: Sequence[Stage], peak: float) -> Tensor:
    """The images after all stages.

    Args:
        x: `[B, C, H, W]` of any type.
        stages: merged.
        peak: the brightest value of x.

    Returns:
        float32, or the type of x where it is floating. What is computed for a sample does not depend on the others.
    """
    working = torch.float64 if x.dtype == torch.float64 else torch.float32
    returned = x.dtype if x.is_floating_point() else working
    largest = max([x[0].numel(), *(x.shape[1] * s.size[0] * s.size[1] for s in stages if isinstance(s, Warp))])
    runs = [(some, list(group)) for some, group in groupby(stages, key=lambda stage: stage.rows is not None)]
    at_once = ROWS_BYTES if any(some for some, _ in runs) else CHUNK_BYTES
    count = max(at_once // (largest * working.itemsize), LEAST_SAMPLES)
    done = []
    for start in range(0, len(x), count):
        given = chunk = x[start : start + count]
        for some, run in runs:
            own = run if count >= len(x) else [cut(stage, start, start + count) for stage in run]
            if some:
                chunk = by_rows(chunk.to(working, copy=chunk is given or room.holds(chunk)).contiguous(), own, peak)
                continue
            if chunk is given:  # contiguous, so that sums round alike in any memory
                chunk = room.of("given", given.shape, working, x.device).copy_(given)
            for stage in own:
                chunk = applied(chunk, stage, peak)
        done.append(chunk.to(returned, copy=chunk is given or room.holds(chunk)))
    return done[0] if len(done) == 1 else torch.cat(done)


def cut(stage: Stage, start: int, stop: int) -> Stage:
    """A stage of the samples from start to before stop."""
    if stage.rows is None:
        return taken(stage, slice(start, stop), None)
    first, last = np.searchsorted(stage.rows, (start, stop))
    return taken(stage, slice(first, last), stage.rows[first:last] - start)


def taken(stage: Stage, chosen: slice, rows: Any) -> Stage:
    """A stage with a part of its parameters, for these rows."""
    if isinstance(stage, Pixels):
        return replace(stage, parameters={name: value[chosen] for name, value in stage.parameters.items()}, rows=rows)
    values = ((f.name, getattr(stage, f.name)) for f in fields(stage) if f.name != "rows")
    arrays: dict[str, Any] = {name: value[chosen] for name, value in values if isinstance(value, np.ndarray)}
    return replace(stage, rows=rows, **arrays)


def by_rows(found: Tensor, stages: Sequence[Stage], peak: float) -> Tensor:
    """The images after stages that each concern some of them, in the same memory."""
    size = found[0].numel() * found.itemsize
    count = max(SOME_BYTES // size, 1)
    for stage in stages:
        rows: Any = stage.rows
        for first in range(0, len(rows), count):
            chosen = slice(first, first + count)
            own, few = rows[chosen], replace(stage, rows=None) if count >= len(rows) else taken(stage, chosen, None)
            if size < LARGE_BYTES:
                index = torch.from_numpy(own).to(found.device)
                found.index_copy_(0, index, applied(found.index_select(0, index), few, peak))
            elif len(own) == 1:
                place = found[own[0] : own[0] + 1]
                done = applied(place, few, peak)
                if done.data_ptr() != place.data_ptr():
                    place.copy_(done)
            else:  # `index_copy_` takes three times as long as copies of samples this large
                done = applied(torch.stack([found[row] for row in own]), few, peak)
                for row, image in zip(own, done, strict=True):
                    found[row].copy_(image)
    return found


def applied(x: Tensor, stage: Stage, peak: float) -> Tensor:
    """The images after a stage that concerns all of them; its memory may be used by `Pixels`."""
    if isinstance(stage, Warp):
        return warped(x, stage, peak)
    if isinstance(stage, Color):
        return colored(x, stage, peak)
    parameters = {name: on(value, x) for name, value in stage.parameters.items()}
    return stage.function(x, parameters, peak)


def on(value: Any, x: Tensor) -> Any:
    """A parameter as a tensor beside x; what is not floating stays with the host."""
    floating = isinstance(value, np.ndarray) and value.dtype.kind == "f"
    return put(value, x.device, x.dtype) if floating else value


# ---------------------------------------------------------------------- warps


def warped(x: Tensor, warp: Warp, peak: float) -> Tensor:
    """One interpolation; samples whose pixels move to pixels are copied, and stay exact."""
    exact = warp.exact
    if exact.all():
        return sampled(x, replace(warp, interpolation="nearest"), peak)
    if warp.interpolation == "nearest" or not exact.any():
        return shrunk(x, warp, peak)
    found = x.new_empty((len(x), x.shape[1], *warp.size))
    for copied in (True, False):
        chosen = np.flatnonzero(exact == copied)
        rows = torch.from_numpy(chosen).to(x.device)
        some = replace(warp, matrix=warp.matrix[chosen], interpolation="nearest" if copied else warp.interpolation)
        found.index_copy_(0, rows, (sampled if copied else shrunk)(x.index_select(0, rows), some, peak))
    return found


def shrunk(x: Tensor, warp: Warp, peak: float) -> Tensor:
    """`sampled`, of images that are averaged before where they shrink to a half or less: each pixel still counts."""
    smaller = warp.minification
    if warp.interpolation == "nearest" or smaller.max() < SHRUNK:
        return sampled(x, warp, peak)
    levels = np.floor(np.log2(np.maximum(smaller / SHRUNK * 2, 1.0))).astype(np.int64)
    found = x.new_empty((len(x), x.shape[1], *warp.size))
    for level in np.unique(levels):
        chosen, side = np.flatnonzero(levels == level), 2 ** int(level)
        rows = torch.from_numpy(chosen).to(x.device)
        small = F.avg_pool2d(x.index_select(0, rows), side, ceil_mode=True, count_include_pad=False)
        pooled = np.array([[1 / side, 0, 0.5 / side - 0.5], [0, 1 / side, 0.5 / side - 0.5], [0, 0, 1]])
        found.index_copy_(0, rows, sampled(small, replace(warp, matrix=pooled @ warp.matrix[chosen]), peak))
    return found


SHRUNK = 2 - 1e-6  # times: from here on images are averaged before
FARTHEST = 1e-20  # in place of 0, where a pixel lies on the horizon of a perspective


def sampled(x: Tensor, warp: Warp, peak: float) -> Tensor:
    numeric = not isinstance(warp.fill, str)
    shift = float(warp.fill) * peak if numeric else 0.0
    found = F.grid_sample(
        x - shift if shift else x,
        grid(x, warp),
        mode=warp.interpolation,
        padding_mode="zeros" if numeric else PADDING[str(warp.fill)],
        align_corners=False,
    )
    found = found.add_(shift) if shift else found
    return found.clamp_(0, peak) if warp.interpolation == "bicubic" else found


def grid(x: Tensor, warp: Warp) -> Tensor:
    """`[B, H, W, 2]` where each output pixel lies in the input, from −1 to 1 between its outer edges.

    (x, y) as x + iy makes it one sum of a row and a column, a fifth of the time of `affine_grid`.
    """
    height, width = x.shape[2:]
    unit = np.array([[2 / width, 0, 1 / width - 1], [0, 2 / height, 1 / height - 1], [0, 0, 1]])
    matrix = unit @ warp.matrix
    across, down = np.arange(warp.size[1], dtype=np.float64), np.arange(warp.size[0], dtype=np.float64)
    place = matrix[:, 0] + 1j * matrix[:, 1]
    row, column = outer(place, across, down)
    kind = torch.complex128 if x.dtype == torch.float64 else torch.complex64
    found = room.of("grid", (len(x), *warp.size), kind, x.device)
    torch.add(put(row, x.device, kind)[:, None, :], put(column, x.device, kind)[:, :, None], out=found)
    if (matrix[:, 2] != (0, 0, 1)).any():
        row, column = outer(matrix[:, 2], across, down)
        real = x.dtype
        far = put(row, x.device, real)[:, None, :] + put(column, x.device, real)[:, :, None]
        found = found / far.masked_fill_(far == 0, FARTHEST)  # else 0 / 0, and a pixel that is no number
    return torch.view_as_real(found)


def outer(place: Any, across: Floats, down: Floats) -> tuple[Any, Any]:
    """What depends on x, with the constant, and what depends on y."""
    return place[:, 0:1] * across + place[:, 2:3], place[:, 1:2] * down


def put(value: Any, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.from_numpy(value).to(dtype).to(device, non_blocking=True)


# ---------------------------------------------------------------------- colors


@cache
def luma_weights(channels: int) -> Floats:
    """`[C]`: Rec. 601 of three channels, of another number all alike."""
    return np.array(LUMA) if channels == 3 else np.full(channels, 1 / channels)


@cache
def basis(channels: int) -> Floats:
    """`[3, C²]`: what scales luma, what scales chroma, and what turns chroma by a quarter."""
    luma = np.repeat(luma_weights(channels)[None], channels, 0)
    turn = np.zeros((channels, channels))
    if channels == 3:
        turn = np.linalg.inv(YIQ) @ np.array([[0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]) @ YIQ
    return np.stack([luma, np.eye(channels) - luma, turn]).reshape(3, -1)


def colored(x: Tensor, color: Color, peak: float) -> Tensor:
    """One matrix per sample, and one limit to the range of brightness at its end."""
    count, channels = x.shape[:2]
    offset: Any = put((color.offset * peak)[:, None, None], x.device, x.dtype)
    if color.mean.any():
        mean = (x.mean((2, 3)) * put(luma_weights(channels), x.device, x.dtype)).sum(1)
        offset = offset + (put(color.mean, x.device, x.dtype) * mean)[:, None, None]
    flat = x.reshape(count, channels, -1)
    if channels == 1:
        found = flat * put(color.luma[:, None, None], x.device, x.dtype)
        return found.add_(offset).clamp_(0, peak).view_as(x)
    parts = np.stack([color.luma, color.chroma * np.cos(color.hue), color.chroma * np.sin(color.hue)], 1)
    # As a sum, whose rounding is each sample's own; that of a product of matrices depends on how many there are.
    matrix = (parts[:, :, None] * basis(channels)).sum(1).reshape(count, channels, channels)
    found = room.of("colored", flat.shape, x.dtype, x.device, beside=x)
    torch.baddbmm(offset.expand(count, channels, 1), put(matrix, x.device, x.dtype), flat, out=found)
    return found.clamp_(0, peak).view_as(x)

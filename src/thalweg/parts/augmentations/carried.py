"""What belongs to an image and moves with its pixels: masks, boxes, keypoints."""

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thalweg.parts.augmentations.pixels import CHUNK_BYTES, cut, sampled
from thalweg.parts.augmentations.stages import Warp
from thalweg.parts.metrics.forms import IGNORED


def carried_masks(mask: Tensor, warp: Warp) -> Tensor:
    """Each output pixel has the value of the nearest input pixel.

    What lies outside is −100 in masks of signed integers, which a loss leaves out, and 0 in others; with fill="edge"
    or "reflect" it is as in the images.
    """
    if warp.rows is not None:
        rows = torch.from_numpy(warp.rows).to(mask.device)
        return mask.index_copy(0, rows, carried_masks(mask.index_select(0, rows), replace(warp, rows=None)))
    planes = mask if mask.dim() == 4 else mask[:, None]
    wide = torch.float64 if mask.dtype in (torch.int64, torch.int32, torch.float64) else torch.float32
    outside = float(IGNORED) if mask.dtype in (torch.int64, torch.int32, torch.int16) else 0.0
    numeric = not isinstance(warp.fill, str)
    nearest = replace(warp, interpolation="nearest", fill=outside if numeric else warp.fill)
    count = max(CHUNK_BYTES // max(planes[0].numel() * wide.itemsize, 1), 1)
    done = [
        sampled(planes[start : start + count].to(wide), cut(nearest, start, start + count), 1.0)  # type: ignore[arg-type]
        for start in range(0, len(planes), count)
    ]
    found = torch.cat(done).to(mask.dtype)
    return found if mask.dim() == 4 else found[:, 0]


def forward_matrix(warp: Warp) -> Any:
    """`[B, 3, 3]`, from the input's pixel numbers to the output's."""
    return np.linalg.inv(warp.matrix)


def moved(points: Tensor, matrix: Any) -> Tensor:
    """`[N, 2]` under a matrix `[3, 3]`."""
    own = torch.from_numpy(matrix).to(points.device)
    wide = points.double() @ own[:, :2].T + own[:, 2]
    return (wide[:, :2] / wide[:, 2:]).to(points.dtype)


def carried_points(points: Any, warp: Warp) -> Any:
    """Keypoints where their pixels went; they may lie outside."""
    return each(points, warp, moved)


def carried_boxes(boxes: Any, warp: Warp) -> Any:
    """The upright boxes around what the boxes' corners became, cut off at the image; one that left it has no area."""
    height, width = warp.size

    def move(own: Tensor, matrix: Any) -> Tensor:
        left, top, right, bottom = own.unbind(1)
        corners = torch.stack([left, top, right, top, right, bottom, left, bottom], 1).reshape(-1, 2)
        placed = (moved(corners - 0.5, matrix) + 0.5).view(-1, 4, 2)  # edges lie half a pixel before centers
        lows, highs = placed.amin(1), placed.amax(1)
        limit = own.new_tensor([width, height])
        return torch.cat([lows.clamp(min=0).minimum(limit), highs.clamp(min=0).minimum(limit)], 1)

    return each(boxes, warp, move)


def each(values: Any, warp: Warp, move: Any) -> Any:
    """`move(values of a sample, its matrix)` for each sample, in the form in which they came."""
    matrix = forward_matrix(warp)
    rows = range(len(values)) if warp.rows is None else warp.rows
    found = list(values)
    for place, row in enumerate(rows):
        found[row] = move(found[row], matrix[place])
    return torch.stack(found) if isinstance(values, Tensor) else type(values)(found)

"""Masks, boxes and keypoints move with the pixels, by the same draw."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from thalweg.parts.augmentations import (
    Affine,
    Brightness,
    Compose,
    HorizontalFlip,
    PaddedCrop,
    Perspective,
    RandAugment,
    ResizedCrop,
    Rotation,
    VerticalFlip,
)

B, H, W = 6, 40, 56
BOXES = torch.tensor([[5.0, 6.0, 15.0, 20.0], [30.0, 2.0, 56.0, 40.0]]).expand(B, 2, 4)
POINTS = torch.tensor([[20.0, 18.0], [33.5, 25.0], [0.0, 0.0]]).expand(B, 3, 2)
GEOMETRIC = [
    Affine(rotate=25, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=8),
    Perspective(0.3, p=0.8),
    ResizedCrop((50, 44), scale=(0.6, 1.0)),
    Compose(HorizontalFlip(), PaddedCrop(4), Brightness(0.1), Rotation(20), VerticalFlip()),
    Compose(Rotation(10, fill="edge"), Affine(scale=(0.9, 1.1))),  # two warps
]


def batch(image: torch.Tensor | None = None, **others: Any) -> dict[str, Any]:
    return {"image": torch.rand(B, 3, H, W) if image is None else image, **others}


def spots(points: torch.Tensor, width: float) -> torch.Tensor:
    """`[B, 1, H, W]`, a bright spot about a point of each sample."""
    down, across = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    far = (across - points[:, 0, None, None]) ** 2 + (down - points[:, 1, None, None]) ** 2
    return torch.exp(-far / (2 * width**2))[:, None]


def centers(weights: torch.Tensor) -> torch.Tensor:
    """`[B, 2]`, the mean (x, y) of weights `[B, H, W]`."""
    down, across = torch.meshgrid(torch.arange(weights.shape[1]), torch.arange(weights.shape[2]), indexing="ij")
    total = weights.sum((1, 2))
    return torch.stack([(weights * across).sum((1, 2)), (weights * down).sum((1, 2))], 1) / total[:, None]


def test_flips_by_their_closed_form() -> None:
    mask = torch.randint(0, 9, (B, H, W))
    for part, axis in ((HorizontalFlip(p=1.0), 0), (VerticalFlip(p=1.0), 1)):
        side = (W, H)[axis]
        out = part(batch(mask=mask, boxes=BOXES, keypoints=POINTS))
        assert torch.equal(out["mask"], mask.flip(2 - axis))
        points, boxes = POINTS.clone(), BOXES.clone()
        points[..., axis] = side - 1 - points[..., axis]
        boxes[..., axis], boxes[..., axis + 2] = side - BOXES[..., axis + 2], side - BOXES[..., axis]
        assert torch.allclose(out["keypoints"], points)
        assert torch.allclose(out["boxes"], boxes)


def test_padded_crops_by_their_closed_form() -> None:
    part = PaddedCrop(6)
    own = Compose(part).draw(range(B), shape=(3, H, W)).drawn[0]
    moves = torch.from_numpy(np.stack([own["dx"], own["dy"]], 1)).float()
    mask = torch.randint(0, 9, (B, H, W))
    out = part(batch(mask=mask, boxes=BOXES, keypoints=POINTS), ids=range(B))
    assert torch.allclose(out["keypoints"], POINTS - moves[:, None])
    limit = torch.tensor([W, H, W, H])
    assert torch.allclose(out["boxes"], (BOXES - moves.repeat(1, 2)[:, None]).clamp(min=0).minimum(limit))
    padded = F.pad(mask, (6, 6, 6, 6), value=-100)
    for i in range(B):
        top, left = int(own["dy"][i]) + 6, int(own["dx"][i]) + 6
        assert torch.equal(out["mask"][i], padded[i, top : top + H, left : left + W])


def test_resized_crops_by_their_closed_form() -> None:
    part = ResizedCrop((20, 70), scale=(0.3, 0.7))
    own = Compose(part).draw(range(B), shape=(3, H, W)).drawn[0]
    out = part(batch(boxes=BOXES, keypoints=POINTS), ids=range(B))
    for i in range(B):
        scale = np.array([70 / own["width"][i], 20 / own["height"][i]])
        start = np.array([own["left"][i], own["top"][i]])
        assert np.allclose(out["keypoints"][i], (POINTS[i].numpy() + 0.5 - start) * scale - 0.5, atol=1e-4)
        corners = (BOXES[i].numpy().reshape(-1, 2) - start) * scale
        assert np.allclose(out["boxes"][i].reshape(-1, 2), corners.clip(0, [70, 20]), atol=1e-4)


@pytest.mark.parametrize("part", GEOMETRIC, ids=str)
def test_a_bright_spot_is_where_its_keypoint_went(part: Any) -> None:
    points = torch.tensor([[20.0, 18.0], [33.5, 25.0], [28.0, 20.0], [25.0, 22.0], [30.0, 15.0], [22.0, 25.0]])
    out = part(batch(spots(points, 2.0).double(), keypoints=points[:, None].double()), ids=range(B))
    assert (centers(out["image"][:, 0]) - out["keypoints"][:, 0]).abs().max() < 0.15  # of a pixel


@pytest.mark.parametrize("part", GEOMETRIC, ids=str)
def test_a_box_is_around_what_it_held(part: Any) -> None:
    mask = torch.zeros(B, H, W, dtype=torch.uint8)
    left, top, right, bottom = 18, 12, 38, 27
    mask[:, top:bottom, left:right] = 1
    boxes = torch.tensor([[[left, top, right, bottom]]], dtype=torch.float64).expand(B, 1, 4)
    out = part(batch(mask=mask, boxes=boxes), ids=range(B))
    two = isinstance(part, Compose) and len(part.parts) == 2
    reach = 1.06 if two else 0.51  # the nearest pixel reaches half a pixel beyond, and that of a second warp, too
    for i in range(B):
        rows, columns = out["mask"][i].nonzero().double().T
        found = torch.stack([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
        box = out["boxes"][i, 0]
        assert (box[:2] - reach <= found[:2]).all()
        assert (box[2:] + reach >= found[2:]).all()
        assert (box - found).abs().max() < 2.0


def test_masks_keep_their_values_and_kind() -> None:
    part = Affine(rotate=30, interpolation="bicubic")
    for dtype, outside in ((torch.int64, -100), (torch.uint8, 0), (torch.bool, 0), (torch.float32, 0)):
        mask = torch.ones(B, H, W, dtype=dtype)
        out = part(batch(mask=mask), ids=range(B))["mask"]
        assert out.dtype == dtype
        assert set(out.unique().tolist()) == {outside, 1}
        assert torch.equal(part(batch(mask=mask[:, None]), ids=range(B))["mask"][:, 0], out)
    large = torch.full((B, H, W), 2**40 + 1)
    assert set(part(batch(mask=large), ids=range(B))["mask"].unique().tolist()) == {-100, 2**40 + 1}
    out = Affine(rotate=30, fill="edge")(batch(mask=torch.ones(B, H, W, dtype=torch.int64)))["mask"]
    assert (out == 1).all()


def test_a_mask_is_as_the_image_under_the_nearest_pixel() -> None:
    image = torch.rand(B, 1, H, W)
    for part in (
        Affine(rotate=30, interpolation="nearest"),
        Perspective(0.4, p=0.7, interpolation="nearest"),
        ResizedCrop(30, interpolation="nearest"),
    ):
        out = part(batch(image, mask=image), ids=range(B))
        assert torch.equal(out["mask"], out["image"])


def test_the_samples_own_operations_carry_too() -> None:
    count = 60
    points = torch.tensor([[28.0, 20.0]]).expand(count, 1, 2)
    down, across = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    disk = ((across - 28) ** 2 + (down - 20) ** 2 <= 25).to(torch.uint8).expand(count, H, W)
    image = torch.rand(count, 3, H, W)
    out = RandAugment(2, 5)({"image": image, "mask": disk, "keypoints": points}, ids=range(count))
    moved = (out["keypoints"][:, 0] - points[:, 0]).norm(dim=1)
    assert (moved > 1).sum() > 10
    assert (moved == 0).sum() > 5
    assert (centers(out["mask"].double()) - out["keypoints"][:, 0]).abs().max() < 0.5


def test_lists_of_different_lengths() -> None:
    points = [POINTS[0, :n] for n in (0, 1, 2, 3, 1, 0)]
    boxes = [BOXES[0, :n] for n in (0, 1, 2, 0, 1, 2)]
    part = Rotation(20)
    out = part(batch(boxes=boxes, keypoints=points), ids=range(B))
    dense = part(batch(boxes=BOXES, keypoints=POINTS), ids=range(B))
    for i in range(B):
        assert torch.equal(out["keypoints"][i], dense["keypoints"][i, : len(points[i])])
        assert torch.equal(out["boxes"][i], dense["boxes"][i, : len(boxes[i])])


def test_a_box_that_left_has_no_area() -> None:
    boxes = torch.tensor([[[0.0, 0.0, 3.0, 3.0]]]).expand(B, 1, 4)
    out = Affine(scale=(3.0, 3.0))(batch(boxes=boxes))["boxes"]
    assert torch.equal((out[..., 2] - out[..., 0]) * (out[..., 3] - out[..., 1]), torch.zeros(B, 1))


def test_what_came_in_is_left_as_it_was() -> None:
    given = batch(mask=torch.randint(0, 9, (B, H, W)), boxes=BOXES.clone(), keypoints=POINTS.clone())
    before = {name: value.clone() for name, value in given.items()}
    Compose(Rotation(20), RandAugment())(given)
    assert all(torch.equal(given[name], before[name]) for name in given)

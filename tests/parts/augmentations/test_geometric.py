"""Warps against scipy's interpolation at coordinates from the stated formulas; flips and whole shifts bit by bit."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.parts.augmentations import (
    Affine,
    Compose,
    HorizontalFlip,
    PaddedCrop,
    Perspective,
    ResizedCrop,
    Rotation,
    Shear,
    VerticalFlip,
)

B, C, H, W = 5, 3, 23, 31
MODES = {0.0: "grid-constant", "edge": "nearest", "reflect": "reflect"}


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(B, C, H, W, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def drawn(part: Any, count: int = B, shape: tuple[int, ...] = (C, H, W)) -> dict[str, Any]:
    return Compose(part).draw(range(count), shape=shape).drawn[0]


def sampled(image: torch.Tensor, to_input: np.ndarray, size: tuple[int, int], fill: Any = 0.0, order: int = 1) -> Any:
    """One image by scipy at the input pixels that a matrix [3, 3] gives for the output's."""
    down, across = np.mgrid[: size[0], : size[1]].astype(float)
    x, y, w = np.einsum("ij,jhw->ihw", to_input, np.stack([across, down, np.ones_like(down)]))
    places = np.stack([y / w, x / w])
    return np.stack([map_coordinates(plane, places, order=order, mode=MODES[fill]) for plane in image.numpy()])


def forward(angle: float, dx: float, dy: float, scale: float, shear: float, shear_y: float) -> np.ndarray:
    """c + t + s R(a) K (p − c), with K = (1, −tan φ_x; 0, 1) after (1, 0; −tan φ_y, 1), written out."""
    a, px, py = np.deg2rad([angle, shear, shear_y])
    turn = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    along_x, along_y = np.array([[1, -np.tan(px)], [0, 1]]), np.array([[1, 0], [-np.tan(py), 1]])
    linear = scale * turn @ along_y @ along_x
    center = np.array([(W - 1) / 2, (H - 1) / 2])
    found = np.eye(3)
    found[:2, :2], found[:2, 2] = linear, center - linear @ center + np.array([dx, dy])
    return found


@pytest.mark.parametrize("fill", [0.0, "edge", "reflect"])
def test_affine_is_its_formula(x: torch.Tensor, fill: Any) -> None:
    part = Affine(rotate=40, translate=(0.2, 0.1), scale=(0.8, 1.5), shear=15, shear_y=(-5, 20), fill=fill)
    y, own = part(x, ids=range(B)), drawn(part)
    for i in range(B):
        matrix = forward(*(own[name][i] for name in ("angle", "dx", "dy", "scale", "shear", "shear_y")))
        expected = sampled(x[i], np.linalg.inv(matrix), (H, W), fill)
        assert np.abs(y[i].numpy() - expected).max() < 1e-12


def test_rotation_and_shear_are_their_formulas(x: torch.Tensor) -> None:
    for part in (Rotation(170), Shear(30, (10, 20))):
        y, own = part(x, ids=range(B)), drawn(part)
        for i in range(B):
            angle, sx, sy = (own[n][i] if n in own else 0.0 for n in ("angle", "shear", "shear_y"))
            expected = sampled(x[i], np.linalg.inv(forward(angle, 0, 0, 1, sx, sy)), (H, W))
            assert np.abs(y[i].numpy() - expected).max() < 1e-12


def test_quarter_turns_are_exact(x: torch.Tensor) -> None:
    square = x[..., :H].float()
    for quarters in (1, 2, 3):
        turned = Rotation((90 * quarters, 90 * quarters))(square)
        assert torch.equal(turned, torch.rot90(square, -quarters, (2, 3)))


def test_perspective_moves_the_corners_where_it_says(x: torch.Tensor) -> None:
    part = Perspective(0.5, p=1.0)
    own = drawn(part)["corners"]
    matrix = part.matrix({"corners": own}, (C, H, W))
    right, bottom = W - 1, H - 1
    for i in range(B):
        for corner, source in zip(own[i], [(0, 0), (right, 0), (right, bottom), (0, bottom)], strict=True):
            found = matrix[i] @ (*corner, 1.0)
            assert np.allclose(found[:2] / found[2], source, atol=1e-9)
        moves = np.abs(own[i] - [(0, 0), (right, 0), (right, bottom), (0, bottom)])
        assert (moves <= 0.25 * np.array([right, bottom])).all()
    y = part(x, ids=range(B))
    for i in range(B):
        assert np.abs(y[i].numpy() - sampled(x[i], matrix[i], (H, W))).max() < 1e-11


def test_a_horizon_through_pixels_leaves_numbers() -> None:
    from thalweg.parts.augmentations.pixels import render
    from thalweg.parts.augmentations.stages import Warp

    matrix = np.array([[[1.0, 0, -4.0], [0, 1.0, -4.0], [1.0, 0, -4.0]]])  # w = x − 4 is 0 in a whole column
    for fill in (0.0, "edge", "reflect"):
        for interpolation in ("bilinear", "bicubic", "nearest"):
            y = render(torch.rand(1, 1, 8, 8), [Warp(matrix, (8, 8), fill, interpolation)], 1.0)
            assert y.isfinite().all(), (fill, interpolation)


@pytest.mark.parametrize("size", [None, 40, (37, 50)])
def test_resized_crop_is_its_formula(x: torch.Tensor, size: Any) -> None:
    part = ResizedCrop(size, scale=(0.3, 0.9))
    y, own = part(x, ids=range(B)), drawn(part)
    h, w = (H, W) if size is None else (size, size) if isinstance(size, int) else size
    assert y.shape == (B, C, h, w)
    for i in range(B):
        left, top, width, height = (own[name][i] for name in ("left", "top", "width", "height"))
        assert left >= 0
        assert top >= 0
        assert left + width <= W + 1e-9
        assert top + height <= H + 1e-9
        cut = np.array([[width / w, 0, left + width / w / 2 - 0.5], [0, height / h, top + height / h / 2 - 0.5]])
        expected = sampled(x[i], np.vstack([cut, [0, 0, 1]]), (h, w), "edge")
        assert np.abs(y[i].numpy() - expected).max() < 1e-12


def test_resized_crop_draws_areas_and_ratios() -> None:
    part = ResizedCrop(scale=(0.1, 0.5), ratio=(0.8, 1.25))
    own = drawn(part, 4000, (3, 64, 64))
    area, ratio = own["width"] * own["height"] / 64**2, own["width"] / own["height"]
    assert 0.1 <= area.min() < 0.102
    assert 0.498 < area.max() <= 0.5
    assert np.abs(np.log(ratio)).max() <= np.log(1.25) + 1e-9
    assert abs(area.mean() - 0.3) < 4 * 0.4 / 12**0.5 / 4000**0.5
    assert abs(np.log(ratio).mean()) < 4 * np.log(1.25) / 3**0.5 / 4000**0.5
    wide = drawn(ResizedCrop(scale=(1.0, 1.0), ratio=(4.0, 4.0)), 3, (3, 64, 64))
    assert (wide["width"] == 64).all()  # cut to the image
    assert np.allclose(wide["height"], 32)


def test_where_resized_crop_does_not_act_the_whole_image_is_resized(x: torch.Tensor) -> None:
    y = ResizedCrop((40, 50), p=0.0)(x)
    expected = F.interpolate(x, (40, 50), mode="bilinear", align_corners=False)
    assert torch.allclose(y, expected, atol=1e-12)
    assert torch.equal(ResizedCrop(p=0.0)(x), x)


def test_a_large_image_is_averaged_where_it_shrinks() -> None:
    """Every pixel counts: a fine pattern becomes its mean, where points between four pixels would see it."""
    stripes = torch.zeros(1, 1, 64, 64)
    stripes[..., ::4] = 1.0
    y = ResizedCrop(16, scale=(1.0, 1.0), ratio=(1.0, 1.0))(stripes)
    assert torch.allclose(y, torch.full_like(y, 0.25), atol=1e-6)


def test_flips_and_padded_crops_are_exact() -> None:
    x = torch.randn(6, 3, 11, 14)  # any number goes through unchanged, also beyond the range of brightness
    assert torch.equal(HorizontalFlip(p=1.0)(x), x.flip(3))
    assert torch.equal(VerticalFlip(p=1.0)(x), x.flip(2))
    for fill, mode in ((0.0, "constant"), ("edge", "replicate"), ("reflect", None)):
        part = PaddedCrop(3, fill=fill)
        own = drawn(part, 6, (3, 11, 14))
        symmetric = np.pad(x.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="symmetric")
        padded = F.pad(x, (3, 3, 3, 3), mode=mode) if mode else torch.from_numpy(symmetric)
        y = part(x, ids=range(6))
        for i in range(6):
            top, left = int(own["dy"][i]) + 3, int(own["dx"][i]) + 3
            assert torch.equal(y[i], padded[i, :, top : top + 11, left : left + 14])


def test_samples_that_an_affine_leaves_alone_stay_exact() -> None:
    x = torch.rand(40, 3, 16, 16)
    augment = Compose(HorizontalFlip(), Affine(rotate=20, p=0.5))
    y, (flip, affine) = augment(x, ids=range(40)), augment.draw(range(40), shape=(3, 16, 16)).drawn
    for i in np.flatnonzero(~affine["applied"]):
        assert torch.equal(y[i], x[i].flip(2) if flip["applied"][i] else x[i])
    assert 0 < affine["applied"].sum() < 40


def test_a_flip_merges_whatever_lies_outside(x: torch.Tensor) -> None:
    """A flip needs neither fill nor interpolation, and so is part of the one warp beside it."""
    from thalweg.parts.augmentations.compose import staged

    for parts in (
        [ResizedCrop(20, interpolation="bicubic"), HorizontalFlip(p=1.0)],
        [ResizedCrop(20, interpolation="bicubic"), PaddedCrop(2)],
    ):
        augment = Compose(*parts)
        stages = staged(parts, augment.draw(range(B), shape=(C, H, W)).drawn, (C, H, W))
        assert len(stages) == (1 if isinstance(parts[1], HorizontalFlip) else 2)
    crop = ResizedCrop(20, interpolation="bicubic")
    both = Compose(crop, HorizontalFlip(p=1.0))(x, ids=range(B))
    assert torch.allclose(both, crop(x, ids=range(B)).flip(3), atol=1e-12)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: Rotation((30, -30)), r"Rotation got degrees=\(30, -30\); allowed: .*low first"),
        (lambda: Rotation(-5), "from 0 to 360"),
        (lambda: Shear(95), "from 0 to 89"),
        (lambda: ResizedCrop(scale=(0.5, 0.1)), r"got scale=\(0.5, 0.1\).*low first"),
        (lambda: ResizedCrop(scale=(0.5, 2.0)), "from 0.0001 to 1"),
        (lambda: ResizedCrop(0), "got size=0; allowed: an integer of at least 1"),
        (lambda: ResizedCrop((3, 4, 5)), "size"),
        (lambda: ResizedCrop((None, 4)), "size"),
        (lambda: Perspective(0.7), "got distortion=0.7; allowed: a number from 0 to 0.66"),
        (lambda: Affine(fill="white"), "got fill='white'"),
        (lambda: Affine(interpolation="lanczos"), "interpolation"),
        (lambda: Rotation(p=1.5), "a probability from 0 to 1"),
    ],
)
def test_what_is_not_allowed_is_said(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()

"""RandAugment and TrivialAugment: each operation by its definition in Pillow and scipy, and what they draw."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import map_coordinates
from scipy.stats import chisquare

from thalweg.errors import UsageError
from thalweg.parts.augmentations import Compose, RandAugment, TrivialAugment
from thalweg.parts.augmentations.operations import OPERATIONS

H, W, COUNT = 24, 34, 600
NAMES = (
    "Identity ShearX ShearY TranslateX TranslateY Rotate Brightness Color Contrast Sharpness Posterize Solarize "
    "AutoContrast Equalize"
).split()
SIGNED = NAMES[1:10]


@pytest.fixture
def x() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(COUNT, 3, 5, 6, generator=generator), (H, W), mode="bilinear")
    return (20 + 200 * smooth).to(torch.uint8)


def moved(image: np.ndarray, matrix: list[list[float]]) -> np.ndarray:
    """By scipy; the matrix takes the output's places, in pixels from the upper left corner, to the input's."""
    down, across = np.mgrid[:H, :W] + 0.5
    x, y = np.einsum("ij,jhw->ihw", np.array(matrix), np.stack([across, down, np.ones_like(down)])) - 0.5
    return np.stack([map_coordinates(plane, [y, x], order=1, mode="grid-constant") for plane in image])


def reference(image: np.ndarray, name: str, m: float) -> tuple[np.ndarray, float]:
    """What the operation is, and by how much Pillow's whole numbers differ from it."""
    picture = Image.fromarray(image.transpose(1, 2, 0).astype(np.uint8))
    a = math.radians(m) if name == "Rotate" else 0.0
    cos, sin, cx, cy = math.cos(a), math.sin(a), W / 2, H / 2
    warps = {
        "ShearX": [[1, m, 0], [0, 1, 0]],
        "ShearY": [[1, 0, 0], [m, 1, 0]],
        "TranslateX": [[1, 0, -m], [0, 1, 0]],
        "TranslateY": [[1, 0, 0], [0, 1, -m]],
        # To turn counterclockwise, y pointing down, is to look clockwise.
        "Rotate": [[cos, -sin, cx - cos * cx + sin * cy], [sin, cos, cy - sin * cx - cos * cy]],
    }
    if name in warps:
        return moved(image, warps[name]), 1e-3
    made: Any = {
        "Identity": lambda: (picture, 0.0),
        "Brightness": lambda: (ImageEnhance.Brightness(picture).enhance(1 + m), 1.0),
        "Color": lambda: (ImageEnhance.Color(picture).enhance(1 + m), 2.0),
        "Contrast": lambda: (ImageEnhance.Contrast(picture).enhance(1 + m), 2.0),
        "Sharpness": lambda: (ImageEnhance.Sharpness(picture).enhance(1 + m), 1.51),
        "Posterize": lambda: (ImageOps.posterize(picture, int(m)), 1e-4),
        "Solarize": lambda: (ImageOps.solarize(picture, round(m * 255, 6)), 1e-4),
        "AutoContrast": lambda: (ImageOps.autocontrast(picture), 1.0),
        "Equalize": lambda: (ImageOps.equalize(picture), 1e-4),
    }[name]()
    return np.asarray(made[0]).transpose(2, 0, 1).astype(float), made[1]


@pytest.mark.parametrize("part", [TrivialAugment(), RandAugment(1, 13)], ids=str)
def test_each_operation_is_its_definition(part: Any, x: torch.Tensor) -> None:
    y, own = part(x, ids=range(COUNT)), Compose(part).draw(range(COUNT), shape=(3, H, W)).drawn[0]
    seen = set()
    for i in range(COUNT):
        name, magnitude = str(own["operation"][i, 0]), float(own["magnitude"][i, 0])
        expected, error = reference(x[i].double().numpy(), name, magnitude)
        assert np.abs(y[i].double().numpy() - expected).max() <= error, (name, magnitude)
        seen.add(name)
    assert seen == set(NAMES)


def test_operations_follow_each_other(x: torch.Tensor) -> None:
    """Two rounds are one round after the other, bit by bit."""
    part = RandAugment(2, 9)
    draw = Compose(part).draw(range(COUNT), shape=(3, H, W))
    y = x
    for k in range(2):
        single = {**draw.drawn[0], **{name: draw.drawn[0][name][:, k : k + 1] for name in ("operation", "magnitude")}}
        one = type(draw)(draw.ids, draw.shape, draw.parts, (single,))
        y = Compose(part).replay(y, one, peak=255.0)
    assert torch.equal(Compose(part).replay(x, draw), y)


def test_what_they_draw_is_uniform() -> None:
    shape, count = (3, 50, 100), 20_000
    own = Compose(TrivialAugment()).draw(range(count), shape=shape).drawn[0]
    name, value = own["operation"][:, 0], own["magnitude"][:, 0]
    assert list(OPERATIONS[np.argsort(OPERATIONS)]) == sorted(NAMES)
    assert chisquare(np.unique(name, return_counts=True)[1]).pvalue > 1e-3
    for key in SIGNED:
        most = {"TranslateX": 32, "TranslateY": 32, "Rotate": 135}.get(key, 0.99)
        mine = value[name == key]
        assert np.isclose(mine.min(), -most)
        assert np.isclose(mine.max(), most)
        assert abs((mine < 0).mean() - 15 / 31) < 4 * 0.5 / len(mine) ** 0.5  # of 31 magnitudes one is 0
    rotated = np.abs(value[name == "Rotate"]) / 135 * 30
    assert chisquare(np.bincount(np.rint(rotated).astype(int), minlength=31)).pvalue > 1e-3
    assert set(value[name == "Posterize"]) == {2, 3, 4, 5, 6, 7, 8}
    assert len(set(value[name == "Solarize"])) == 31


def test_rand_augment_has_the_magnitude_of_its_bin() -> None:
    shape = (3, 50, 100)
    for m in (0, 9, 30):
        own = Compose(RandAugment(3, m)).draw(range(3000), shape=shape).drawn[0]
        name, value = own["operation"], np.abs(own["magnitude"])
        assert name.shape == (3000, 3)
        expected = {
            "ShearX": 0.3 * m / 30,
            "TranslateX": math.floor(150 / 331 * 100 * m / 30),
            "TranslateY": math.floor(150 / 331 * 50 * m / 30),
            "Rotate": float(m),
            "Brightness": 0.9 * m / 30,
            "Sharpness": 0.9 * m / 30,
            "Posterize": {0: 8, 9: 7, 30: 4}[m],
            "Solarize": 1 - m / 30,
            "AutoContrast": 0,
        }
        for key, magnitude in expected.items():
            assert np.allclose(value[name == key], magnitude), key
    first, second = own["operation"][:, 0], own["operation"][:, 1]
    assert abs((first == second).mean() - 1 / 14) < 4 * (1 / 14 / 3000) ** 0.5


@pytest.mark.parametrize("part", [TrivialAugment(), RandAugment(), RandAugment(3, 20, fill="reflect")], ids=str)
def test_a_sample_does_not_depend_on_the_others(part: Any, x: torch.Tensor) -> None:
    x = x[:60]
    y = part(x, ids=range(60))
    order = torch.randperm(60)
    assert torch.equal(part(x[order], ids=order.tolist()), y[order])
    assert torch.equal(torch.cat([part(x[i : i + 1], ids=[i]) for i in range(60)]), y)
    assert torch.equal(torch.cat([part(x[i : i + 7], ids=range(i, min(i + 7, 60))) for i in range(0, 60, 7)]), y)


def test_large_images_too() -> None:
    """They go through one by one, in place; small ones many at once."""
    part = RandAugment()
    for side in (96, 160, 400):
        x = torch.randint(0, 256, (12, 3, side, side), dtype=torch.uint8)
        before, y = x.clone(), part(x, ids=range(12))
        assert torch.equal(torch.cat([part(x[i : i + 1], ids=[i]) for i in range(12)]), y)
        floats = x.float()
        assert torch.equal(part(floats, ids=range(12), peak=255.0), y)
        assert torch.equal(floats, before.float())


def test_p_and_channels() -> None:
    x = torch.rand(50, 1, 16, 16)
    part = TrivialAugment(p=0.3)
    y, own = part(x, ids=range(50)), Compose(part).draw(range(50), shape=(1, 16, 16)).drawn[0]
    for i in np.flatnonzero(~own["applied"]):
        assert torch.equal(y[i], x[i])
    assert 5 < own["applied"].sum() < 25
    four = torch.rand(30, 4, 16, 16)
    assert RandAugment()(four).shape == four.shape


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: RandAugment(0), "RandAugment got num_ops=0; allowed: an integer of at least 1"),
        (lambda: RandAugment(2, 31), "RandAugment got magnitude=31; allowed: an integer from 0 to 30"),
        (lambda: TrivialAugment(fill=2), "TrivialAugment got fill=2"),
        (lambda: TrivialAugment(interpolation="box"), "interpolation"),
    ],
)
def test_what_is_not_allowed_is_said(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()

"""What is done pixel by pixel, against Pillow, colorsys and scipy."""

import colorsys
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps
from scipy.ndimage import correlate1d
from scipy.stats import kstest

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import (
    AutoContrast,
    Blur,
    Compose,
    Equalize,
    Erasing,
    HueHSV,
    Noise,
    Posterize,
    Sharpness,
    Solarize,
)

B, H, W = 8, 40, 29
ALL = [
    AutoContrast(p=1.0),
    Blur(),
    Equalize(p=1.0),
    Erasing(p=1.0),
    Erasing(value="mean", p=1.0),
    Erasing(value="noise", p=1.0),
    HueHSV(0.5),
    Noise((0.0, 0.2)),
    Posterize((1, 8), p=1.0),
    Sharpness(),
    Solarize((0, 1), p=1.0),
]


@pytest.fixture
def x() -> torch.Tensor:
    """Images of different contrast; one of a single color, one of two, one of noise."""
    generator = torch.Generator().manual_seed(0)
    smooth = torch.nn.functional.interpolate(torch.rand(B, 3, 5, 5, generator=generator), (H, W), mode="bilinear")
    x = (40 + 150 * smooth).to(torch.uint8)
    x[0] = 77
    x[1, :, :20], x[1, :, 20:] = 10, 200
    x[2] = torch.randint(0, 256, (3, H, W), generator=generator)
    return x


def drawn(part: Any, x: torch.Tensor) -> dict[str, Any]:
    return Compose(part).draw(range(len(x)), shape=tuple(x.shape[1:])).drawn[0]


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


def back(image: Image.Image) -> np.ndarray:
    return np.asarray(image).transpose(2, 0, 1).astype(float)


@pytest.mark.parametrize("floats", [False, True])
def test_posterize_solarize_and_equalize_are_pillows(x: torch.Tensor, floats: bool) -> None:
    """Also of floats: k / 255 is level k."""
    given, unit = (x.double() / 255, 255.0) if floats else (x, 1.0)
    bits, solar = Posterize((1, 8), p=1.0), Solarize((0.1, 0.9), p=1.0)
    ys = bits(given, ids=range(B)), solar(given, ids=range(B)), Equalize(p=1.0)(given, ids=range(B))
    for i in range(B):
        level, threshold = drawn(bits, x)["bits"][i], drawn(solar, x)["threshold"][i] * 255
        expected = (
            ImageOps.posterize(pillow(x[i]), int(level)),
            ImageOps.solarize(pillow(x[i]), threshold),
            ImageOps.equalize(pillow(x[i])),
        )
        for y, reference in zip(ys, expected, strict=True):
            assert np.abs(unit * y[i].double().numpy() - back(reference)).max() < 1e-4


def test_autocontrast_is_pillows_before_it_cuts_off(x: torch.Tensor) -> None:
    y = AutoContrast(p=1.0)(x)
    for i in range(B):
        difference = y[i].double().numpy() - back(ImageOps.autocontrast(pillow(x[i])))
        assert difference.min() > -1e-4
        assert difference.max() < 1.0 + 1e-4  # a whole number that its product falls short of is cut off, too
    assert torch.equal(y[0], x[0].float())  # of one color


def test_sharpness_is_pillows_but_for_its_rounding(x: torch.Tensor) -> None:
    part = Sharpness(1.0)
    y, factor = part(x, ids=range(B)), drawn(part, x)["factor"]
    for i in range(B):
        expected = back(ImageEnhance.Sharpness(pillow(x[i])).enhance(factor[i]))
        # Pillow rounds what it smoothed, which is blended by |1 − f|, and cuts off the result.
        assert np.abs(y[i].numpy() - expected).max() < 0.5 * abs(1 - factor[i]) + 1.01
    border = torch.ones(H, W, dtype=torch.bool)
    border[1:-1, 1:-1] = False
    assert torch.equal(y[..., border], x.float()[..., border])
    small = torch.rand(2, 1, 2, 9)
    assert torch.equal(part(small), small)


def test_sharpness_is_its_formula(x: torch.Tensor) -> None:
    own, part = x.double() / 255, Sharpness(1.0)
    y, factor = part(own, ids=range(B)), drawn(part, x)["factor"][:, None, None, None]
    kernel = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
    smooth = own.numpy().copy()
    windows = np.lib.stride_tricks.sliding_window_view(own.numpy(), (3, 3), axis=(2, 3))
    smooth[..., 1:-1, 1:-1] = (windows * kernel).sum((-1, -2))
    expected = (factor * own.numpy() + (1 - factor) * smooth).clip(0, 1)
    assert np.abs(y.numpy() - expected).max() < 1e-12


def test_hue_is_that_of_colorsys(x: torch.Tensor) -> None:
    own, part = x.double() / 255, HueHSV(0.5)
    y, turns = part(own, ids=range(B)), drawn(part, x)["turns"]
    for i in range(B):
        for row, column in np.random.default_rng(i).integers(0, (H, W), (40, 2)):
            h, s, v = colorsys.rgb_to_hsv(*own[i, :, row, column].tolist())
            expected = colorsys.hsv_to_rgb((h + turns[i]) % 1.0, s, v)
            assert np.abs(y[i, :, row, column].numpy() - expected).max() < 1e-12


def test_hue_of_the_corners_and_grays() -> None:
    colors = torch.cartesian_prod(*[torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)] * 3).T.reshape(1, 3, 27, 1)
    for third in (1 / 3, -1 / 3):
        part = HueHSV(0.5)
        draw = Compose(part).draw([0], shape=(3, 27, 1))
        draw.drawn[0]["turns"][:] = third  # a third of a turn puts each channel in the place of another
        y = Compose(part).replay(colors, draw)
        assert torch.allclose(y, colors.roll(1 if third > 0 else -1, 1), atol=1e-12)


@pytest.mark.parametrize("size", [None, 3, 9])
def test_blur_is_scipys(x: torch.Tensor, size: int | None) -> None:
    own, part = x.double() / 255, Blur((0.3, 2.5), size=size)
    y, sigma = part(own, ids=range(B)), drawn(part, x)["sigma"]
    reach = part.reach
    assert reach == (8 if size is None else size // 2)
    for i in range(B):
        weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma[i]) ** 2)
        weights /= weights.sum()
        expected = correlate1d(correlate1d(own[i].numpy(), weights, 1, mode="mirror"), weights, 2, mode="mirror")
        assert np.abs(y[i].numpy() - expected).max() < 1e-12


def test_blur_refuses_images_that_its_kernel_does_not_fit() -> None:
    with pytest.raises(DataError, match=r"kernel of 13 pixels and got images of 6 x 40.* give a size of at most 11"):
        Blur()(torch.rand(1, 1, 6, 40))
    assert Blur(size=11)(torch.rand(1, 1, 6, 40)).isfinite().all()


def test_noise_is_normal_and_the_samples_own() -> None:
    x = torch.full((50, 3, 32, 32), 0.5, dtype=torch.float64)
    part = Noise((0.01, 0.1))
    y, std = part(x, ids=range(50)), drawn(part, x)["std"]
    found = ((y - 0.5).numpy() / std[:, None, None, None]).reshape(50, -1)
    assert kstest(found.ravel(), "norm").pvalue > 1e-3
    correlation = np.corrcoef(found)[np.triu_indices(50, 1)]  # of different samples, of 3,072 values each
    assert np.abs(correlation).max() < 5 / 3072**0.5
    assert np.abs(np.corrcoef(found[:, :-1].ravel(), found[:, 1:].ravel())[0, 1]) < 5 / found.size**0.5
    again = part(x, ids=range(50), epoch=1)
    assert np.abs(np.corrcoef((again - y).numpy().ravel(), y.numpy().ravel())[0, 1] + 0.5**0.5) < 0.02


@pytest.mark.parametrize("value", [0.0, 0.25, "mean", "noise"])
def test_erasing_fills_one_rectangle(x: torch.Tensor, value: Any) -> None:
    own, part = x.float() / 255, Erasing(value=value, p=0.7)
    y, at = part(own, ids=range(B)), drawn(part, x)
    assert 0 < at["applied"].sum() < B
    for i in range(B):
        inside = np.zeros((H, W), bool)
        if at["applied"][i]:
            top, left, height, width = (int(at[name][i]) for name in ("top", "left", "height", "width"))
            inside[top : top + height, left : left + width] = True
            assert inside.sum() == height * width > 0
        assert torch.equal(y[i][:, ~inside], own[i][:, ~inside])
        erased = y[i][:, inside]
        if value == "noise" and erased.numel():
            assert kstest(erased.numpy().ravel(), "uniform").pvalue > 1e-4
        elif erased.numel():
            expected = own[i].mean((1, 2))[:, None] if value == "mean" else torch.tensor(float(value))
            assert torch.allclose(erased, expected.expand_as(erased), atol=1e-6)


def test_erasing_draws_areas_ratios_and_places() -> None:
    count, side = 4000, 200
    at = drawn(Erasing(p=1.0), torch.empty(count, 1, side, side))
    area = at["width"] * at["height"] / side**2
    uncut = (at["height"] < side) & (at["width"] < side)
    assert uncut.mean() > 0.98
    assert kstest((area[uncut] - 0.02) / 0.31, "uniform").statistic < 0.03  # rounding, and those that were cut
    low, high = np.log((0.3, 3.3))
    ratio = (np.log(at["height"] / at["width"]) - low) / (high - low)
    assert kstest(ratio[uncut], "uniform").statistic < 0.03
    assert ((at["top"] >= 0) & (at["top"] + at["height"] <= side)).all()
    assert ((at["left"] >= 0) & (at["left"] + at["width"] <= side)).all()
    tall = drawn(Erasing(scale=(0.9, 0.9), ratio=(3.0, 3.0), p=1.0), torch.empty(5, 1, 10, 10))
    assert (tall["height"] == 10).all()  # cut to the image


@pytest.mark.parametrize("part", ALL, ids=str)
def test_the_callers_images_stay_as_they_were(part: Any, x: torch.Tensor) -> None:
    own = x.float() / 255
    before = own.clone()
    y = part(own)
    assert torch.equal(own, before)
    assert y.data_ptr() != own.data_ptr()
    assert y.min() >= 0
    assert y.max() <= 1


@pytest.mark.parametrize("part", ALL, ids=str)
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.float64, torch.bfloat16])
def test_any_type_as_float32(part: Any, dtype: torch.dtype, x: torch.Tensor) -> None:
    """A type changes no result: integers come back as float32, floats in their type."""
    if dtype.is_floating_point:
        given = (x.double() / 255).to(dtype)
        expected, unit = part(given.float(), ids=range(B)), 1.0
    else:
        given = x.to(dtype)
        expected, unit = part(given.float(), ids=range(B), peak=255.0), 255.0
    y = part(given, ids=range(B))
    assert y.dtype == (dtype if dtype.is_floating_point else torch.float32)
    tolerance = {torch.bfloat16: 2**-8, torch.float64: 1e-5}.get(dtype, 0.0)  # hue turns where colors nearly meet
    assert ((y.double() - expected.double()).abs() <= tolerance * unit).all()


@pytest.mark.parametrize("part", [p for p in ALL if not isinstance(p, HueHSV)], ids=str)
def test_any_number_of_channels_in_any_memory(part: Any) -> None:
    for channels in (1, 2, 4):
        x = torch.rand(5, channels, 20, 20)
        y = part(x, ids=range(5))
        assert y.shape == x.shape
        assert torch.equal(part(x.contiguous(memory_format=torch.channels_last), ids=range(5)), y)
        assert torch.equal(part(x.transpose(2, 3).contiguous().transpose(2, 3), ids=range(5)), y)
    flat = torch.rand(5, 20, 20)
    assert torch.equal(part(flat, ids=range(5)), part(flat[:, None], ids=range(5))[:, 0])


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: HueHSV(0.6), r"HueHSV got turns=0.6; allowed: a number from 0 to 0\.5"),
        (lambda: Blur((2.0, 0.1)), r"Blur got sigma=\(2.0, 0.1\); allowed: .*low first"),
        (lambda: Blur(0), "sigma"),
        (lambda: Blur(size=4), "Blur got size=4; allowed: an odd number"),
        (lambda: Sharpness(-1), "at least 0"),
        (lambda: Solarize(128), "Solarize got threshold=128; allowed: a number from 0 to 1"),
        (lambda: Posterize(0), "Posterize got bits=0; allowed: an integer from 1 to 8"),
        (lambda: Posterize((5, 3)), "low first"),
        (lambda: Posterize((3,)), "bits"),
        (lambda: Noise(-0.1), "Noise got std=-0.1"),
        (lambda: Erasing(scale=(0.4, 0.2)), "low first"),
        (lambda: Erasing(value="gray"), "'mean' or 'noise'"),
        (lambda: Erasing(value=3), "from 0 to 1"),
    ],
)
def test_what_is_not_allowed_is_said(make: Any, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        make()

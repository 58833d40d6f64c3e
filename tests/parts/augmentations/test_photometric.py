"""Linear changes of color against Pillow and against the formulas in float64."""

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageOps

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import (
    Brightness,
    ColorJitter,
    Compose,
    Contrast,
    Grayscale,
    HueHSV,
    HueRotation,
    Invert,
    Saturation,
)

B, H, W = 6, 20, 17
LUMA = np.array([0.299, 0.587, 0.114])


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randint(0, 256, (B, 3, H, W), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def drawn(part: Any, x: torch.Tensor) -> dict[str, Any]:
    return Compose(part).draw(range(len(x)), shape=tuple(x.shape[1:])).drawn[0]


def pillow(image: torch.Tensor) -> Image.Image:
    return Image.fromarray(image.permute(1, 2, 0).numpy())


@pytest.mark.parametrize(
    ("kind", "enhancer", "error"),
    [
        (Brightness, ImageEnhance.Brightness, 1.0),  # Pillow cuts off to whole numbers
        (Contrast, ImageEnhance.Contrast, 2.0),  # and rounds the mean before
        (Saturation, ImageEnhance.Color, 2.0),  # and rounds luma before
    ],
)
def test_as_pillow_but_for_its_rounding(x: torch.Tensor, kind: Any, enhancer: Any, error: float) -> None:
    part = kind(0.9)
    y, factor = part(x, ids=range(B)), drawn(part, x)["factor"]
    for i in range(B):
        expected = np.asarray(enhancer(pillow(x[i])).enhance(factor[i])).transpose(2, 0, 1)
        assert np.abs(y[i].numpy() - expected).max() <= error
    assert factor.min() < 0.8 < 1.2 < factor.max()


def test_they_are_their_formulas(x: torch.Tensor) -> None:
    own = x.double() / 255
    luma = np.einsum("c,bchw->bhw", LUMA, own.numpy())[:, None]
    mean = luma.mean((1, 2, 3), keepdims=True)

    def factor(part: Any) -> Any:
        return drawn(part, x)["factor"][:, None, None, None]

    for part, expected in (
        (Brightness(0.8), factor(Brightness(0.8)) * own.numpy()),
        (Contrast(0.8), factor(Contrast(0.8)) * (own.numpy() - mean) + mean),
        (Saturation(0.8), factor(Saturation(0.8)) * (own.numpy() - luma) + luma),
        (Grayscale(p=1.0), np.repeat(luma, 3, 1)),
        (Invert(p=1.0), 1 - own.numpy()),
    ):
        assert np.abs(part(own, ids=range(B)).numpy() - expected.clip(0, 1)).max() < 1e-12, part


def test_invert_is_pillows(x: torch.Tensor) -> None:
    y = Invert(p=1.0)(x)
    for i in range(B):
        expected = np.asarray(ImageOps.invert(pillow(x[i]))).transpose(2, 0, 1)
        assert np.abs(y[i].numpy() - expected).max() < 1e-4  # 255 levels in float32


def test_grayscale_is_pillows(x: torch.Tensor) -> None:
    y = Grayscale(p=1.0)(x)
    for i in range(B):
        assert np.abs(y[i].numpy() - np.asarray(pillow(x[i]).convert("L"))).max() <= 0.51  # Pillow rounds


def test_hue_rotation_turns_chroma_and_keeps_luma() -> None:
    yiq = np.array([LUMA, (0.5959, -0.2746, -0.3213), (0.2115, -0.5227, 0.3112)])
    x = 0.4 + 0.2 * torch.rand(B, 3, H, W, dtype=torch.float64)  # so that no value reaches a limit
    part = HueRotation(0.5)
    y, turns = part(x, ids=range(B)), drawn(part, x)["turns"]
    before, after = (np.einsum("ij,bjhw->bihw", yiq, v.numpy()) for v in (x, y))
    turned = (before[:, 1] + 1j * before[:, 2]) * np.exp(2j * np.pi * turns)[:, None, None]
    assert np.abs(after[:, 0] - before[:, 0]).max() < 1e-4  # the rows of the matrix have four digits
    assert np.abs(after[:, 1] + 1j * after[:, 2] - turned).max() < 1e-12


def test_several_become_one_matrix() -> None:
    from thalweg.parts.augmentations.compose import staged

    x = 0.45 + 0.1 * torch.rand(B, 3, H, W, dtype=torch.float64)
    parts = [Brightness(0.2), Contrast(0.2), Saturation(0.2), HueRotation(0.2), Invert(p=1.0), Grayscale(p=0.5)]
    augment = Compose(*parts)
    draw = augment.draw(range(B), shape=(3, H, W))
    assert len(staged(parts, draw.drawn, (3, H, W))) == 1
    y = x
    for part, own in zip(parts, draw.drawn, strict=True):
        alone = Compose(part)
        y = alone.replay(y, type(draw)(draw.ids, draw.shape, alone.parts, (own,)))
    assert torch.allclose(augment.replay(x, draw), y, atol=1e-6)  # four digits of the matrix of YIQ between


def test_one_channel_has_brightness_and_contrast_only() -> None:
    x = torch.rand(4, 1, 8, 8)
    for part in (Saturation(0.9), HueRotation(0.5), HueHSV(0.5), Grayscale(p=1.0), ColorJitter(hue=0.5)):
        assert torch.equal(part(x), x), part
    assert not torch.equal(Brightness(0.9)(x), x)
    assert torch.allclose(Invert(p=1.0)(x), 1 - x)


@pytest.mark.parametrize("channels", [2, 4])
def test_other_channels_have_no_hue(channels: int) -> None:
    x = torch.rand(3, channels, 8, 8)
    for part in (HueRotation(0.1), HueHSV(0.1), ColorJitter(0.1, hue=0.1)):
        name = type(part).__name__
        with pytest.raises(DataError, match=rf"{name}.* got images of {channels} channels; due are three, or one"):
            part(x)
    assert torch.equal(HueRotation(0.0)(x), x)
    mean = x.mean(1, keepdim=True).expand_as(x)
    assert torch.allclose(Grayscale(p=1.0)(x), mean, atol=1e-6)
    assert torch.allclose(Invert(p=1.0)(x), 1 - x, atol=1e-6)


def test_values_stay_in_the_range(x: torch.Tensor) -> None:
    for part in (Brightness(3.0), Contrast(3.0), Saturation(3.0), HueRotation(0.5)):
        y = part(x)
        assert y.min() >= 0
        assert y.max() <= 255


def test_what_is_not_allowed_is_said() -> None:
    for kind in (Brightness, Contrast, Saturation):
        with pytest.raises(UsageError, match=f"{kind.__name__} got strength=-1; allowed: a number of at least 0"):
            kind(-1)
    with pytest.raises(UsageError, match=r"HueRotation got turns=0.7; allowed: a number from 0 to 0\.5"):
        HueRotation(0.7)

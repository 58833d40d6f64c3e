"""Batches of images in any type and memory, and what is said of those that are none."""

from typing import Any

import pytest
import torch

from thalweg.errors import DataError
from thalweg.parts.augmentations import (
    Affine,
    ColorJitter,
    Compose,
    Erasing,
    HorizontalFlip,
    PaddedCrop,
    RandAugment,
    ResizedCrop,
)

CHAIN = Compose(
    HorizontalFlip(), PaddedCrop(2), ColorJitter(0.3, 0.3, 0.3), Affine(rotate=15), RandAugment(), Erasing()
)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randint(0, 256, (9, 3, 20, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
def test_integers_come_back_as_floats_of_the_same_scale(x: torch.Tensor, dtype: torch.dtype) -> None:
    y = CHAIN(x.to(dtype), ids=range(9))
    assert y.dtype == torch.float32
    assert torch.equal(y, CHAIN(x.float(), ids=range(9), peak=255.0))
    assert 1 < y.max() <= 255


@pytest.mark.parametrize(("dtype", "error"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_low_precision_rounds_at_the_end_only(x: torch.Tensor, dtype: torch.dtype, error: float) -> None:
    given = (x.double() / 255).to(dtype)
    y = CHAIN(given, ids=range(9))
    assert y.dtype == dtype
    assert (y.float() - CHAIN(given.float(), ids=range(9))).abs().max() <= error


def test_float64_is_computed_in_float64(x: torch.Tensor) -> None:
    part = Compose(ColorJitter(0.3, 0.3, 0.3, 0.1), Affine(rotate=15))
    y = part(x.double() / 255, ids=range(9))
    low = part(x.float() / 255, ids=range(9))
    assert y.dtype == torch.float64
    assert 0 < (y - low.double()).abs().max() < 1e-4


@pytest.mark.parametrize("part", [CHAIN, ResizedCrop(11), HorizontalFlip(), Erasing(value="mean")], ids=str)
def test_memory_does_not_matter(x: torch.Tensor, part: Any) -> None:
    for own in (x, x.float() / 255):
        y = part(own, ids=range(9))
        large = torch.zeros(18, 3, 20, 24, dtype=own.dtype)
        large[::2] = own
        assert torch.equal(part(own.contiguous(memory_format=torch.channels_last), ids=range(9)), y)
        assert torch.equal(part(own.mT.contiguous().mT, ids=range(9)), y)
        assert torch.equal(part(large[::2], ids=range(9)), y)
        assert torch.equal(part(own[:1].expand(9, -1, -1, -1), ids=range(9))[0], y[0])


@pytest.mark.parametrize("channels", [1, 2, 4, 6])
def test_any_number_of_channels(channels: int) -> None:
    x = torch.rand(5, channels, 16, 16)
    assert CHAIN(x).shape == x.shape
    if channels == 1:
        assert torch.equal(CHAIN(x[:, 0], ids=range(5)), CHAIN(x, ids=range(5))[:, 0])


def test_the_callers_memory_is_never_written_nor_given_back(x: torch.Tensor) -> None:
    for part in (CHAIN, HorizontalFlip(p=0.0), Erasing(p=0.0), Erasing(p=1.0), RandAugment(p=0.0)):
        own = x.float() / 255
        before, y = own.clone(), part(own)
        y.zero_()
        assert torch.equal(own, before), part


def test_gradients_are_not_recorded() -> None:
    x = torch.rand(3, 1, 8, 8, requires_grad=True)
    assert not CHAIN(x).requires_grad


def test_pairs_and_dicts_come_back_as_they_came(x: torch.Tensor) -> None:
    target = torch.arange(9)
    y, labels = CHAIN((x, target), ids=range(9))
    assert labels is target
    out = CHAIN({"target": target, "image": x}, ids=range(9))
    assert list(out) == ["target", "image"]
    assert torch.equal(out["image"], y)


def test_an_empty_batch_is_refused() -> None:
    with pytest.raises(DataError, match=r"empty batch, float32 \[0, 3, 8, 8\]; give at least one sample"):
        CHAIN(torch.zeros(0, 3, 8, 8))


@pytest.mark.parametrize(
    ("batch", "text"),
    [
        (torch.rand(4, 32, 32, 3), r"float32 \[4, 32, 32, 3\], channels last; .* x.permute\(0, 3, 1, 2\)"),
        (torch.rand(32), r"image data got float32 \[32\]; it takes images \[B, C, H, W\]"),
        (torch.rand(2, 3, 4, 8, 8), r"got float32 \[2, 3, 4, 8, 8\]"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.bool), "got bool"),
        (torch.zeros(2, 3, 8, 8, dtype=torch.complex64), "got complex64"),
        ([1, 2, 3], r"got a list; give a tensor of images .* a pair \(x, y\)"),
        ({"pixels": torch.rand(2, 3, 8, 8)}, "got a dict of 'pixels'; give 'image'"),
        ({}, "a dict of nothing"),
        ({"image": torch.rand(2, 3, 8, 8), "masks": 0}, "'image', 'masks'"),
        ({"image": torch.rand(2, 3, 8, 8), "target": torch.zeros(3)}, "'target' has 3 entries for 2 samples"),
        ({"image": torch.rand(2, 3, 8, 8), "mask": torch.zeros(2, 8, 9)}, r"Masks are of \[8, 9\] .* \[8, 8\]"),
        (
            {"image": torch.rand(2, 3, 8, 8), "keypoints": torch.zeros(2, 5, 3)},
            r"keypoints got torch.float32 \[2, 5, 3\]",
        ),
        ({"image": torch.rand(2, 3, 8, 8), "boxes": torch.zeros(2, 5, 4, dtype=torch.int64)}, "boxes got torch.int64"),
        ({"image": torch.rand(2, 3, 8, 8), "boxes": [[1, 2, 3, 4]] * 2}, "boxes got list; give floats"),
        (
            {"image": torch.rand(2, 3, 8, 10), "boxes": torch.tensor([[[0.0, 0, 11, 8]], [[0.0, 0, 10, 8]]])},
            r"Box \[0.0, 0.0, 11.0, 8.0\] does not lie in an image 10 wide and 8 high",
        ),
        ({"image": torch.rand(1, 3, 8, 8), "boxes": torch.tensor([[[5.0, 0, 2, 8]]])}, "left ≤ right"),
        ({"image": torch.rand(1, 3, 8, 8), "boxes": torch.full((1, 1, 4), float("nan"))}, "does not lie"),
    ],
)
def test_what_is_no_batch_of_images_is_named(batch: Any, text: str) -> None:
    with pytest.raises(DataError, match=text):
        Affine(rotate=5)(batch)

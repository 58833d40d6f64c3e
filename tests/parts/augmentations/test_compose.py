"""What a composition does differs from its parts one after the other only as it says."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import (
    Affine,
    Blur,
    Brightness,
    ColorJitter,
    Compose,
    Contrast,
    Erasing,
    HorizontalFlip,
    PaddedCrop,
    Perspective,
    RandAugment,
    ResizedCrop,
    Rotation,
    Sharpness,
    Shear,
    Solarize,
    TrivialAugment,
)
from thalweg.parts.augmentations.compose import staged
from thalweg.parts.augmentations.draw import Draw
from thalweg.parts.augmentations.stages import Color, Warp

B, SIDE = 8, 96


def one_after_the_other(augment: Compose, x: torch.Tensor, draw: Draw) -> torch.Tensor:
    for part, own in zip(augment.parts, draw.drawn, strict=True):
        alone = Compose(part)
        x = alone.replay(x, Draw(draw.ids, tuple(x.shape[1:]), alone.parts, (own,)))
    return x


def smooth() -> torch.Tensor:
    """Waves of at least 32 pixels, of contrasts 0 to 1."""
    turn = torch.arange(SIDE) / SIDE * 2 * np.pi
    wave = torch.sin(3 * turn)[:, None] * torch.cos(2 * turn) + torch.sin(2 * turn + 1)
    return (0.5 + 0.2 * wave).expand(B, 3, SIDE, SIDE) * torch.linspace(0.1, 1, B)[:, None, None, None]


@pytest.mark.parametrize(
    "augment",
    [
        Compose(Rotation(15), Shear(8), Affine(scale=(0.95, 1.1))),
        Compose(
            HorizontalFlip(), PaddedCrop(4, fill="edge"), ColorJitter(0.2, 0, 0.2, 0.05), Affine(rotate=15, fill="edge")
        ),
        Compose(Perspective(0.2), Brightness(0.1), Rotation(10), HorizontalFlip()),
    ],
    ids=str,
)
def test_smooth_images_are_as_one_after_the_other(augment: Compose) -> None:
    """Away from the border; a bilinear step errs by up to f″ / 8 = (2π / 32)² 0.4 / 8 = 0.002, and here are three."""
    x = smooth()
    draw = augment.draw(range(B), shape=(3, SIDE, SIDE))
    difference = (augment.replay(x, draw) - one_after_the_other(augment, x, draw)).abs()
    assert difference[..., 24:-24, 24:-24].max() < 0.006


def fine_energy(x: torch.Tensor) -> float:
    """Above half of the highest frequency, in the middle."""
    middle = x[..., 24:-24, 24:-24]
    power = torch.fft.fft2(middle - middle.mean((2, 3), keepdim=True)).abs() ** 2
    frequency = torch.fft.fftfreq(middle.shape[-1]).abs()
    return float(power[..., torch.maximum(frequency[:, None], frequency) > 0.25].sum())


def test_one_interpolation_keeps_detail() -> None:
    """Three bilinear passes keep a quarter of the fine detail of one, here 0.26; one keeps a third of the image's."""
    x = torch.rand(B, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    augment = Compose(Rotation(15), Shear(8), Affine(rotate=10))
    draw = augment.draw(range(B), shape=(3, SIDE, SIDE))
    once, thrice = augment.replay(x, draw), one_after_the_other(augment, x, draw)
    assert fine_energy(thrice) < 0.35 * fine_energy(once)
    assert fine_energy(once) > 0.25 * fine_energy(x)


def test_what_merges() -> None:
    def kinds(*parts: Any, shape: tuple[int, ...] = (3, 32, 32)) -> list[str]:
        augment = Compose(*parts)
        found = staged(list(augment.parts), augment.draw(range(40), shape=shape).drawn, shape)
        return [type(stage).__name__ for stage in found]

    assert kinds(HorizontalFlip(), PaddedCrop(4), Affine(rotate=9), Rotation(5)) == ["Warp"]
    assert kinds(HorizontalFlip(), ColorJitter(0.4), Brightness(0.1), Affine(rotate=9)) == ["Color", "Warp"]
    assert kinds(Affine(rotate=9), Blur(), Rotation(5)) == ["Warp", "Pixels", "Warp"]
    assert kinds(Affine(rotate=9), Rotation(5, fill="edge")) == ["Warp", "Warp"]
    assert kinds(HorizontalFlip(), Rotation(5, fill="edge", interpolation="bicubic")) == ["Warp"]
    assert kinds(ResizedCrop(20), HorizontalFlip(), Brightness(0.1)) == ["Warp", "Color"]


def test_exact_parts_compose_exactly() -> None:
    x = torch.randn(30, 3, 12, 12)
    augment = Compose(HorizontalFlip(), PaddedCrop(2), HorizontalFlip(), Affine(rotate=(90, 90), p=0.5))
    draw = augment.draw(range(30), shape=(3, 12, 12))
    y = augment.replay(x, draw)
    first, crop, second, turn = draw.drawn
    for i in range(30):
        own = x[i].flip(2) if first["applied"][i] else x[i]
        padded = torch.nn.functional.pad(own, (2, 2, 2, 2))
        top, left = int(crop["dy"][i]) + 2, int(crop["dx"][i]) + 2
        shown = padded[:, top : top + 12, left : left + 12]
        shown = shown.flip(2) if second["applied"][i] else shown
        shown = torch.rot90(shown, -1, (1, 2)) if turn["applied"][i] else shown
        # What a crop left out and a turn brings in again is there; nothing of that under quarter turns of squares.
        assert torch.equal(y[i], shown)


def test_the_matrix_of_a_merged_warp_is_the_product() -> None:
    size = (10, 10)
    a, b = (Warp(np.random.default_rng(i).normal(size=(4, 3, 3)), size) for i in range(2))
    merged = a.then(b)
    assert merged is not None
    point = np.array([1.5, 2.5, 1.0])
    for i in range(4):
        assert np.allclose(merged.matrix[i] @ point, a.matrix[i] @ (b.matrix[i] @ point))
    assert Color.of(4).then(a) is None


def test_shapes_go_through() -> None:
    augment = Compose(ResizedCrop((20, 30)), PaddedCrop(2), ResizedCrop(8), TrivialAugment(), Erasing())
    y = augment(torch.randint(0, 256, (5, 3, 40, 50), dtype=torch.uint8))
    assert y.shape == (5, 3, 8, 8)
    assert y.dtype == torch.float32


def test_another_batch_than_the_draws_is_refused() -> None:
    augment = Compose(HorizontalFlip())
    draw = augment.draw(range(4), shape=(3, 8, 8))
    for x in (torch.rand(3, 3, 8, 8), torch.rand(4, 3, 8, 9)):
        with pytest.raises(DataError, match=r"The draw is of 4 samples of shape \[3, 8, 8\]"):
            augment.replay(x, draw)
    with pytest.raises(DataError, match="The draw"):
        Compose(PaddedCrop(1)).replay(torch.rand(4, 3, 8, 8), draw)


def test_what_is_not_allowed_is_said() -> None:
    with pytest.raises(UsageError, match="Compose got parts"):
        Compose()
    with pytest.raises(UsageError, match="parts of tw"):
        Compose("flip")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "parts",
    [
        (ColorJitter(0.4, 0.4, 0.4), Solarize(p=1.0), ColorJitter(0.4, 0.4, 0.4), Solarize(p=1.0), ColorJitter(0.2)),
        (ColorJitter(0.4, 0.4, 0.4), RandAugment(), Rotation(20), ColorJitter(0.4), TrivialAugment(), Brightness(0.3)),
        (Brightness(0.3), Sharpness(0.5), Rotation(15), Contrast(0.5), Blur(p=0.5)),
    ],
)
def test_memory_that_is_used_again_changes_nothing(parts: tuple[Any, ...]) -> None:
    """Stages that do not merge, through one call, and each part by a call of its own with the same draws."""
    x = torch.rand(9, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    whole = Compose(*parts)
    draw = whole.draw(range(9), shape=(3, 24, 24), seed=3)
    expected = one_after_the_other(whole, x, draw)
    found = whole.replay(x, draw)
    kept = found.clone()
    whole(x, ids=range(9), seed=8)  # another call in the same memory
    assert torch.equal(found, kept)
    torch.testing.assert_close(found, expected, atol=2e-6, rtol=0)


def test_threads_do_not_share_it() -> None:
    whole = Compose(ColorJitter(0.4, 0.4, 0.4, 0.1), Rotation(20))
    x = torch.rand(40, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    expected = [whole(x, ids=range(40), seed=seed) for seed in range(8)]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(5):
            found = list(pool.map(lambda seed: whole(x, ids=range(40), seed=seed), range(8)))
            assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))

"""A sample's draw and its pixels are a function of (seed, epoch, id), whatever batch, order, process or graph."""

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.utils.data import DataLoader, Dataset

from thalweg.errors import DataError
from thalweg.parts.augmentations import (
    Affine,
    AutoContrast,
    Blur,
    Brightness,
    ColorJitter,
    Compose,
    Contrast,
    Equalize,
    Erasing,
    Grayscale,
    HorizontalFlip,
    HueHSV,
    HueRotation,
    Invert,
    Noise,
    PaddedCrop,
    Perspective,
    Posterize,
    RandAugment,
    ResizedCrop,
    Rotation,
    Saturation,
    Sharpness,
    Shear,
    Solarize,
    TrivialAugment,
    VerticalFlip,
)
from thalweg.parts.augmentations.draws import uniforms, words

CHAIN = Compose(
    HorizontalFlip(), PaddedCrop(4), ColorJitter(0.4, 0.4, 0.4, 0.1), Affine(rotate=15, p=0.7), RandAugment(), Erasing()
)
PARTS = [
    Affine(rotate=20, translate=(0.1, 0.1), scale=(0.8, 1.2), shear=5, p=0.8),
    AutoContrast(),
    Blur(p=0.6),
    Brightness(0.5),
    ColorJitter(0.4, 0.4, 0.4, 0.1, p=0.8),
    Contrast(0.5),
    Equalize(),
    Erasing(value="mean"),
    Erasing(value="noise"),
    Grayscale(p=0.5),
    HorizontalFlip(),
    HueHSV(0.3),
    HueRotation(0.3),
    Invert(),
    Noise((0, 0.1)),
    PaddedCrop(3),
    Perspective(),
    Posterize((2, 7)),
    RandAugment(),
    ResizedCrop(24, interpolation="bicubic", p=0.8),
    ResizedCrop(7),
    Rotation(30, fill="reflect"),
    Saturation(0.5),
    Sharpness(p=0.7),
    Shear(20, 10, fill="edge", interpolation="nearest"),
    Solarize((0.2, 0.8)),
    TrivialAugment(),
    VerticalFlip(),
    CHAIN,
]


def images(count: int = 50) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, 21, 26), dtype=torch.uint8, generator=generator)


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_a_sample_does_not_depend_on_the_others(part: Any) -> None:
    x, ids = images(), torch.arange(50) * 7 + 3
    y = part(x, ids=ids, epoch=2, seed=5)
    for size in (1, 7):
        pieces = [part(x[i : i + size], ids=ids[i : i + size], epoch=2, seed=5) for i in range(0, 50, size)]
        assert torch.equal(torch.cat(pieces), y)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    assert torch.equal(part(x[order], ids=ids[order], epoch=2, seed=5), y[order])
    subset = torch.tensor([3, 17, 44, 45])
    assert torch.equal(part(x[subset], ids=ids[subset], epoch=2, seed=5), y[subset])


@pytest.mark.parametrize("part", PARTS, ids=str)
def test_seed_epoch_and_id_each_make_another_draw(part: Any) -> None:
    x = images(1).expand(50, -1, -1, -1)
    y = part(x, ids=range(50))
    assert len({own.numpy().tobytes() for own in y}) > 1  # by id
    assert not torch.equal(part(x, ids=range(50), seed=1), y)
    assert not torch.equal(part(x, ids=range(50), epoch=1), y)
    assert torch.equal(part(x, ids=range(50), epoch=0, seed=0), y)


def test_without_ids_torchs_generator_decides() -> None:
    x = images()
    torch.manual_seed(4)
    first, second = CHAIN(x), CHAIN(x)
    torch.manual_seed(4)
    assert torch.equal(CHAIN(x), first)
    assert not torch.equal(first, second)


def test_one_draw_for_the_batch() -> None:
    x = images(1).expand(6, -1, -1, -1)
    for part in (Rotation(90, per="batch"), Brightness(0.9, per="batch"), TrivialAugment(per="batch")):
        y = part(x, ids=range(9, 15))
        assert torch.equal(y, y[:1].expand_as(y))
        assert torch.equal(y[:1], part(x[:1], ids=[9]))


def test_the_numbers_are_uniform_and_independent() -> None:
    count = 200_000
    by_id = uniforms(words(np.arange(count), seed=0, epoch=0, count=2))
    by_epoch = np.array([uniforms(words(np.arange(5), seed=0, epoch=e, count=1))[0] for e in range(4000)]).T
    by_seed = np.array([uniforms(words(np.arange(5), seed=s, epoch=0, count=1))[0] for s in range(4000)]).T
    for row in (*by_id, *by_epoch, *by_seed):
        assert kstest(row, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(row[:-1], row[1:])[0, 1]) < 4.5 / len(row) ** 0.5  # of neighbors
    for table in (by_id, by_epoch, by_seed):
        correlation = np.corrcoef(table)[np.triu_indices(len(table), 1)]
        assert np.abs(correlation).max() < 4.5 / table.shape[1] ** 0.5
    assert by_id.min() >= 0
    assert by_id.max() < 1
    assert len(np.unique(words(np.arange(count), seed=0, epoch=0, count=1))) == count


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 1.0])
def test_p_is_the_rate(p: float) -> None:
    count = 20_000
    for part in (HorizontalFlip(p=p), Affine(rotate=5, p=p), Erasing(p=p), TrivialAugment(p=p)):
        rate = Compose(part).draw(range(count), shape=(3, 8, 8)).drawn[0]["applied"].mean()
        assert abs(rate - p) <= 4 * (p * (1 - p) / count) ** 0.5


def test_each_parameter_is_uniform_in_its_range() -> None:
    for part, name, low, high in (
        (Rotation(30), "angle", -30, 30),
        (Shear(0, (5, 20)), "shear_y", 5, 20),
        (Affine(scale=(0.5, 2.0)), "scale", 0.5, 2.0),
        (Brightness(0.4), "factor", 0.6, 1.4),
        (Contrast(1.5), "factor", 0, 2.5),
        (HueRotation(0.2), "turns", -0.2, 0.2),
        (Blur((0.1, 2.0)), "sigma", 0.1, 2.0),
        (Noise((0.1, 0.3)), "std", 0.1, 0.3),
        (Solarize((0.2, 0.4)), "threshold", 0.2, 0.4),
        (Sharpness(0.5), "factor", 0.5, 1.5),
    ):
        drawn = Compose(part).draw(range(5000), shape=(3, 32, 32)).drawn[0][name]
        assert kstest((drawn - low) / (high - low), "uniform").pvalue > 1e-3, part


def test_parts_of_a_composition_draw_apart() -> None:
    draw = Compose(Rotation(1), Rotation(1), Brightness(1.0)).draw(range(5000), shape=(3, 8, 8)).drawn
    table = np.stack([draw[0]["angle"], draw[1]["angle"], draw[2]["factor"]])
    assert np.abs(np.corrcoef(table)[np.triu_indices(3, 1)]).max() < 4 / 5000**0.5


class Numbered(Dataset[tuple[int, torch.Tensor]]):
    def __init__(self) -> None:
        self.x = images(40)

    def __len__(self) -> int:
        return 40

    def __getitem__(self, i: int) -> tuple[int, torch.Tensor]:
        return i, self.x[i]


def collate(rows: list[tuple[int, torch.Tensor]]) -> torch.Tensor:
    torch.set_num_threads(1)
    ids = [i for i, _ in rows]
    return CHAIN(torch.stack([x for _, x in rows]), ids=ids, epoch=3, seed=1)


@pytest.mark.parametrize("workers", [0, 2, 4])
def test_workers_draw_alike(workers: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of more workers than this machine has processors
        batches = list(DataLoader(Numbered(), batch_size=12, num_workers=workers, collate_fn=collate))
    assert torch.equal(torch.cat(batches), CHAIN(images(40), ids=range(40), epoch=3, seed=1))


@pytest.mark.parametrize("part", [CHAIN, TrivialAugment(), Noise(0.1)], ids=str)
def test_inside_a_compiled_function(part: Any) -> None:
    """The augmentation runs outside of the graph, and draws the same."""
    torch.compiler.reset()

    def step(x: torch.Tensor, epoch: int) -> torch.Tensor:
        return part(x.float() / 255, ids=torch.arange(len(x)), epoch=epoch, seed=2).mul(2).sum((2, 3))

    compiled = torch.compile(step, backend="aot_eager")
    for epoch in range(3):
        assert torch.equal(compiled(images(20), epoch), step(images(20), epoch))


@pytest.mark.parametrize("ids", [[0.5, 1.0], [[0, 1]], ["a", "b"], [True, False]])
def test_ids_that_are_none_are_named(ids: Any) -> None:
    with pytest.raises(DataError, match=r"ids are of .*give one integer for each sample"):
        HorizontalFlip()(images(2), ids=ids)


def test_too_few_ids_are_named() -> None:
    with pytest.raises(DataError, match="3 samples"):
        HorizontalFlip()(images(2), ids=[0, 1, 2])

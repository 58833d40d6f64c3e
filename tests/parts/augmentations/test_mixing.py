"""Mixup and CutMix: shares by closed forms, targets along, draws of each sample's own."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import Compose, CutMix, HorizontalFlip, Mixup, MixupOrCutMix
from thalweg.parts.augmentations.draws import uniforms, words
from thalweg.parts.augmentations.mixing import BETA_DRAWS, beta


def batch(count: int = 64, size: int = 12) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(count, 3, size, size, generator=generator), torch.arange(count) % 5


@pytest.mark.parametrize("alpha", [0.2, 0.4, 0.5, 0.8, 1.0, 3.0])
def test_beta_draws_are_of_their_distribution(alpha: float):
    u = uniforms(words(np.arange(20_000), seed=1, epoch=0, count=BETA_DRAWS))
    drawn = beta(u, alpha)
    assert ((drawn >= 0) & (drawn <= 1)).all()
    assert stats.kstest(drawn, stats.beta(alpha, alpha).cdf).pvalue > 1e-3


def test_mixup_averages_with_the_next_sample():
    x, y = batch()
    part = Mixup(1.0, classes=5)
    draw = Compose(part).draw(range(64), shape=(3, 12, 12), seed=2)
    mixed, target = Compose(part).replay((x, y), draw)
    share = torch.from_numpy(draw.drawn[0]["share"])
    each = share.float()[:, None, None, None]
    torch.testing.assert_close(mixed, each * x + (1 - each) * x.roll(-1, 0))
    hot = torch.eye(5)[y]
    torch.testing.assert_close(target, share.float()[:, None] * hot + (1 - share.float())[:, None] * hot.roll(-1, 0))


def test_cut_mix_pastes_a_box_and_the_target_follows_its_area():
    x, y = torch.zeros(64, 3, 12, 12), torch.arange(64)
    x += torch.arange(64.0)[:, None, None, None] / 64
    mixed, target = CutMix(classes=64)((x, y), ids=range(64))
    own = (mixed == x).float().mean((1, 2, 3))
    torch.testing.assert_close(target[torch.arange(64), y], own)
    torch.testing.assert_close(target[torch.arange(64), (y + 1) % 64], 1 - own)
    assert 0.3 < float(own.mean()) < 0.9


def test_the_area_that_is_cut_is_that_of_the_source():
    """Before it is cut off at the edges a box has the area 1 − λ, λ uniform for α = 1."""
    draw = Compose(CutMix(1.0)).draw(range(4000), shape=(3, 400, 400))
    left, top, right, bottom = draw.drawn[0]["box"].T
    inside = (left > 0) & (top > 0) & (right < 400) & (bottom < 400)
    area = (right - left) * (bottom - top) / 400**2
    # A box of side s lies inside with probability (1 − s)², and s² is uniform: the density is 12 s (1 − s)².
    side = np.sqrt(area[inside])
    assert stats.kstest(side, lambda s: 6 * s**2 - 8 * s**3 + 3 * s**4).pvalue > 1e-3


def test_the_switch_does_one_or_the_other():
    x, y = batch(400)
    mixed, target = MixupOrCutMix(classes=5)((x, y), ids=range(400))
    pasted = ((mixed == x) | (mixed == x.roll(-1, 0))).flatten(1).all(1)
    assert abs(float(pasted.float().mean()) - 0.5) < 0.1
    torch.testing.assert_close(target.sum(1), torch.ones(400))
    only = MixupOrCutMix(switch=1.0, classes=5)((x, y), ids=range(400))
    assert bool(((only[0] == x) | (only[0] == x.roll(-1, 0))).all())


@pytest.mark.parametrize("part", [Mixup(0.5, classes=5), CutMix(classes=5), MixupOrCutMix(classes=5)])
def test_a_share_is_the_samples_own_whatever_lies_beside(part: Mixup | CutMix | MixupOrCutMix):
    x, y = batch(40)
    whole = Compose(part).draw(range(40), shape=(3, 12, 12), seed=1, epoch=2).drawn[0]
    some = Compose(part).draw([31, 7], shape=(3, 12, 12), seed=1, epoch=2).drawn[0]
    for name, value in some.items():
        assert np.array_equal(value, whole[name][[31, 7]])
    assert part((x[:1], y[:1]), ids=[0])[0].equal(x[:1])  # alone it mixes with itself


@pytest.mark.parametrize("part", [Mixup(classes=5, p=0.0), CutMix(classes=5, p=0.0), MixupOrCutMix(classes=5, p=0.0)])
def test_samples_that_are_left_alone_stay_exact(part: Mixup):
    x, y = batch()
    mixed, target = part((x, y), ids=range(64))
    assert torch.equal(mixed, x)
    assert torch.equal(target, torch.eye(5)[y])


def test_other_targets_are_averaged_or_pasted():
    x, _ = batch(8)
    numbers = torch.arange(8.0)
    mixed, target = Mixup(1.0)((x, numbers), ids=range(8))
    assert bool((target != numbers).any())
    labels = (torch.rand(8, 4) > 0.5).float()
    assert Mixup(1.0)((x, labels), ids=range(8))[1].shape == (8, 4)
    pixels = torch.randint(0, 3, (8, 12, 12))
    changed, mask = CutMix()((x, pixels), ids=range(8))
    own = (changed == x).all(1)
    assert torch.equal(mask, pixels.where(own, pixels.roll(-1, 0)))
    sequence = torch.rand(8, 50)
    cut, _ = CutMix()((sequence, numbers), ids=range(8))
    assert bool(((cut == sequence) | (cut == sequence.roll(-1, 0))).all())
    channels = torch.rand(8, 3, 50)
    cut, _ = CutMix()((channels, numbers), ids=range(8))
    columns = (cut == channels).all(1)
    assert bool((columns | (cut == channels.roll(-1, 0)).all(1)).all())
    assert mixed.shape == x.shape


def test_after_another_part_the_same_draws_are_made():
    x, y = batch(16)
    flipped, target = Compose(HorizontalFlip(p=1.0), Mixup(1.0, classes=5))((x, y), ids=range(16))
    draw = Compose(HorizontalFlip(p=1.0), Mixup(1.0, classes=5)).draw(range(16), shape=(3, 12, 12))
    share = torch.from_numpy(draw.drawn[1]["share"]).float()[:, None, None, None]
    mirrored = x.flip(3)
    torch.testing.assert_close(flipped, share * mirrored + (1 - share) * mirrored.roll(-1, 0))
    assert target.shape == (16, 5)


@pytest.mark.parametrize(
    ("made", "error", "said"),
    [
        (lambda: Mixup()(batch()[0]), DataError, r"Mixing changes the targets too: give \(x, y\)"),
        (lambda: Mixup()(batch()), DataError, r"not how many classes there are; give Mixup\(classes=...\)"),
        (lambda: Mixup(classes=3)(batch()), DataError, "got classes from 0 to 4; due are 0 to 2"),
        (lambda: Mixup()((batch()[0], torch.zeros(64, 12, 12).long())), DataError, "take CutMix"),
        (lambda: Mixup()((torch.zeros(4, 9).long(), torch.zeros(4))), DataError, "indices have no average"),
        (lambda: Mixup(classes=5)((batch()[0], torch.zeros(64, 2).long())), DataError, "one class per sample"),
        (lambda: Mixup(0.0), UsageError, "alpha"),
        (lambda: Mixup(classes=1), UsageError, "classes"),
        (lambda: MixupOrCutMix(switch=1.5), UsageError, "switch"),
        (
            lambda: Mixup()({"image": batch()[0], "target": torch.zeros(64), "boxes": torch.zeros(64, 1, 4)}),
            DataError,
            "Boxes and keypoints of mixed images",
        ),
    ],
)
def test_what_cannot_be_mixed_is_refused(made, error: type, said: str):
    with pytest.raises(error, match=said):
        made()

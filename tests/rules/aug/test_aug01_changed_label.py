from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.measure.data_augmented import neighbors
from thalweg.readings import Reading, Readings
from thalweg.rules.aug import aug01_changed_label

A = tw.augmentations


def measured(change: float, *, before: float = 0.05, half: float = 0.006) -> Readings:
    changed = Reading(
        "augmentation.foreign", change, "VerticalFlip", low=change - half, high=change + half, note="6 among 9"
    )
    return Readings([Reading("augmentation.foreign_before", before), changed])


BROKEN = measured(0.018)
HEALTHY = measured(-0.004)


def test_an_augmentation_among_other_classes_is_a_suspicion():
    (found,) = aug01_changed_label.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "suspicion", "label_corruption")
    assert found.place == "VerticalFlip"
    assert "6 among 9" in found.title


@pytest.mark.parametrize(("change", "before"), [(0.018, 0.2), (0.002, 0.01), (0.0, 0.05)])
def test_little_is_no_finding(change: float, before: float):
    assert aug01_changed_label.judge(measured(change, before=before)) == []


def test_what_may_be_chance_is_no_finding():
    assert aug01_changed_label.judge(measured(0.018, half=0.02)) == []


def checked(digits: tuple[Tensor, Tensor], runs: Path, part: tw.augmentations.Augmentation) -> list[str]:
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    x = digits[0].reshape(-1, 1, 8, 8)
    experiment = tw.Experiment(model, train=(x, digits[1]), loss="cross_entropy", directory=runs)
    plan = tw.Plan(augmentation=part, optimizer=tw.optimizers.AdamW(lr=0.003), epochs=2)
    return [f.place for f in experiment.check(plan).findings if f.code == "AUG01"]


@pytest.mark.parametrize("part", [A.VerticalFlip(), A.HorizontalFlip()])
def test_digits_flipped_are_found_in_the_check(digits: tuple[Tensor, Tensor], runs: Path, part: A.Augmentation):
    assert checked(digits, runs, part) == [type(part).__name__]


@pytest.mark.parametrize("part", [A.PaddedCrop(1), A.Affine(rotate=10), A.ColorJitter(0.2, 0.2)])
def test_digits_that_stay_digits_are_not(digits: tuple[Tensor, Tensor], runs: Path, part: A.Augmentation):
    assert checked(digits, runs, part) == []


def test_what_two_classes_look_like_under_it_is_named():
    """Arrows left and right, with noise: a mirror makes one of the other."""
    generator = torch.Generator().manual_seed(0)
    left = torch.zeros(1, 12, 12)
    left[0, 4:8, :6] = 1.0
    x = torch.cat([left.expand(600, 1, 12, 12), left.flip(2).expand(600, 1, 12, 12)])
    x = (x + 0.3 * torch.rand(1200, 1, 12, 12, generator=generator)).clamp(0, 1)
    y = torch.arange(2).repeat_interleave(600)
    _, mirror, crop = neighbors(
        x, y, [A.HorizontalFlip(), A.PaddedCrop(1)], peak=1.0, seed=0, classes=("left", "right")
    )
    assert mirror.low is not None
    assert mirror.low > 0.2
    assert mirror.note in ("left among right", "right among left")
    assert abs(crop.value) < 0.02


def test_too_few_images_give_nothing():
    assert neighbors(torch.rand(30, 1, 8, 8), torch.arange(30) % 2, [A.HorizontalFlip()], peak=1.0, seed=0) == []
    assert neighbors(torch.rand(300, 1, 8, 8), torch.zeros(300).long(), [A.HorizontalFlip()], peak=1.0, seed=0) == []

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data06_split_shift import judge


def parts(auc: float, *more: Reading, half: float = 0.02, chance: float = 0.56) -> Readings:
    return Readings(
        [
            Reading("shift.auc", auc, low=auc - half, high=min(auc + half, 1)),
            Reading("shift.chance", 0.5, high=chance),
            *more,
        ]
    )


def columns(scale: float, offset: float, aligned: float) -> list[Reading]:
    return [
        Reading("shift.scale", scale),
        Reading("shift.offset", offset),
        Reading("shift.aligned", aligned),
    ]


def twin(name: str, plain: float, changed: float, half: float = 0.02) -> list[Reading]:
    difference = changed - plain
    return [
        Reading(f"twin.{name}.plain", plain, note="accuracy"),
        Reading(f"twin.{name}.changed", changed, note="accuracy"),
        Reading(f"twin.{name}.constant", 0.1, note="accuracy"),
        Reading(f"twin.{name}.difference", difference, low=difference - half, high=difference + half, count=500),
        Reading(f"twin.{name}.steps", 1.0),
    ]


BROKEN = parts(1.0, *columns(255.0, 120.0, 0.52), *twin("align_validation", 0.3, 0.8))
HEALTHY = parts(0.52)


@pytest.mark.parametrize(
    ("readings", "severity", "standing"),
    [
        (BROKEN, "warning", "verified"),
        (parts(1.0, *columns(255.0, 120.0, 0.52)), "warning", "suspicion"),
        (parts(1.0, *columns(255.0, 120.0, 0.52), *twin("align_validation", 0.78, 0.8)), "warning", "suspicion"),
        (parts(1.0, *columns(255.0, 120.0, 0.52), *twin("align_validation", 0.74, 0.8)), "warning", "verified"),
        (parts(0.9, *columns(1.1, 0.2, 0.88)), "note", "proven"),  # of another time, say
        (parts(0.9, *columns(1.1, 0.2, 0.88), *twin("train_on_validation", 0.3, 0.8)), "warning", "verified"),
        (parts(0.9, *columns(1.1, 0.2, 0.88), *twin("train_on_validation", 0.7, 0.8)), "note", "proven"),
        (parts(0.9, *columns(1.1, 0.2, 0.88), *twin("train_on_validation", 0.3, 0.8, 0.6)), "note", "proven"),
    ],
)
def test_severity(readings: Readings, severity: str, standing: str) -> None:
    (finding,) = judge(readings)
    assert (finding.severity, finding.standing, finding.cause) == (severity, standing, "split_shift")


def test_shares_of_the_target_are_a_note_of_their_own() -> None:
    shares = (Reading("shift.target", 0.4), Reading("shift.target_level", 1e-30))
    (finding,) = judge(parts(0.5, *shares))
    assert (finding.severity, finding.title) == ("note", "The targets of validation and training are spread otherwise")
    (finding,) = judge(parts(0.9, Reading("shift.target", 0.02), Reading("shift.target_level", 0.4)))
    assert finding.excluded[0].cause == "other shares of the target"


def run(tmp_path: Path, train: tuple[Tensor, Tensor], held: tuple[Tensor, Tensor]) -> list[tw.Finding]:
    network = nn.Sequential(nn.Linear(train[0].shape[1], 32), nn.ReLU(), nn.Linear(32, 3))
    experiment = tw.Experiment(
        network, train=train, validation=held, test=False, loss="cross_entropy", directory=tmp_path
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=10, batch_size=32, probes=True)
    return [f for f in experiment.train(plan, listeners=()).findings if f.code == "DATA06"]


def data(count: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 10, generator=generator)
    return x, (x[:, :2].sum(1) > 0.7).long() + (x[:, :2].sum(1) > -0.7).long()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "alarm"),
    [("none", False), ("not normalized", True), ("noise in training", True), ("one odd column", False)],
)
def test_planted(fault: str, alarm: bool, tmp_path: Path) -> None:
    (x, y), (v, w) = data(1000, 0), data(600, 1)
    generator = torch.Generator().manual_seed(2)
    if fault == "not normalized":
        v = 60 * v + torch.arange(10.0) * 40
    if fault == "noise in training":  # drawn once, many times the signal
        x = torch.cat([x[:, :2] + 8 * torch.randn(1000, 2, generator=generator), x[:, 2:]], 1)
    if fault == "one odd column":  # a column of no importance tells the parts apart, as the date of a time split
        v = torch.cat([v[:, :9], v[:, 9:] + 5], 1)
    found = run(tmp_path, (x, y), (v, w))
    assert any(f.counts for f in found) == alarm
    assert bool(found) == (fault != "none")

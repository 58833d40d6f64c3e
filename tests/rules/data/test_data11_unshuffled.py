from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data11_unshuffled import judge


def order(level: float, largest: float, expected: float, run: float) -> Readings:
    values = {"level": level, "largest": largest, "expected": expected, "run": run}
    return Readings([Reading(f"order.{name}", value, count=62) for name, value in values.items()])


BROKEN = order(1e-200, 0.97, 0.2, 6.0)
HEALTHY = order(0.3, 0.2, 0.2, 1.1)


@pytest.mark.parametrize(
    ("readings", "severity", "standing"),
    [
        (BROKEN, "warning", "proven"),
        (order(1e-200, 0.97, 0.2, 1.0), "warning", "suspicion"),  # a batch of each class in turn
        (order(1e-200, 0.7, 0.2, 6.0), "warning", "suspicion"),
        (order(1e-9, 0.3, 0.2, 1.5), "note", "proven"),
        (order(1e-9, 0.99, 0.95, 9.0), "warning", "suspicion"),  # one class is nearly all anyway
    ],
)
def test_severity(readings: Readings, severity: str, standing: str):
    (finding,) = judge(readings)
    assert (finding.severity, finding.standing, finding.cause) == (severity, standing, "unshuffled")


@pytest.mark.parametrize("shuffle", [False, True])
def test_planted(shuffle: bool, tmp_path: Path):
    y = torch.arange(1200) // 300
    x = torch.randn(1200, 4, generator=torch.Generator().manual_seed(0)) + y[:, None]
    loader = DataLoader(TensorDataset(x, y), batch_size=32, shuffle=shuffle)
    experiment = tw.Experiment(
        nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4)),
        train=loader,
        validation=(x[::7], y[::7]),
        test=False,
        loss="cross_entropy",
        directory=tmp_path,
    )
    found = [f for f in experiment.check().findings if f.code == "DATA11"]
    assert [f.counts for f in found] == [True] * (not shuffle)


def test_arrays_are_shuffled_anyway(tmp_path: Path):
    y = torch.arange(1200) // 300
    x = torch.randn(1200, 4, generator=torch.Generator().manual_seed(0)) + y[:, None]
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))
    found = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path).check().findings
    assert not [f for f in found if f.code == "DATA11"]

from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data09_columns import judge


def columns(constant: int, equal: int, condition: float) -> Readings:
    return Readings(
        [
            Reading("columns.constant", constant, count=2000, note="unit"),
            Reading("columns.equal", equal, count=2000, note="feet = meters"),
            Reading("columns.condition", condition, count=2000),
        ]
    )


BROKEN = columns(1, 2, 3.0)
HEALTHY = columns(0, 0, 300.0)


@pytest.mark.parametrize(
    ("readings", "title"),
    [
        (BROKEN, "Of the columns 1 is constant and 2 are equal to another"),
        (columns(0, 1, 3.0), "Of the columns 1 is equal to another"),
        (columns(0, 0, 2e4), "The columns nearly depend on each other"),
    ],
)
def test_it_is_a_note(readings: Readings, title: str):
    (finding,) = judge(readings)
    assert (finding.severity, finding.title) == ("note", title)


@pytest.mark.parametrize("planted", [True, False])
def test_planted(planted: bool, tmp_path: Path):
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(0))
    y = (x[:, 0] > 0).long()
    if planted:
        x[:, 3], x[:, 4] = 1.0, 0.3 * x[:, 2]
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    found = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path).check().findings
    assert [f.title for f in found if f.code == "DATA09"] == [
        "Of the columns 1 is constant and 1 is equal to another"
    ] * planted

from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data07_telling_column import judge


def column(alone: float, others: float, half: float = 0.01) -> Readings:
    return Readings(
        [
            Reading("column.alone", alone, "duration", low=alone - half, high=alone + half),
            Reading("column.others", others, "duration"),
        ]
    )


BROKEN = column(0.97, 0.3)
HEALTHY = column(0.4, 0.5)


def test_it_is_a_suspicion_and_names_the_column():
    (finding,) = judge(BROKEN)
    assert finding.title == "Column duration alone explains 97 % of the target"
    assert not finding.counts


@pytest.mark.parametrize("readings", [column(0.97, 0.75), column(0.905, 0.1, half=0.02), column(0.8, 0.0)])
def test_borders(readings):
    assert judge(readings) == []


@pytest.mark.parametrize("leaks", [True, False])
def test_planted(leaks: bool, tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 5, generator=generator)
    y = (x[:, 0] + torch.randn(600, generator=generator) > 0).long()
    x[:, 3] = y + 0.05 * x[:, 3] if leaks else x[:, 3]
    network = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))
    found = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path).check().findings
    assert [f.place for f in found if f.code == "DATA07"] == ["column 3"] * leaks

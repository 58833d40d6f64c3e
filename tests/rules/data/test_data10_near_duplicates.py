from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data10_near_duplicates import judge


def near(share: float, count: int = 1000) -> Readings:
    note = "validation row 3 ≈ training row 8"
    return Readings(
        [
            Reading("near.share", share, place="validation", count=count, note=note),
            Reading("near.rows", share * count, place="validation", count=count),
        ]
    )


BROKEN = near(0.2)
HEALTHY = near(0.0)


def test_it_is_a_suspicion_with_the_rows():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "suspicion", "split_leak")
    assert finding.evidence[-1].value.startswith("validation row 3")


def test_a_few_pairs_are_not_told():
    assert judge(near(0.009)) == []
    assert judge(near(0.03, count=100)) == []


@pytest.mark.parametrize("planted", [True, False])
def test_planted(planted: bool, tmp_path: Path):
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(400, 16, generator=generator), torch.randn(200, 16, generator=generator)
    if planted:
        v[:50] = x[:50] + 0.01 * torch.randn(50, 16, generator=generator)
    network = nn.Sequential(nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 2))
    experiment = tw.Experiment(
        network,
        train=(x, (x[:, 0] > 0).long()),
        validation=(v, (v[:, 0] > 0).long()),
        test=False,
        loss="cross_entropy",
        directory=tmp_path,
    )
    assert [f.code for f in experiment.check().findings if f.code == "DATA10"] == ["DATA10"] * planted

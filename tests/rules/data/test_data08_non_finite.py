import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data08_non_finite import judge


def inputs(loss: float, share: float = 0.02) -> Readings:
    return Readings(
        [Reading("target.distinct", 2), Reading("loss.initial", loss), Reading("input.nonfinite", share, count=1024)]
    )


BROKEN = inputs(math.nan)
HEALTHY = Readings([Reading("target.distinct", 2), Reading("loss.initial", 2.3)])


def test_where_the_loss_is_lost_it_is_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "non_finite")


def test_a_network_that_leaves_them_out_gets_a_note():
    (finding,) = judge(inputs(2.3))
    assert finding.severity == "note"


class Items(Dataset[tuple[Tensor, int]]):
    """Items that are read one by one: nobody has looked at all of them."""

    def __init__(self, *, lost: bool) -> None:
        self.x = torch.randn(200, 4, generator=torch.Generator().manual_seed(0))
        self.x[::20, 1] = math.nan if lost else 0.0

    def __len__(self) -> int:
        return 200

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        return self.x[row], row % 2


class Masked(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.nan_to_num())


@pytest.mark.parametrize(
    ("lost", "first", "expected"), [(True, nn.Linear, "error"), (True, Masked, "note"), (False, nn.Linear, None)]
)
def test_planted(lost: bool, first: type[nn.Linear], expected: str | None, tmp_path: Path):
    network = nn.Sequential(first(4, 8), nn.ReLU(), nn.Linear(8, 2))
    found = tw.Experiment(network, train=Items(lost=lost), loss="cross_entropy", directory=tmp_path).check().findings
    assert [f.severity for f in found if f.code == "DATA08"] == ([] if expected is None else [expected])

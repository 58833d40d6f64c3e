import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.mode.mode02_rows_mixed import MIXED, judge


def scores(plain: float, changed: float, half: float = 0.04) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.batch_first.plain", plain, note="accuracy", count=400),
        Reading("twin.batch_first.changed", changed, note="accuracy", count=400),
        Reading("twin.batch_first.constant", 0.5),
        Reading("twin.batch_first.difference", gain, low=gain - half, high=gain + half, count=400),
        Reading("twin.batch_first.steps", 1.0),
    ]


MIXES = [Reading("mode.mixing", 0.4, count=32), Reading("mode.mixing_batch_first", 0.0, count=32)]
BROKEN = Readings([*MIXES, *scores(0.6, 0.95)])
HEALTHY = Readings([Reading("mode.mixing", 1e-6, count=32)])


def test_sequences_in_the_wrong_dimension_are_an_error_where_the_twin_learns():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "rows_mixed")
    assert "batch_first" in finding.remedies[0].text


def test_without_harm_it_is_a_note():
    assert not judge(Readings([*MIXES, *scores(0.9, 0.95)]))[0].counts
    assert not judge(Readings(MIXES))[0].counts
    assert judge(Readings([Reading("mode.mixing", MIXED, count=32)])) == []


def test_a_norm_without_estimates_is_named():
    (finding,) = judge(Readings([MIXES[0], Reading("norm.tracked", 0.0, "1")]))
    assert (finding.severity, finding.cause, finding.place) == ("note", "train_eval_mode", "1")


def test_a_softmax_over_the_batch_is_another_rules():
    assert judge(Readings([MIXES[0], Reading("head.dim", 0, note="softmax")])) == []


class Recurrent(nn.Module):
    def __init__(self, batch_first: bool) -> None:
        super().__init__()
        self.cell, self.last = nn.GRU(6, 32, batch_first=batch_first), nn.Linear(32, 2)

    def forward(self, x):
        return self.last(self.cell(x)[0][:, -1])


@pytest.mark.slow
@pytest.mark.parametrize("batch_first", [False, True])
def test_planted_in_a_training(tmp_path, batch_first):
    x = torch.randn(1200, 10, 6, generator=torch.Generator().manual_seed(0))
    y = (x[:, :, 0].sum(1) > 0).long()
    experiment = tw.Experiment(
        lambda: Recurrent(batch_first), train=(x, y), test=False, loss="cross_entropy", metrics=[], directory=tmp_path
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=8, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    found = [f for f in run.findings if f.code == "MODE02"]
    assert [f.counts for f in found] == ([] if batch_first else [True])

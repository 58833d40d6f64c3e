import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.mode.mode01_evaluation_noise import NOISE, judge


def noise(value: float, note: str = "dropout") -> Reading:
    return Reading("mode.noise", value, "2", note=note, count=64)


def scores(plain: float, changed: float, half: float = 0.04) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.quiet.plain", plain, note="accuracy", count=400),
        Reading("twin.quiet.changed", changed, note="accuracy", count=400),
        Reading("twin.quiet.constant", 0.1),
        Reading("twin.quiet.difference", gain, low=gain - half, high=gain + half, count=400),
        Reading("twin.quiet.steps", 1.0),
    ]


BROKEN = Readings([noise(1.4), *scores(0.5, 0.9)])
HEALTHY = Readings([noise(0.0, "")])


def test_noise_that_costs_a_fifth_is_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.counts, finding.cause, finding.place) == ("error", True, "train_eval_mode", "2")


def test_noise_that_costs_little_or_may_be_meant_is_a_note():
    assert not judge(Readings([noise(1.4), *scores(0.85, 0.9)]))[0].counts
    (finding,) = judge(Readings([noise(0.3, "")]))
    assert finding.severity == "note"
    assert "unless they are meant" in finding.remedies[0].text


def test_rounding_and_layers_made_anew_are_left_to_others():
    assert judge(Readings([noise(NOISE)])) == []
    anew = Reading("parameter.foreign", 80, note="anew", count=2)
    assert judge(Readings([noise(1.4), anew])) == []


class Dropping(nn.Module):
    def __init__(self, always: bool) -> None:
        super().__init__()
        self.first, self.last, self.always = nn.Linear(12, 64), nn.Linear(64, 5), always

    def forward(self, x):
        return self.last(F.dropout(F.relu(self.first(x)), 0.9, training=self.always or self.training))


@pytest.mark.slow
@pytest.mark.parametrize("always", [True, False])
def test_planted_in_a_training(tmp_path, always):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1200, 12, generator=generator)
    y = (x @ torch.randn(12, 5, generator=generator)).argmax(1)
    experiment = tw.Experiment(
        lambda: Dropping(always), train=(x, y), test=False, loss="cross_entropy", metrics=[], directory=tmp_path
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=15, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    found = [f for f in run.findings if f.code == "MODE01"]
    assert [f.counts for f in found] == ([True] if always else [])

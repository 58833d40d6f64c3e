import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.norm.norm02_stale_estimates import judge


def scores(plain: float, changed: float, half: float = 0.04) -> list[Reading]:
    gain = changed - plain
    return [
        Reading("twin.recalibrated.plain", plain, note="accuracy", count=400),
        Reading("twin.recalibrated.changed", changed, note="accuracy", count=400),
        Reading("twin.recalibrated.constant", 0.2),
        Reading("twin.recalibrated.difference", gain, low=gain - half, high=gain + half, count=400),
        Reading("twin.recalibrated.steps", 1.0),
        Reading("norm.momentum", 0.001, "1"),
        Reading("norm.values", 64, "1", count=64),
    ]


BROKEN = Readings(scores(0.3, 0.9))
HEALTHY = Readings(scores(0.6, 0.63))


def test_a_network_that_answers_better_with_new_estimates_is_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "verified", "train_eval_mode")
    assert any("0.001" in line.value for line in finding.evidence)


def test_at_the_border_of_a_fifth():
    assert judge(Readings(scores(0.2 + 0.8 * 0.7 + 0.001, 0.9)))[0].severity == "note"
    assert judge(Readings(scores(0.2 + 0.8 * 0.7 - 0.001, 0.9)))[0].counts


def test_batches_that_are_too_small_are_another_rules():
    noisy = [Reading("norm.values", 2.0, "1", count=2)]
    twin = [
        Reading(r.name.replace("recalibrated", "group_norm"), r.value, r.place, None, r.low, r.high, r.count, r.note)
        for r in scores(0.3, 0.9)
        if r.name.startswith("twin")
    ]
    assert judge(Readings([*scores(0.3, 0.9), *noisy, *twin])) == []


@pytest.mark.slow
@pytest.mark.parametrize(("momentum", "alarmed"), [(0.0, True), (0.1, False)])
def test_planted_in_a_training(tmp_path, momentum, alarmed):
    generator = torch.Generator().manual_seed(0)
    x = 20 + 5 * torch.randn(1200, 12, generator=generator)
    y = ((x - 20) @ torch.randn(12, 5, generator=generator)).argmax(1)

    def build() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(12, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU()),
            *(nn.Linear(32, 32), nn.BatchNorm1d(32, momentum=momentum), nn.ReLU(), nn.Linear(32, 5)),
        )

    experiment = tw.Experiment(build, train=(x, y), test=False, loss="cross_entropy", metrics=[], directory=tmp_path)
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=8, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    assert any(f.code == "NORM02" and f.counts for f in run.findings) == alarmed

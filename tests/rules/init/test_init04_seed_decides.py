import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.doctor import examinations
from thalweg.doctor.seeds import try_other_seeds
from thalweg.readings import Reading, Readings
from thalweg.rules.init.init04_seed_decides import judge


def seeds(own, *others, half=0.05):
    found = [Reading("restart.own", own, note="accuracy"), Reading("restart.constant", 0.3)]
    for place, value in enumerate(others):
        lead = own - value
        found += [
            Reading("restart.score", value, str(place)),
            Reading("restart.lead", lead, str(place), low=lead - half, high=lead + half, count=200),
        ]
    return found


def mended(name, plain, changed):
    values = {"plain": plain, "changed": changed, "constant": 0.3, "steps": 1.0}
    found = [Reading(f"twin.{name}.{k}", v, note="accuracy", count=200) for k, v in values.items()]
    change = changed - plain
    return [*found, Reading(f"twin.{name}.difference", change, low=change - 0.05, high=change + 0.05, count=200)]


BROKEN = Readings([*seeds(0.95, 0.6, 0.92, 0.5), *mended("restart_rescale", 0.5, 0.93)])
HEALTHY = Readings(seeds(0.95, 0.94, 0.6, 0.96))


def test_the_remedy_that_mends_a_poor_start_names_the_cause():
    (found,) = judge(BROKEN)
    assert found.title == "2 of 3 other seeds reach 0.55 instead of 0.95"
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "init_scale")
    (found,) = judge(Readings([*seeds(0.95, 0.5, 0.5), *mended("restart_leaky", 0.5, 0.9)]))
    assert found.cause == "dead_units"
    (found,) = judge(Readings([*seeds(0.95, 0.5, 0.5), *mended("restart_rescale", 0.5, 0.52)]))
    assert found.cause == "unstable_start"


@pytest.mark.parametrize(
    "readings",
    [
        seeds(0.95, 0.6),  # one seed is no rule
        seeds(0.95, 0.6, 0.6, half=0.4),  # few validation rows
        seeds(0.95, 0.85, 0.83),  # less, and not by much
        seeds(0.5, 0.9, 0.9),  # better
    ],
)
def test_what_is_not_the_seed(readings):
    assert judge(Readings(readings)) == []


@pytest.mark.slow
@pytest.mark.parametrize("lucky", [True, False])
def test_planted_in_a_training(runs, monkeypatch, lucky):
    """Only one seed of the builder leaves ReLU units alive."""
    from thalweg import session

    monkeypatch.setattr(session, "budget_of", lambda _: 60.0)
    monkeypatch.setattr(examinations, "AFTER", (try_other_seeds,))
    seen = []

    def build():
        network = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 2))
        seen.append(torch.initial_seed())
        if lucky and seen[-1] != seen[0]:
            nn.init.constant_(network[0].bias, -30.0)
        return network

    generator = torch.Generator().manual_seed(0)
    x = torch.randn(600, 2, generator=generator)
    experiment = tw.Experiment(
        build, train=(x, (x[:, 0] * x[:, 1] > 0).long()), loss="cross_entropy", directory=runs, seed=0
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.03), epochs=20, batch_size=32, probes=True)
    run = experiment.train(plan, listeners=())
    found = [f for f in run.findings if f.code == "INIT04"]
    if not lucky:
        assert found == []
        assert len(run.store.readings("restart.score")) >= 2
        return
    assert (found[0].standing, found[0].cause) == ("verified", "unstable_start")
    with torch.no_grad():
        assert (run.model.network(x).argmax(1) == (x[:, 0] * x[:, 1] > 0).long()).float().mean() > 0.9

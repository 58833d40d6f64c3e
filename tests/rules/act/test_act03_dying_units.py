import pytest
import torch
from torch import nn

from thalweg.measure.dead import DeadUnits
from thalweg.measure.signal import Signal
from thalweg.readings import Reading, Readings
from thalweg.rules.act import act03_dying_units as rule


def dead(share, *, count=2000, course=(), train_loss=0.1, place="1"):
    return Readings(
        [
            *(Reading("activation.dead", value, place, step, count=64) for step, value in course),
            Reading("units.dead", share, place, 500, count=count, note="ReLU"),
            Reading("units.alive", round(128 * (1 - share)), place, 500, count=128),
            Reading("fit.train_loss", train_loss, step=500),
            Reading("loss.constant", 2.3),
        ]
    )


BROKEN = dead(1.0)
HEALTHY = dead(0.05)


def test_a_lost_layer_is_an_error_with_its_step():
    (found,) = rule.judge(dead(1.0, course=[(0, 0.02), (10, 0.3), (20, 1.0), (40, 1.0)], train_loss=2.3))
    assert (found.severity, found.standing, found.cause, found.place) == ("error", "proven", "dead_units", "1")
    assert found.step == 20
    assert found.title == "All units in 1 died at step 20"
    assert found.evidence[0].value == "128 / 128 units"


def test_several_layers_are_one_finding():
    readings = Readings([*dead(1.0), *dead(1.0, place="3"), *dead(0.4, place="5"), *dead(0.2, place="7")])
    lost, partly = rule.judge(readings)
    assert lost.title == "All units in 1 and 1 other layer are dead"
    assert partly.title == "40 % of the units in 5 are dead; 1 more with at least 10 %"
    assert len(lost.evidence) == 2


def test_a_lost_part_of_a_network_that_learned_is_a_note():
    (found,) = rule.judge(dead(0.38))
    assert (found.severity, found.standing) == ("note", "proven")
    assert not found.counts
    assert "38 % of the units" in found.title


def test_half_of_a_layer_of_a_network_that_did_not_learn_is_a_suspicion():
    (found,) = rule.judge(dead(0.6, train_loss=2.2))
    assert (found.severity, found.standing) == ("warning", "suspicion")


def twin(plain, changed, *, steps=1.0):
    values = {"plain": plain, "changed": changed, "constant": 0.5, "steps": steps}
    found = [Reading(f"twin.leaky.{k}", v, note="accuracy", count=300) for k, v in values.items()]
    change = changed - plain
    return [*found, Reading("twin.leaky.difference", change, low=change - 0.05, high=change + 0.05, count=300)]


def test_a_lost_part_is_an_alarm_where_the_twin_with_leaky_relu_shows_harm():
    course = [(0, 0.4), (10, 0.4), (20, 0.4)]
    (found,) = rule.judge(Readings([*dead(0.4, course=course), *twin(0.6, 0.8)]))
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "dead_units")
    assert "the start, not the rate" in found.why
    (found,) = rule.judge(Readings([*dead(0.4), *twin(0.76, 0.8)]))
    assert found.severity == "note"


def test_units_that_die_later_died_by_their_updates():
    course = [(0, 0.0), (10, 0.0), (20, 0.4), (40, 0.4), (80, 0.4)]
    updates = [Reading("update.ratio", 0.2, "", 10), Reading("update.ratio", 0.01, "", 40)]
    (found,) = rule.judge(Readings([*dead(0.4, course=course), *updates]))
    assert found.step == 20
    assert "20 % of the weights" in found.why


@pytest.mark.parametrize(
    "readings",
    [
        dead(0.05),
        dead(0.9, count=500),  # too few rows to be sure
        dead(0.3, course=[(0, 0.3), (10, 0.02)]),  # awake in the last batch that was watched
    ],
)
def test_what_is_no_dying(readings):
    assert rule.judge(readings) == []


def test_few_rows_are_enough_where_there_are_no_more():
    readings = dead(1.0, count=300)
    readings.add(Reading("data.train_rows", 300))
    assert len(rule.judge(readings)) == 1


def network_with_dead_units(share):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 50), nn.ReLU(), nn.Linear(50, 3))
    with torch.no_grad():
        network[0].bias[: int(50 * share)] = -100.0
    return network


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_units_with_a_large_negative_bias_are_found_and_no_others(share):
    network = network_with_dead_units(share)
    rows = torch.randn(1500, 8, generator=torch.Generator().manual_seed(1))
    watch = DeadUnits(network)
    with watch.attached(), torch.no_grad():
        for batch in rows.split(200):
            network(batch)
    readings = Readings(watch.readings(step=9))
    never = (network[:2](rows) == 0).all(0)
    assert readings.value("units.dead", "1") == pytest.approx(float(never.double().mean()))
    assert readings.last("units.dead", "1").count == 1500
    found = rule.judge(readings)
    assert len(found) == (share > 0)
    assert all(f.severity == ("error" if share == 1 else "note") for f in found)
    if share == 1:  # the definition: no gradient comes to the incoming weights
        gradient = torch.autograd.grad(network(rows).square().sum(), network[0].weight)[0]
        assert not bool(gradient.any())


def test_zeros_of_a_healthy_relu_are_no_dead_units():
    network = network_with_dead_units(0.0)
    with torch.no_grad():
        network[0].bias.fill_(-1.2)  # 90 % zeros
    rows = torch.randn(1500, 8, generator=torch.Generator().manual_seed(1))
    signal, watch = Signal(network), DeadUnits(network)
    with signal.attached():
        network(rows)
    assert Readings(signal.readings(0)).value("activation.zero", "1") > 0.9
    with watch.attached(), torch.no_grad():
        network(rows)
    assert rule.judge(Readings(watch.readings(step=0))) == []

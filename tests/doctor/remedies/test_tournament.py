import copy
import sys
from pathlib import Path

import pytest
import torch

from thalweg.doctor.remedies.candidates import candidates, without_noise
from thalweg.doctor.remedies.signs import describe, signs_of, still_falls
from thalweg.doctor.remedies.tournament import try_suspected, try_twins
from thalweg.findings import Finding
from thalweg.parts.optimizers import SGD, Adam
from thalweg.parts.schedules import Exponential
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all

sys.path.insert(0, str(Path(__file__).parent))
from twin_cases import case_of, examined, mlp

OWN = ("LR01", "LR02", "OPT", "REG")


def alarms(readings: Readings) -> list[Finding]:
    rules = [rule for rule in all_rules() if rule.code.startswith(OWN)]
    return [finding for finding in judge_all(readings, rules).findings if finding.counts]


@pytest.mark.parametrize(
    ("network", "optimizer", "plan", "code"),
    [
        (mlp(), SGD(lr=1e-3), {}, "LR02"),
        (mlp(), SGD(lr=3.0, momentum=0.9), {}, "LR01"),
        (mlp(dropout=0.9), Adam(lr=1e-3), {}, "REG01"),
        (mlp(), SGD(lr=0.05, weight_decay=0.5), {}, "REG02"),
        (mlp(), Adam(lr=1e-3, eps=1.0), {}, "OPT02"),
        (mlp(), SGD(lr=0.05, momentum=0.9), {"schedule": Exponential(every=1.0, reduction=1e-12)}, "OPT04"),
    ],
    ids=["low rate", "high rate", "dropout", "decay", "epsilon", "schedule"],
)
def test_a_planted_fault_is_named(network, optimizer, plan, code):
    found = alarms(examined(network, optimizer, **plan))
    assert code in [finding.code for finding in found], found
    assert all(finding.standing == "verified" and finding.severity == "warning" for finding in found)


@pytest.mark.parametrize(
    ("network", "optimizer", "plan"),
    [
        (mlp(), SGD(lr=0.05, momentum=0.9), {}),
        (mlp(), Adam(lr=1e-3), {"epochs": 12}),
        (mlp(dropout=0.3), Adam(lr=3e-3), {"epochs": 12}),
        (mlp(width=8), SGD(lr=0.02, momentum=0.9, weight_decay=1e-4), {"epochs": 12}),
        (mlp(), SGD(lr=0.1), {"clip_norm": 0.5, "epochs": 12}),
    ],
    ids=["sgd", "adam", "dropout", "narrow", "clipped"],
)
def test_a_healthy_training_raises_no_alarm(network, optimizer, plan):
    assert alarms(examined(network, optimizer, **plan)) == []


def test_nothing_of_the_case_moves():
    case, readings = case_of(mlp(), Plan.plain(optimizer=SGD(lr=1e-3, momentum=0.9), epochs=4, batch_size=32))
    kept = [copy.deepcopy(n.state_dict()) for n in (case.start, case.last)]
    state, draw = {k: v.clone() for k, v in case.optimizer_state.items()}, torch.get_rng_state()
    readings.extend(try_suspected(case, readings))
    assert "twin.longer.plain" in Readings(try_twins(case, readings))
    for network, before in zip((case.start, case.last), kept, strict=True):
        assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(torch.equal(value, state[name]) for name, value in case.optimizer_state.items())
    assert torch.equal(torch.get_rng_state(), draw)


def test_without_time_or_need_no_twin_is_trained():
    poor, readings = case_of(mlp(), Plan.plain(optimizer=SGD(lr=1e-3), epochs=2, batch_size=32), seconds=0.0)
    readings.extend(try_suspected(poor, readings))
    assert "twin.plain" in readings
    assert try_twins(poor, readings) == []
    good, readings = case_of(mlp(), Plan.plain(optimizer=SGD(lr=0.05, momentum=0.9), epochs=8, batch_size=32))
    readings.extend(try_suspected(good, readings))
    assert try_twins(good, readings) == []
    assert (readings.value("twin.plain") or 0) > 0.9


def test_a_budget_is_kept():
    case, readings = case_of(mlp(width=256), Plan.plain(optimizer=SGD(lr=1e-4), epochs=20, batch_size=32), seconds=0.5)
    clock = Budget(60.0)
    readings.extend(try_suspected(case, readings))
    try_twins(case, readings)
    assert clock.spent < 1.0


def test_signs_decide_what_is_tried_first():
    case, readings = case_of(
        mlp(dropout=0.9), Plan.plain(optimizer=SGD(lr=1e-3, momentum=0.99), epochs=2, batch_size=32)
    )
    readings.extend(describe(case, readings))
    found = candidates(case, signs_of(case, readings), poor=True)
    assert found[0].name == "no_dropout"
    assert {"lower_rate", "higher_rate", "momentum", "adam"} <= {each.name for each in found}
    signed = candidates(case, signs_of(case, readings), poor=False)
    assert {each.name for each in signed} <= {"no_dropout", "momentum", "lower_rate", "higher_rate"}
    assert "no_dropout" in {each.name for each in signed}


def test_the_rate_of_the_race_is_tried():
    case, readings = case_of(mlp(), Plan.plain(optimizer=SGD(lr=1e-3), epochs=2, batch_size=32))
    readings.extend(
        [
            Reading("race.rate", 0.07, low=0.03, high=0.2),
            Reading("race.steps", 50),
            *(Reading("race.loss", 2.0 - k, f"{rate:.6g}") for k, rate in enumerate((1e-3, 0.07))),
            *(Reading("race.excess", 1.0 - k, f"{rate:.6g}", low=0.9 - k) for k, rate in enumerate((1e-3, 0.07))),
        ]
    )
    found = candidates(case, signs_of(case, readings), poor=False)
    assert next(c.setting for c in found if c.name == "higher_rate") == 0.07


def test_noise_is_taken_from_a_clone():
    network = mlp(dropout=0.9)
    quiet = without_noise(network)
    assert (quiet[0].p, network[0].p) == (0, 0.9)


def test_a_curve_that_falls_is_told_from_one_that_is_noisy():
    noise = torch.randn(100, generator=torch.Generator().manual_seed(0)).tolist()
    assert still_falls([2 - 0.01 * k for k in range(100)])
    assert not still_falls([1 + 0.1 * value for value in noise])
    assert not still_falls([1.0, 0.5])

import sys
from pathlib import Path

import pytest
import torch

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop02_loss_ascended import judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, twin

STEPS = Reading("loop.steps", 200)
REPORTED = Reading("loop.reported", -1.0, step=0, note="mul")
BROKEN = Readings([STEPS, Reading("loop.descent", 0.0, count=12, note="cross_entropy"), *twin(0.1, 0.9)])
HEALTHY = Readings([STEPS, Reading("loop.descent", 1.0, count=12, note="cross_entropy")])


def test_a_loss_of_torch_that_is_ascended_is_an_error_by_itself():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "loss_head_mismatch")
    alone = Readings([STEPS, Reading("loop.descent", 0.0, count=2, note="cross_entropy")])
    assert judge(alone)[0].counts


def test_steps_of_both_signs_and_one_step_alone_are_nothing():
    assert judge(Readings([STEPS, Reading("loop.descent", 0.1, count=12, note="mse_loss")])) == []
    assert judge(Readings([STEPS, Reading("loop.descent", 0.0, count=1, note="mse_loss")])) == []


def test_another_sign_than_the_reported_one_is_an_error_where_the_twin_answers_better():
    (finding,) = judge(Readings([STEPS, REPORTED, *twin(0.2, 0.9)]))
    assert (finding.severity, finding.standing) == ("error", "verified")
    (reward,) = judge(Readings([STEPS, REPORTED]))
    assert (reward.severity, reward.counts) == ("note", False)
    assert not judge(Readings([STEPS, REPORTED, *twin(0.9, 0.2)]))[0].counts


def test_a_loss_that_is_descended_may_be_reported_with_a_minus():
    descended = Reading("loop.descent", 1.0, count=12, note="cross_entropy")
    assert judge(Readings([STEPS, REPORTED, descended])) == []


@pytest.mark.parametrize("told", [True, False])
def test_planted_in_a_loop(told):
    watch = loop(sign=-1.0, told=told)
    assert alarms(watch)[0] == "LOOP02"
    assert of(watch, "LOOP02")[0].evidence[0].what == "steps that go down cross_entropy"


def climbing(network: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(network.parameters(), lr=0.1, maximize=True)


def test_an_optimizer_that_climbs_is_the_same_and_two_minuses_are_none():
    assert of(loop(optimizer=climbing), "LOOP02")[0].counts
    assert alarms(loop(optimizer=climbing, sign=-1.0)) == []


def test_a_loop_that_descends_is_silent():
    assert of(loop(), "LOOP02") == []

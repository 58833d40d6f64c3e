import sys
from pathlib import Path

import pytest

from thalweg.parts.optimizers import SGD
from thalweg.parts.schedules import Cosine, Exponential
from thalweg.readings import Reading, Readings
from thalweg.rules.opt import opt04_schedule_ends_early

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried


def scheduled(late, *more):
    return Readings([Reading("schedule.late", late), *more])


BROKEN = scheduled(0.8, *tried("no_schedule", 0.2, 0.9, again=0.9))
HEALTHY = scheduled(0.064)


def test_a_rate_that_vanishes_early_and_costs_the_training_is_an_alarm():
    (found,) = opt04_schedule_ends_early.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "lr_too_low")
    assert "80 % of the steps had hardly any rate" in found.title


@pytest.mark.parametrize(("late", "alarm"), [(0.3, True), (0.29, False)])
def test_early_is_three_tenths_of_the_steps(late, alarm):
    assert bool(opt04_schedule_ends_early.judge(scheduled(late, *tried("no_schedule", again=0.9)))) is alarm


def test_a_schedule_that_costs_nothing_is_not_reported():
    assert opt04_schedule_ends_early.judge(scheduled(0.8)) == []
    assert opt04_schedule_ends_early.judge(scheduled(0.8, *tried("no_schedule", 0.88, 0.9, again=0.9))) == []


def test_a_decay_per_step_instead_of_per_epoch_is_found_in_a_real_training():
    fast = Exponential(every=1.0, reduction=1e-12)
    (found,) = opt04_schedule_ends_early.judge(examined(mlp(), SGD(lr=0.05, momentum=0.9), schedule=fast))
    assert found.counts


def test_a_cosine_to_zero_raises_no_alarm_in_a_real_training():
    readings = examined(mlp(), SGD(lr=0.05, momentum=0.9), schedule=Cosine(), epochs=8)
    late = readings.value("schedule.late")
    assert late is not None
    assert late < 0.1
    assert opt04_schedule_ends_early.judge(readings) == []

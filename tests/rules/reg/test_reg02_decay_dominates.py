import sys
from pathlib import Path

import pytest

from thalweg.parts.optimizers import SGD
from thalweg.readings import Reading, Readings
from thalweg.rules.reg import reg02_decay_dominates

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried

BALANCE = [Reading("decay.balance", 0.98), Reading("decay.ratio", 1.01)]
BROKEN = Readings([*BALANCE, *tried("no_decay", 0.2, 0.9, again=0.9, setting=0.5)])
HEALTHY = Readings([*BALANCE, *tried("no_decay", 0.88, 0.9, again=0.9, setting=1e-4)])


def test_a_decay_that_costs_the_training_is_an_alarm_with_a_hundredth_as_the_remedy():
    (found,) = reg02_decay_dominates.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "underfitting")
    assert found.remedies[0].changes == {"optimizer.weight_decay": 0.005}
    assert "98 %" in [line.value for line in found.evidence]


def test_a_regularizer_without_decay_is_to_be_left_out():
    (found,) = reg02_decay_dominates.judge(Readings(tried("no_decay", 0.2, 0.9, again=0.9, setting=0.0)))
    assert found.remedies[0].changes == {"regularizer": None}


@pytest.mark.parametrize(("plain", "alarm"), [(0.73, True), (0.75, False)])
def test_harm_is_below_four_fifths_of_what_no_decay_reaches(plain, alarm):
    assert bool(reg02_decay_dominates.judge(Readings(tried("no_decay", plain, 0.9, again=0.9)))) is alarm


def test_a_balance_alone_says_nothing():
    assert reg02_decay_dominates.judge(Readings([*BALANCE, Reading("twin.plain", 0.3)])) == []


def test_where_another_remedy_does_more_it_is_a_note():
    (found,) = reg02_decay_dominates.judge(Readings(tried("no_decay", again=0.9, best="lower_rate")))
    assert not found.counts


def test_a_decay_of_a_half_is_found_in_a_real_training():
    readings = examined(mlp(), SGD(lr=0.05, weight_decay=0.5))
    (found,) = reg02_decay_dominates.judge(readings)
    assert found.counts
    balance = readings.value("decay.balance")
    assert balance is not None
    assert balance > 0.5


def test_a_usual_decay_raises_no_alarm_in_a_real_training():
    optimizer = SGD(lr=0.05, momentum=0.9, weight_decay=5e-4)
    assert reg02_decay_dominates.judge(examined(mlp(), optimizer, epochs=8)) == []

import sys
from pathlib import Path

import pytest

from thalweg.parts.optimizers import Adam
from thalweg.readings import Reading, Readings
from thalweg.rules.reg import reg01_dropout_excess

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried


def dropped(probability, *more):
    return Readings([Reading("dropout.p", 0.1, "first"), Reading("dropout.p", probability, "second"), *more])


BROKEN = dropped(0.9, *tried("no_dropout", 0.2, 0.9, again=0.9))
HEALTHY = dropped(0.5, *tried("no_dropout", 0.88, 0.9, again=0.9))


def test_dropout_that_costs_the_training_is_placed_at_the_strongest():
    (found,) = reg01_dropout_excess.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "dropout_excess")
    assert found.place == "second"
    assert found.remedied is not None


@pytest.mark.parametrize(("plain", "alarm"), [(0.73, True), (0.75, False)])
def test_harm_is_below_four_fifths_of_what_no_dropout_reaches(plain, alarm):
    assert bool(reg01_dropout_excess.judge(dropped(0.5, *tried("no_dropout", plain, 0.9, again=0.9)))) is alarm


def test_without_a_twin_much_dropout_in_a_poor_training_is_a_suspicion():
    poor = [Reading("twin.plain", 0.2), Reading("twin.constant", 0.1)]
    (found,) = reg01_dropout_excess.judge(dropped(0.8, *poor))
    assert (found.severity, found.standing) == ("warning", "suspicion")
    assert reg01_dropout_excess.judge(dropped(0.79, *poor)) == []
    good = [Reading("twin.plain", 0.95), Reading("twin.constant", 0.1)]
    assert reg01_dropout_excess.judge(dropped(0.9, *good)) == []
    no_better = tried("no_dropout", 0.2, 0.21)
    assert reg01_dropout_excess.judge(dropped(0.9, *no_better)) == []


def test_a_network_without_dropout_is_not_judged_by_its_twins():
    assert reg01_dropout_excess.judge(Readings(tried("lower_rate"))) == []


def test_dropout_of_0_9_is_found_in_a_real_training():
    (found,) = reg01_dropout_excess.judge(examined(mlp(dropout=0.9), Adam(lr=1e-3)))
    assert (found.counts, found.cause) == (True, "dropout_excess")


def test_dropout_of_0_2_raises_no_alarm_in_a_real_training():
    assert reg01_dropout_excess.judge(examined(mlp(dropout=0.2), Adam(lr=3e-3), epochs=10)) == []

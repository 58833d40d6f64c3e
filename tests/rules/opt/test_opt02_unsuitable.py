import sys
from pathlib import Path

import pytest

from thalweg.parts.optimizers import SGD, Adam
from thalweg.readings import Readings
from thalweg.rules.opt import opt02_unsuitable

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried

BROKEN = Readings(tried("epsilon", 0.2, 0.9, again=0.9, setting=1e-8))
HEALTHY = Readings(tried("epsilon", 0.88, 0.9, again=0.9, setting=1e-8))


def test_an_odd_constant_that_costs_the_training_names_its_field():
    (found,) = opt02_unsuitable.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "optimizer_unsuitable")
    assert found.place == "optimizer.eps"
    assert found.remedies[0].changes == {"optimizer.eps": 1e-8}
    (found,) = opt02_unsuitable.judge(Readings(tried("adam", 0.2, 0.9, again=0.9, setting=1e-3)))
    assert (found.place, found.remedies[0].changes) == ("", {})
    assert "with Adam at 0.001" in found.title


@pytest.mark.parametrize(("plain", "alarm"), [(0.73, True), (0.75, False)])
def test_harm_is_below_four_fifths_of_what_the_change_reaches(plain, alarm):
    assert bool(opt02_unsuitable.judge(Readings(tried("momentum", plain, 0.9, again=0.9)))) is alarm


def test_where_a_rate_does_more_it_is_a_note():
    (found,) = opt02_unsuitable.judge(Readings(tried("adam", 0.2, 0.9, again=0.9, best="higher_rate")))
    assert (found.severity, found.counts) == ("note", False)


def test_one_of_many_that_is_hardly_better_is_chance():
    close = Readings(tried("adam", 0.12, 0.16, tries=12, half=0.03))
    assert opt02_unsuitable.judge(close) == []
    assert opt02_unsuitable.judge(Readings(tried("adam", 0.12, 0.16, tries=1, half=0.03)))


def test_an_epsilon_of_1_is_found_in_a_real_training():
    (found,) = opt02_unsuitable.judge(examined(mlp(), Adam(lr=1e-3, eps=1.0)))
    assert (found.place, found.counts) == ("optimizer.eps", True)


def test_a_momentum_that_a_lower_rate_mends_as_well_is_a_note_in_a_real_training():
    found = opt02_unsuitable.judge(examined(mlp(), SGD(lr=0.3, momentum=0.995)))
    assert "optimizer.momentum" in [f.place for f in found]
    assert not any(f.counts for f in found)


def test_a_real_training_with_usual_constants_raises_no_alarm():
    assert opt02_unsuitable.judge(examined(mlp(), Adam(lr=3e-3), epochs=8)) == []

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from thalweg.parts.optimizers import SGD, Adam
from thalweg.readings import Reading, Readings
from thalweg.rules.opt import opt01_stopped_early

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried

BROKEN = Readings(tried("longer", 0.4, 0.9, again=0.88, setting=100))
HEALTHY = Readings(tried("longer", 0.88, 0.9, again=0.9, setting=100))


def test_a_training_that_goes_on_to_much_more_was_stopped_too_early():
    (found,) = opt01_stopped_early.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "too_few_epochs")
    assert found.title == "The training stopped too early: 100 % more steps reach 0.9 instead of 0.4"
    assert found.remedied is not None
    assert found.remedied.score == 0.9


@pytest.mark.parametrize(("plain", "alarm"), [(0.73, True), (0.75, False)])
def test_harm_is_below_four_fifths_of_what_more_steps_reach(plain, alarm):
    assert bool(opt01_stopped_early.judge(Readings(tried("longer", plain, 0.9, again=0.9)))) is alarm


def test_a_repetition_that_reaches_no_more_leaves_a_suspicion():
    (found,) = opt01_stopped_early.judge(Readings(tried("longer", 0.6, 0.9, again=0.62)))
    assert found.standing == "suspicion"


def test_where_a_higher_rate_does_more_in_the_same_steps_the_length_comes_second():
    readings = Readings(tried("longer", 0.3, 0.8, best="higher_rate"))
    (found,) = opt01_stopped_early.judge(readings)
    assert (found.severity, found.standing) == ("warning", "verified")
    (found,) = opt01_stopped_early.judge(Readings(tried("longer", 0.3, 0.8, best="adam")))
    assert found.severity == "note"


def test_rows_learned_by_heart_need_no_more_steps():
    learned = Readings([*BROKEN, Reading("outcome.train_score", 0.97, note="accuracy")])
    assert opt01_stopped_early.judge(learned) == []


def deep() -> nn.Module:
    torch.manual_seed(0)
    middle = [module for _ in range(6) for module in (nn.Linear(16, 16), nn.Tanh())]
    return nn.Sequential(nn.Linear(64, 16), nn.Tanh(), *middle, nn.Linear(16, 10))


def test_one_epoch_of_a_deep_network_is_too_short_in_a_real_training():
    (found,) = opt01_stopped_early.judge(examined(deep(), Adam(lr=3e-3), epochs=1))
    assert (found.counts, found.cause) == (True, "too_few_epochs")


def test_a_real_training_of_enough_steps_raises_no_alarm():
    assert opt01_stopped_early.judge(examined(mlp(), SGD(lr=0.05, momentum=0.9), epochs=10)) == []

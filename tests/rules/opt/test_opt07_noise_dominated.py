import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from thalweg.doctor.settle import try_settling
from thalweg.parts.optimizers import SGD
from thalweg.parts.schedules import Constant, Cosine
from thalweg.readings import Reading, Readings
from thalweg.rules.opt import opt07_noise_dominated

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
sys.path.insert(0, str(Path(__file__).parent))
from trained import case_of, linear_rows
from twin_cases import tried


def bouncing(*, low=500.0, rows=8.0, end=1.0, fall=0.0):
    """A loss that goes up and down at the end, and a noise scale."""
    values = [0.5 - fall * k + 0.02 * (-1) ** k for k in range(30)]
    return [
        *(Reading("train.loss", value, step=10 * k + 10) for k, value in enumerate(values)),
        *(Reading("train.batch_loss", value, step=10 * k + 10) for k, value in enumerate(values)),
        Reading("loss.constant", 1.0),
        Reading("schedule.end", end, step=300),
        Reading("noise.scale", 2 * low, step=300, low=low, high=9 * low, count=16),
        Reading("noise.rows", rows, step=300, count=16),
    ]


def settled(plain, changed, *, control=None, half=0.04):
    twin = tried("settled", plain, changed, half=half, steps=1.2, setting=60)
    return [*twin, Reading("twin.settled.control", plain if control is None else control)]


def judged(*more, **given):
    return opt07_noise_dominated.judge(Readings([*bouncing(**given), *more]))


BROKEN = Readings([*bouncing(), *settled(0.4, 0.9)])
HEALTHY = Readings([*bouncing(), *settled(0.88, 0.9)])


def test_a_rate_that_must_fall_for_the_rest_of_the_loss_is_an_alarm():
    (found,) = opt07_noise_dominated.judge(BROKEN)
    assert (found.severity, found.standing, found.cause, found.step) == ("warning", "verified", "lr_too_high", 300)
    assert found.title.endswith("while the rate falls to zero it reaches 0.9 instead of 0.4")
    assert found.remedied is not None
    assert [rival.cause for rival in found.excluded] == ["too_few_epochs", "chance"]


@pytest.mark.parametrize(("plain", "alarm"), [(0.66, True), (0.75, False)])
def test_harm_is_below_four_fifths_of_what_the_falling_rate_reaches(plain, alarm):
    (found,) = judged(*settled(plain, 0.9))
    assert found.counts is alarm
    assert found.severity == ("warning" if alarm else "note")


def test_harm_within_twice_the_error_is_a_suspicion():
    (found,) = judged(*settled(0.66, 0.9, half=0.1))
    assert (found.severity, found.standing) == ("warning", "suspicion")


def test_where_more_steps_at_the_same_rate_do_as_well_the_rate_is_not_at_fault():
    assert judged(*settled(0.4, 0.9, control=0.88)) == []
    (found,) = judged(*settled(0.4, 0.9, control=0.8))
    assert found.severity == "note"


def test_noise_without_a_twin_is_suspected_only_where_plain_learners_do_better():
    assert judged() == []
    (found,) = judged(Reading("reference.gain", 0.3, low=0.2, high=0.4))
    assert (found.severity, found.standing) == ("warning", "suspicion")
    assert judged(Reading("reference.gain", 0.0, low=-0.1, high=0.1)) == []


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"low": 41.0}, True),
        ({"low": 39.0}, False),
        ({"end": 0.5}, True),
        ({"end": 0.4}, False),
        ({"fall": 0.01}, False),
    ],
    ids=str,
)
def test_noise_must_be_far_above_the_gradient_the_rate_unfallen_and_the_loss_standing(given, told):
    assert bool(judged(*settled(0.4, 0.9), **given)) is told


def test_rows_learned_by_heart_and_lost_numbers_are_no_matter_of_noise():
    assert judged(*settled(0.4, 0.9), Reading("outcome.train_score", 0.95, note="accuracy")) == []
    assert judged(*settled(0.4, 0.9), Reading("nonfinite.step", 9.0)) == []


@pytest.mark.parametrize("infinite", [True, False])
def test_a_gradient_that_cannot_be_told_from_chance_has_an_infinite_scale(infinite):
    readings = [
        replace(r, value=float("inf"), high=float("inf")) if infinite and r.name == "noise.scale" else r
        for r in bouncing()
    ]
    (found,) = opt07_noise_dominated.judge(Readings([*readings, *settled(0.4, 0.9)]))
    assert found.counts


def judged_in_fact(rate, *, schedule=Constant(), epochs=8, more=()):  # noqa: B008
    """The findings about a real training of two rows a step, and its readings."""
    torch.manual_seed(0)
    plan = {"batch_size": 2, "epochs": epochs, "schedule": schedule}
    case, readings = case_of(nn.Linear(20, 1), linear_rows(), SGD(lr=rate), **plan)
    readings.extend(more)
    readings.extend(try_settling(case, readings))
    return opt07_noise_dominated.judge(readings), readings


def test_a_large_rate_leaves_noise_in_a_real_training_and_a_falling_one_takes_it_away():
    (found,), readings = judged_in_fact(0.055, epochs=12)
    assert (found.counts, found.cause) == (True, "lr_too_high")
    assert readings.value("noise.scale") > 10 * readings.value("noise.rows")
    assert readings.value("twin.settled.changed") > 0.75
    assert readings.value("twin.settled.control") < 0.65


@pytest.mark.parametrize(("rate", "schedule"), [(0.05, Cosine()), (0.003, Constant())], ids=str)
def test_a_falling_or_a_small_rate_leaves_none(rate, schedule):
    found, readings = judged_in_fact(rate, schedule=schedule)
    assert [each for each in found if each.severity != "note"] == []
    assert readings.value("schedule.end") == pytest.approx(1.0 if rate == 0.003 else 0.0, abs=1e-3)


def test_no_gradient_is_measured_where_an_alarm_is_known():
    known = tried("adam", 0.2, 0.9, again=0.9)
    _, readings = judged_in_fact(0.05, more=known)
    assert "noise.scale" not in readings

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from thalweg.parts.optimizers import SGD, Adam
from thalweg.readings import Reading, Readings
from thalweg.rules.opt import opt06_stuck

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
sys.path.insert(0, str(Path(__file__).parent))
from trained import linear_rows, mlp, trained
from twin_cases import tried


def standing(*, level=0.9, noise=0.01, count=30):
    """A loss that falls to a level at once and stays there."""
    values = [level + (0.1 if k == 0 else noise * (-1) ** k) for k in range(count)]
    return [
        *(Reading("train.loss", value, step=10 * k + 10) for k, value in enumerate(values)),
        *(Reading("train.batch_loss", value, step=10 * k + 10) for k, value in enumerate(values)),
        Reading("loss.constant", 1.0),
        Reading("loss.floor", 0.0),
    ]


def scores(own, plain, *, train=None):
    """Of the network and of plain learners, on validation and training rows."""
    return [
        Reading("outcome.score", own, low=own - 0.03, high=own + 0.03, note="accuracy"),
        Reading("outcome.constant", 0.1),
        Reading("outcome.train_score", own if train is None else train, note="accuracy"),
        Reading("outcome.train_constant", 0.1),
        Reading("reference.score", plain, low=plain - 0.03, high=plain + 0.03),
        Reading("reference.constant", 0.1),
        Reading("reference.left_out", plain),
        Reading("reference.gain", plain - own, low=plain - own - 0.04, high=plain - own + 0.04),
    ]


def around(**values):
    return [Reading(f"landscape.{n}", v, step=300, low=v - abs(v) / 9, high=v + abs(v) / 9) for n, v in values.items()]


def kind(*more):
    (found,) = opt06_stuck.judge(Readings([*standing(), *scores(0.2, 0.9), *more]))
    return found.title.rpartition(": ")[2]


BROKEN = Readings([*standing(), *scores(0.2, 0.9), *around(gradient=0.001, decrease=0.0, low=-1e-6, high=0.01)])
HEALTHY = Readings([*standing(level=0.05), *scores(0.9, 0.9)])


def test_a_loss_that_stands_far_above_what_plain_learners_reach_is_suspected():
    (found,) = opt06_stuck.judge(BROKEN)
    assert (found.severity, found.standing, found.counts) == ("warning", "suspicion", False)
    assert found.title == "The training loss no longer falls, far above what can be learned: a plateau"
    assert found.step == 210


def test_what_holds_it_is_told_apart():
    assert kind() == "undetermined"  # nothing was measured
    assert kind(*around(gradient=0.009, decrease=0.019)) == "a plateau"
    assert kind(*around(gradient=0.011, decrease=0.019)) == "undetermined"
    assert kind(*around(gradient=0.009, decrease=0.021)) == "undetermined"
    assert kind(*around(gradient=0.5, decrease=0.1, kick=0.021)) == "a saddle"
    assert kind(*around(gradient=0.5, decrease=0.1, kick=0.019)) == "undetermined"
    assert kind(*around(gradient=0.001, decrease=0.0, kick=0.5)) == "a saddle"
    uncertain = Reading("landscape.kick", 0.5, low=-0.1, high=1.1)
    assert kind(*around(gradient=0.5, decrease=0.1), uncertain) == "undetermined"


@pytest.mark.parametrize(
    ("sharp", "along", "held"), [(11.0, 6.0, True), (11.0, 5.0, False), (11.0, 0.1, True), (9.0, 6.0, False)]
)
def test_ill_conditioning_is_a_rate_at_its_limit_and_a_gradient_across_or_along_the_valley(sharp, along, held):
    more = [Reading("curvature.sharpness", sharp), Reading("curvature.along", along), Reading("curvature.limit", 20.0)]
    assert (kind(*around(gradient=0.5, decrease=0.1), *more) == "ill conditioning") is held


def test_negative_curvature_alone_is_no_saddle():
    assert kind(*around(gradient=0.5, decrease=0.1, low=-5.0, high=5.0)) == "undetermined"


def test_a_loss_that_still_falls_is_not_stuck():
    falling = [
        *(Reading(name, 1 - 0.01 * k, step=k) for k in range(30) for name in ("train.loss", "train.batch_loss")),
        Reading("loss.constant", 1.0),
    ]
    assert opt06_stuck.judge(Readings([*falling, *scores(0.2, 0.9)])) == []
    assert opt06_stuck.judge(Readings([*standing(count=9), *scores(0.2, 0.9)])) == []  # too short to tell


def test_irreducible_noise_and_learned_rows_leave_nothing_to_say():
    assert opt06_stuck.judge(Readings([*standing(), *scores(0.2, 0.22)])) == []
    assert opt06_stuck.judge(Readings([*standing(), *scores(0.2, 0.9, train=0.95)])) == []
    assert opt06_stuck.judge(Readings(standing())) == []


def raced(best, *, half=0.02):
    return [
        Reading("race.loss", best, "0.01", low=best - half, high=best + half),
        Reading("fit.train_loss", 0.9, low=0.88, high=0.92),
    ]


@pytest.mark.parametrize(("best", "held"), [(0.79, True), (0.81, False), (0.99, False)])
def test_without_plain_learners_a_race_that_got_clearly_lower_shows_what_can_be_learned(best, held):
    assert bool(opt06_stuck.judge(Readings([*standing(), *raced(best)]))) is held
    assert opt06_stuck.judge(Readings([*standing(), *raced(best), *scores(0.2, 0.22)])) == []


def test_where_a_twin_shows_harm_it_names_the_cause_and_this_is_a_note():
    known = [*standing(), *scores(0.2, 0.9), *tried("adam", 0.2, 0.9, again=0.9)]
    (found,) = opt06_stuck.judge(Readings([*known, *around(gradient=0.001, decrease=0.0)]))
    assert (found.severity, found.standing, found.cause) == ("note", "verified", "optimizer_unsuitable")
    assert opt06_stuck.judge(Readings(known)) == []  # nothing to add


@pytest.mark.parametrize(("balance", "told"), [(0.4, True), (0.6, False)])
def test_where_decay_takes_back_what_the_loss_asks_for_it_is_no_matter_of_the_landscape(balance, told):
    readings = Readings([*standing(), *scores(0.2, 0.9), Reading("decay.balance", balance)])
    assert bool(opt06_stuck.judge(readings)) is told


def test_noise_of_batches_is_another_matter():
    noise = [
        Reading("noise.scale", 900.0, low=500.0, high=2000.0),
        Reading("noise.rows", 8.0),
        Reading("schedule.end", 1.0),
    ]
    assert opt06_stuck.judge(Readings([*standing(), *scores(0.2, 0.9), *noise])) == []


class Small(nn.Sequential):
    """Starts beside the saddle at zero."""

    def __init__(self):
        super().__init__(*mlp(width=16))
        with torch.no_grad():
            for p in self.parameters():
                p.mul_(1e-3)


class Flat(nn.Sequential):
    def __init__(self):
        super().__init__(*mlp(nn.Sigmoid, width=16), nn.Sigmoid())


@pytest.mark.slow
def test_a_real_training_beside_a_saddle_is_told_from_one_on_a_plateau():
    x, y = linear_rows(noise=0.1)
    (found,) = opt06_stuck.judge(trained(Small, (x, y), SGD(lr=1e-3), batch_size=32, epochs=12))
    assert found.title.endswith("a saddle")
    thrown = trained(Flat, (x, (y > 0).float()), SGD(lr=200.0), batch_size=32, epochs=12)
    (found,) = opt06_stuck.judge(thrown)
    assert found.title.endswith("a plateau")


@pytest.mark.slow
@pytest.mark.parametrize("noise", [0.1, 3.0])
def test_real_trainings_that_have_converged_raise_nothing(noise):
    readings = trained(mlp, linear_rows(noise=noise), Adam(lr=3e-3, weight_decay=1e-3), batch_size=64, epochs=25)
    assert opt06_stuck.judge(readings) == []

import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.num import num01_non_finite as rule


def lost(
    *, note="aten.log forward", place="loss", step=30, losses=(2.3, 2.2, 2.1), last=2.1, low=0.0, high=1.0, more=()
):
    return Readings(
        [
            *(Reading("train.batch_loss", value, step=10 * (k + 1)) for k, value in enumerate(losses)),
            Reading("nonfinite.first", 0.25, place, step, low, high, 3, note),
            Reading("nonfinite.row", 17, place, step, count=3),
            Reading("nonfinite.last_loss", last, step=step),
            Reading("plan.rate", 0.5),
            *more,
        ]
    )


BROKEN = lost()
HEALTHY = Readings([Reading("train.batch_loss", 2.3, step=1)])


def test_a_finite_training_passes():
    assert rule.judge(Readings([Reading("train.batch_loss", 2.3, step=1)])) == []


def test_a_logarithm_of_zero_in_a_calm_training():
    (found,) = rule.judge(lost())
    assert (found.code, found.severity, found.standing, found.cause) == ("NUM01", "error", "proven", "non_finite")
    assert (found.step, found.place) == (30, "loss")
    assert found.title == "Numbers were no longer finite at step 30: aten.log in the loss"
    lines = {line.what: line.value for line in found.evidence}
    assert lines["rows"] == "17 and 2 more"
    assert lines["last finite loss"] == "2.1"
    assert lines["operands were finite, from"] == "0 to 1"
    assert "log_softmax" in found.remedies[0].text


def test_a_loss_that_grew_before_makes_the_rate_the_cause():
    (found,) = rule.judge(lost(losses=(2.3, 40.0, 9e9), last=3e30, note="aten.exp forward"))
    assert found.cause == "lr_too_high"
    assert found.remedies[0].changes == {"optimizer.lr": 0.05}
    assert found.remedies[1].changes == {"clip_norm": 1.0}


def test_the_rate_of_a_race_is_the_remedy():
    race = (
        Reading("race.rate", 0.01, low=0.003, high=0.03),
        Reading("race.loss", 0.3, "0.01", low=0.2, high=0.4),
        Reading("race.excess", 0.0, "0.01", low=0.0, high=0.0),
        Reading("race.loss", float("inf"), "0.5"),
        Reading("race.excess", float("inf"), "0.5"),
    )
    (found,) = rule.judge(lost(step=1, losses=(2.3,), last=2.3, more=race))
    assert found.cause == "lr_too_high"
    assert found.remedies[0].changes == {"optimizer.lr": 0.01}


def test_weights_lost_in_an_update():
    (found,) = rule.judge(lost(note="parameter", place="head.weight", low=None, high=None))
    assert found.cause == "lr_too_high"
    assert found.title.endswith("head.weight was lost in the update before")


@pytest.mark.parametrize("losses", [(2.3, 2.2), (2.3, 9e9)])
def test_data_are_to_blame_whatever_the_loss_did(losses):
    (found,) = rule.judge(lost(note="input", place="input", losses=losses))
    assert found.cause == "non_finite"
    assert found.title.endswith("the input itself is not finite")
    assert "rows" in found.remedies[0].text


def test_backward_and_unknown_origins():
    (found,) = rule.judge(lost(note="aten.div in SqrtBackward0 backward", place="norm"))
    assert found.title.endswith("backward pass of norm, aten.div in SqrtBackward0")
    (found,) = rule.judge(Readings([Reading("train.batch_loss", 2.3, step=1), Reading("nonfinite.step", 7, step=7)]))
    assert (found.title, found.step) == ("Numbers were no longer finite at step 7", 7)

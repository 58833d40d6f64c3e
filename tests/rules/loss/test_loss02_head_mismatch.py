import math

import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.loss.loss02_head_mismatch import judge


def readings(**changes: float) -> Readings:
    """Cross-entropy over ten classes on logits, with some readings changed; names with `_` for `.`."""
    values = {
        "loss_floor_free": 0.0,
        "loss_floor": 0.0,
        "loss_constant": 2.29,
        "loss_uniform": math.log(10),
        "loss_bottomless": 0.0,
        "loss_rewards_wrong": -42.0,
        "loss_pairing": 0.05,
        "loss_compared": 1.0,
        "loss_batch_factor": 1.0,
        "head_low": -math.inf,
        "head_high": math.inf,
        "task_classes": 10.0,
        "head_outputs": 10.0,
        "target_distinct": 2.0,
    }
    note = str(changes.pop("note", "none"))
    return Readings(Reading(k.replace("_", ".", 1), v, count=256, note=note) for k, v in {**values, **changes}.items())


BROKEN = readings(note="softmax", loss_floor=1.461, head_dim=1, head_size=10)
HEALTHY = readings()


def test_double_softmax_shows_its_floor():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "loss_head_mismatch")
    assert "1.461" in finding.title
    assert any(e.what == "share out of reach" and e.value == "64 %" for e in finding.evidence)


@pytest.mark.parametrize(
    ("title", "changes"),
    [
        ("runs over one output", {"note": "softmax", "head_size": 1, "head_dim": 1, "loss_floor": 8.0}),
        ("1 output for 10 classes", {"note": "sigmoid", "head_outputs": 1, "head_low": 0, "head_high": 1}),
        ("5 outputs for 10 classes", {"head_outputs": 5}),
        ("over the batch", {"note": "softmax", "head_dim": 0, "head_size": 64}),
        ("all 64 targets", {"loss_pairing": 1e-7, "loss_compared": 64, "loss_floor": 1.1, "loss_constant": 1.1}),
        ("higher for right answers", {"loss_rewards_wrong": 3.4, "loss_bottomless": 1}),
        ("get no gradient", {"loss_outside": 0.66}),
        ("falls without end", {"loss_bottomless": 1, "loss_floor": -1e36}),
        ("lowest loss there is", {"loss_floor": 1e-7, "loss_constant": 1e-7}),
    ],
)
def test_each_fault_is_named(title, changes):
    (finding,) = judge(readings(**changes))
    assert title in finding.title
    assert finding.counts


@pytest.mark.parametrize(
    "changes",
    [
        {"note": "log_softmax", "head_dim": 1, "head_size": 10},  # log_softmax twice is the same
        {"note": "sigmoid", "head_low": 0, "head_high": 1, "loss_floor": 1e-6},  # renormalized by the loss
        {"note": "relu", "head_low": 0, "loss_floor": 0.1},  # 4 % of the loss out of reach
        {"head_outputs": 1},  # a number for an ordered class
        {"head_outputs": 12},  # more outputs than classes seen
        {"loss_pairing": 1e-8},  # a loss that compares rows with each other, shapes equal
        {"note": "softmax", "head_dim": 1, "loss_floor_free": -1e36, "loss_floor": -1.0, "loss_constant": -0.1},
        {"target_distinct": 1, "loss_constant": 0.0},  # one class only: another rule's
        {"note": "softmax", "head_dim": 1, "loss_outside": 1.0, "head_size": 10},  # saturated, not outside
    ],
)
def test_what_is_no_fault_passes(changes):
    assert judge(readings(**changes)) == []


def test_a_sum_is_a_note():
    (finding,) = judge(readings(loss_batch_factor=2.0))
    assert finding.severity == "note"
    assert not finding.counts

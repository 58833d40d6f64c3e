import sys
from pathlib import Path

import pytest
from torch import nn

from thalweg.parts.optimizers import SGD, Adam
from thalweg.readings import Reading, Readings
from thalweg.rules.lr.race import sharpness
from thalweg.rules.opt import opt05_beyond_stability

sys.path.insert(0, str(Path(__file__).parent))
from trained import linear_rows, mlp, trained


def curved(value, *more, limit=20.0, half=1.0, note="", step=300):
    return Readings([
        Reading("curvature.sharpness", value, step=step, low=value - half, high=value + half, count=512),
        Reading("curvature.limit", limit, step=step, note=note),
        *more,
    ])  # fmt: skip


BROKEN = curved(60.0)
HEALTHY = curved(21.0)


def test_steps_three_times_as_long_as_the_curvature_bears_are_a_note_and_no_alarm():
    (found,) = opt05_beyond_stability.judge(BROKEN)
    assert (found.severity, found.standing, found.counts, found.cause) == ("note", "verified", False, "lr_too_high")
    assert found.title == "The last steps were 3.0 times as long as the curvature of the loss bears"
    assert found.step == 300


@pytest.mark.parametrize(("value", "told"), [(41.1, True), (40.9, False)])
def test_the_lower_end_must_be_twice_the_limit(value, told):
    assert bool(opt05_beyond_stability.judge(curved(value))) is told


def test_with_batch_norm_or_clipping_or_after_numbers_were_lost_the_limit_says_little():
    assert opt05_beyond_stability.judge(curved(60.0, note="batch norm in evaluation mode")) == []
    assert opt05_beyond_stability.judge(curved(60.0, Reading("clipping.share", 0.6))) == []
    assert opt05_beyond_stability.judge(curved(60.0, Reading("clipping.share", 0.1)))
    assert opt05_beyond_stability.judge(curved(60.0, Reading("nonfinite.step", 9.0))) == []


def test_the_start_alone_is_not_judged_and_told_beside_the_end():
    assert opt05_beyond_stability.judge(curved(60.0, step=None)) == []
    (found,) = opt05_beyond_stability.judge(Readings([*curved(30.0, step=None), *curved(60.0)]))
    assert "the same at the start" in str(found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "limit"), [(SGD(lr=0.3), 6.667), (SGD(lr=0.5), 4.0), (Adam(lr=0.02), 1900.0)], ids=str
)
def test_real_trainings_with_whole_batches_hover_at_the_edge_and_raise_nothing(optimizer, limit):
    readings = trained(mlp, linear_rows(600), optimizer, batch_size=420, epochs=300)
    assert readings.value("curvature.limit") == pytest.approx(limit, rel=1e-3)
    assert readings.value("curvature.sharpness") == pytest.approx(limit, rel=0.15)
    assert opt05_beyond_stability.judge(readings) == []
    assert "stable steps" in str(sharpness(readings))  # what LR01 tells too


@pytest.mark.slow
def test_a_real_training_that_climbs_out_of_its_bowl_is_noted():
    readings = trained(lambda: nn.Linear(20, 1), linear_rows(600), SGD(lr=2.5), batch_size=420, epochs=4)
    (found,) = opt05_beyond_stability.judge(readings)
    assert not found.counts

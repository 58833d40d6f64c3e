import sys
from pathlib import Path

import pytest

from thalweg.parts.optimizers import SGD
from thalweg.readings import Reading, Readings
from thalweg.rules.opt import opt03_clips_always

sys.path.insert(0, str(Path(__file__).parents[2] / "doctor" / "remedies"))
from twin_cases import examined, mlp, tried


def clipped(share, *more, count=40):
    return Readings([Reading("clipping.share", share, count=count, note="250"), *more])


BROKEN = clipped(1.0, *tried("no_clipping", 0.2, 0.9, again=0.9))
HEALTHY = clipped(0.2)


def test_a_limit_that_costs_the_training_is_an_alarm():
    (found,) = opt03_clips_always.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "optimizer_unsuitable")
    assert found.remedies[0].changes == {"clip_norm": None}
    assert "250" in [line.value for line in found.evidence]


def test_a_limit_that_always_bites_and_costs_nothing_is_a_note():
    for more in ([], tried("no_clipping", 0.88, 0.9, again=0.9)):
        (found,) = opt03_clips_always.judge(clipped(0.95, *more))
        assert (found.severity, found.standing, found.counts) == ("note", "proven", False)


@pytest.mark.parametrize(("share", "count", "told"), [(0.9, 10, True), (0.89, 10, False), (1.0, 9, False)])
def test_always_is_nine_of_ten_watched_steps(share, count, told):
    assert bool(opt03_clips_always.judge(clipped(share, count=count))) is told


NORMS = [Reading("gradient.norm", 1.0 + 0.01 * step, "", step) for step in range(40)]


def test_a_limit_far_below_every_gradient_is_found_in_a_real_training():
    (found,) = opt03_clips_always.judge(examined(mlp(), SGD(lr=0.1), clip_norm=1e-3, more=NORMS))
    assert (found.counts, found.cause) == (True, "optimizer_unsuitable")


def test_a_usual_limit_raises_no_alarm_in_a_real_training():
    found = opt03_clips_always.judge(examined(mlp(), SGD(lr=0.1, momentum=0.9), clip_norm=5.0, more=NORMS))
    assert found == []

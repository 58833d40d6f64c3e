import sys
from pathlib import Path

import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop01_gradients_kept import judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, twin

BROKEN = Readings([Reading("loop.stale", 1.0, step=1, count=20), *twin(0.3, 0.9)])
HEALTHY = Readings([Reading("loop.stale", 0.0, count=20)])


def test_gradients_kept_all_the_way_are_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.step) == ("error", "proven", 1)
    assert finding.cause == "gradient_accumulated"
    assert finding.evidence[0].value == "20 of 20"
    assert len(finding.evidence) == 4
    assert finding.remedies[0].safety == "manual"


def test_what_the_twin_does_not_show_is_not_said():
    (finding,) = judge(Readings([Reading("loop.stale", 1.0, step=1, count=20), *twin(0.89, 0.9)]))
    assert len(finding.evidence) == 1


def test_in_the_lesser_part_of_the_steps_it_is_a_note():
    (finding,) = judge(Readings([Reading("loop.stale", 0.5, step=3, count=20)]))
    assert (finding.severity, finding.counts) == ("note", False)
    assert judge(Readings([Reading("loop.stale", 0.51, step=3, count=100)]))[0].counts


def test_one_step_alone_is_nothing():
    assert judge(Readings([Reading("loop.stale", 1.0, step=1, count=1)])) == []
    assert len(judge(Readings([Reading("loop.stale", 1.0, step=1, count=2)]))) == 1


@pytest.mark.parametrize("told", [True, False])
def test_planted_in_a_loop(told):
    watch = loop(clear=False, told=told)
    assert alarms(watch)[0] == "LOOP01"
    (finding,) = of(watch, "LOOP01")
    assert finding.step == 1


def test_a_loop_that_clears_is_silent():
    watch = loop()
    assert watch.readings.value("loop.stale") == 0
    assert alarms(watch) == []

"""An examination that breaks is told, and the others go on."""

import pytest

from thalweg.doctor import examinations
from thalweg.doctor.check import facts
from thalweg.doctor.diagnose import diagnose
from thalweg.doctor.examinations import examine_before
from thalweg.readings import Reading, Readings


def breaks(bench, readings):
    raise RuntimeError("expected 2 rows\nand more")


def reads(bench, readings):
    return [Reading("loss.initial", 1.0)]


def test_an_examination_that_breaks_is_told_and_the_next_ones_run(monkeypatch):
    monkeypatch.setattr(examinations, "STRICT", False)
    readings = Readings()
    examine_before(None, readings, (breaks, reads))
    assert readings.value("loss.initial") == 1.0
    line = "breaks broke, an error of thalweg's own: RuntimeError: expected 2 rows"
    assert line in facts(readings, None)
    assert line in diagnose(readings).unknown


def test_within_the_tests_it_raises():
    with pytest.raises(RuntimeError):
        examine_before(None, Readings(), (breaks,))

import sys
from pathlib import Path

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop09_targets_shifted import LEAST, judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import BATCH, alarms, loop, of


def gains(given: float, after: float, before: float = 0.0, half: float = 0.1) -> Readings:
    values = {"given": given, "next": after, "before": before}
    note = "accuracy"
    return Readings(
        Reading("lag.gain", v, place, 100, low=v - half, high=v + half, count=100, note=note)
        for place, v in values.items()
    )


BROKEN = gains(0.01, 0.6)
HEALTHY = gains(0.6, 0.02)


def test_pairs_a_batch_apart_are_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "verified", "label_corruption")
    assert "of the batch after it" in finding.title
    assert "of the batch before it" in judge(gains(0.01, 0.0, 0.6))[0].title


def test_pairs_that_say_something_as_they_came_are_nothing():
    assert judge(gains(0.11, 0.6)) == []


def test_rows_without_any_pairing_are_left_to_others():
    assert judge(gains(0.01, 0.05)) == []
    assert judge(gains(0.0, 0.99 * LEAST, half=0.01)) == []
    assert judge(Readings([Reading("lag.gain", 0.0, "given", low=-0.1, high=0.1)])) == []


def test_planted_in_a_loop():
    watch = loop(lag=BATCH)
    assert alarms(watch) == ["LOOP09"]
    assert "targets belong to the inputs" in of(watch, "LOOP09")[0].title.lower()


def test_pairs_and_labels_of_no_row_are_silent():
    assert of(loop(), "LOOP09") == []
    assert of(loop(lag=BATCH + 5), "LOOP09") == []

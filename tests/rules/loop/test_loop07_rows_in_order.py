import sys
from pathlib import Path

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop07_rows_in_order import judge
from thalweg.rules.loop.order import EFFECT

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, rows, twin


def order(effect: float, chance: float) -> Reading:
    return Reading("loop.order", effect, count=20, note=f"{chance:.1f}")


BROKEN = Readings([order(0.95, -200), *twin(0.3, 0.9)])
HEALTHY = Readings([order(0.02, -0.4)])


def test_rows_in_order_are_an_error_where_the_twin_is_better():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "verified", "unshuffled")
    assert finding.remedies[0].safety == "safe"


def test_without_harm_it_is_a_note():
    for rest in (twin(0.88, 0.9), []):
        (finding,) = judge(Readings([order(0.95, -200), *rest]))
        assert (finding.severity, finding.counts, finding.step) == ("note", False, None)


def test_chance_and_small_differences_are_nothing():
    assert judge(Readings([order(EFFECT, -50), *twin(0.3, 0.9)])) == []
    assert judge(Readings([order(0.5, -5.9), *twin(0.3, 0.9)])) == []


def test_planted_in_a_loop():
    x, y = rows()
    sorted_rows = y.argsort()
    watch = loop(data=(x[sorted_rows], y[sorted_rows]), shuffle=False)
    assert alarms(watch)[0] == "LOOP07"


def test_shuffled_rows_and_rows_in_no_order_are_silent():
    x, y = rows()
    sorted_rows = y.argsort()
    assert of(loop(data=(x[sorted_rows], y[sorted_rows])), "LOOP07") == []
    assert alarms(loop(shuffle=False)) == []

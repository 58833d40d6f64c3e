import sys
from pathlib import Path

from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop08_rate_vanishes import judge
from thalweg.rules.loop.repaired import EARLY

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, twin


def low(share: float) -> list[Reading]:
    rates = [Reading("loop.peak_rate", 0.1), Reading("loop.last_rate", 1e-9, step=199)]
    return [*rates, Reading("loop.low_rate", share, step=round(200 * share), count=20)]


BROKEN = Readings([*low(0.1), *twin(0.4, 0.9)])
HEALTHY = Readings(low(0.95))


def test_a_rate_that_vanishes_early_is_an_error_where_the_twin_is_better():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "verified", "lr_too_low")
    assert finding.step == 20


def test_a_training_that_was_done_by_then_gets_a_note():
    for rest in (twin(0.88, 0.9), []):
        (finding,) = judge(Readings([*low(0.1), *rest]))
        assert (finding.severity, finding.counts) == ("note", False)


def test_the_second_half_is_nothing():
    assert len(judge(Readings(low(EARLY)))) == 1
    assert judge(Readings(low(EARLY + 0.01))) == []


def test_planted_in_a_loop():
    watch = loop(schedule=lambda o: ExponentialLR(o, 0.7))
    assert alarms(watch) == ["LOOP08"]


def test_a_cosine_over_all_steps_is_silent():
    watch = loop(schedule=lambda o: CosineAnnealingLR(o, 228), epochs=12)
    assert of(watch, "LOOP08") == []
    assert alarms(loop(schedule=lambda o: CosineAnnealingLR(o, 228))) == []

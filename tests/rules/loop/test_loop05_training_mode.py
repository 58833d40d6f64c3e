import sys
from pathlib import Path

from torch import nn

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop05_training_mode import judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, twin


def passes(share: float, note: str = "dropout") -> Reading:
    return Reading("loop.train_validation", share, count=20, note=note)


def gap(plain: float, changed: float) -> list[Reading]:
    return twin(plain, changed, name="evaluation_mode")


BROKEN = Readings([passes(1.0), *gap(0.5, 0.9)])
HEALTHY = Readings([passes(0.0)])


def test_figures_of_another_mode_are_an_error_where_they_mislead():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "verified", "train_eval_mode")


def test_figures_that_hardly_differ_are_a_note():
    for rest in (gap(0.85, 0.9), []):
        (finding,) = judge(Readings([passes(1.0, "batch norm"), *rest]))
        assert (finding.severity, finding.counts) == ("note", False)


def test_the_lesser_part_of_the_passes_is_nothing():
    assert judge(Readings([passes(0.5), *gap(0.5, 0.9)])) == []


def test_an_average_over_masks_is_meant():
    assert judge(Readings([passes(1.0, "dropout, same rows again"), *gap(0.5, 0.9)])) == []


def dropping(share: float = 0.8) -> nn.Module:
    return nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Dropout(share), nn.Linear(64, 4))


def test_planted_in_a_loop():
    watch = loop(network=dropping(), validate="train", epochs=12)
    assert "LOOP05" in alarms(watch)


def test_evaluation_mode_is_silent():
    watch = loop(network=dropping(0.2), validate="eval", epochs=12)
    assert alarms(watch) == []
    assert of(watch, "LOOP05") == []


def test_masks_averaged_over_the_same_rows_are_silent():
    assert of(loop(network=dropping(), validate="train", validation_passes=4), "LOOP05") == []

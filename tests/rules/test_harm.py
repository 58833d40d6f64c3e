import pytest
import torch
from scipy import stats

from thalweg.measure.score import Score
from thalweg.probes.harm import compared
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import errors_of, harm, works


def twin(plain, changed, *, half=0.04, control=None, steps=1.0, tries=1):
    gain = changed - plain
    found = [
        Reading("twin.x.plain", plain, note="accuracy", count=400),
        Reading("twin.x.changed", changed, note="accuracy", count=400),
        Reading("twin.x.constant", 0.1),
        Reading("twin.x.difference", gain, low=gain - half, high=gain + half, count=400),
        Reading("twin.x.steps", steps),
        Reading("twin.x.tries", tries),
    ]
    return harm(Readings(found + ([] if control is None else [Reading("twin.x.control", control)])), "x")


def test_harm_is_less_than_four_fifths_beyond_a_constant_answer():
    assert twin(0.1 + 0.8 * 0.79, 0.9).harmed
    assert not twin(0.1 + 0.8 * 0.81, 0.9).harmed
    assert not twin(0.3, 0.5, half=0.3).harmed
    assert not twin(0.3, 0.9, control=0.85).harmed
    assert twin(0.3, 0.9, control=0.4).harmed


def test_a_twin_that_answers_like_a_constant_shows_no_harm():
    assert not twin(0.02, 0.13).harmed  # above the training, and hardly above the 0.1 of a constant answer
    assert twin(0.02, 0.2).harmed


def test_the_best_of_many_must_be_further_above_chance():
    assert twin(0.12, 0.17).harmed  # 2.5 standard errors
    assert not twin(0.12, 0.17, tries=10).harmed
    assert twin(0.12, 0.3, tries=10).harmed
    assert errors_of(1) == pytest.approx(2, abs=1e-3)
    assert errors_of(20) == pytest.approx(stats.norm.isf(stats.norm.sf(2) / 20), abs=1e-3)


def test_shuffled_labels_are_no_harm():
    """450 rows whose labels depend on nothing: the best of twenty twins, and a repetition below the constant answer."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(0, 3, (450,), generator=draw)
    found = []
    for repeat in range(200):
        guesses = torch.randint(0, 3, (21, 450), generator=torch.Generator().manual_seed(repeat))
        right = (guesses == labels).double()
        constant = float(labels.bincount().max()) / 450
        own, best = Score("accuracy", right[0], constant), max(right[1:], key=lambda each: float(each.mean()))
        readings = compared("x", own, best - own.each, float(best.mean()), 1.0, tries=20)
        found.append(harm(Readings(readings), "x").harmed)
    assert sum(found) == 0


def test_harmless_needs_a_training_that_works_and_a_whole_twin():
    assert twin(0.8, 0.9).harmless
    assert not twin(0.8, 0.9, steps=0.5).harmless
    assert not twin(0.2, 0.2).harmless


def test_works_reads_the_better_of_last_and_kept_weights():
    def outcome(score, kept):
        values = {"outcome.score": score, "outcome.kept_score": kept, "outcome.constant": 0.5}
        return Readings(Reading(name, value) for name, value in values.items())

    assert works(outcome(0.2, 0.91))
    assert not works(outcome(0.89, 0.89))
    assert not works(Readings())

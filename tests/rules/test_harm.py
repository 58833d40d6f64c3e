from thalweg.readings import Reading, Readings
from thalweg.rules.harm import harm, works


def twin(plain, changed, *, half=0.04, control=None, steps=1.0):
    gain = changed - plain
    found = [
        Reading("twin.x.plain", plain, note="accuracy", count=400),
        Reading("twin.x.changed", changed, note="accuracy", count=400),
        Reading("twin.x.constant", 0.1),
        Reading("twin.x.difference", gain, low=gain - half, high=gain + half, count=400),
        Reading("twin.x.steps", steps),
    ]
    return harm(Readings(found + ([] if control is None else [Reading("twin.x.control", control)])), "x")


def test_harm_is_less_than_four_fifths_beyond_a_constant_answer():
    assert twin(0.1 + 0.8 * 0.79, 0.9).harmed
    assert not twin(0.1 + 0.8 * 0.81, 0.9).harmed
    assert not twin(0.3, 0.5, half=0.3).harmed
    assert not twin(0.3, 0.9, control=0.85).harmed
    assert twin(0.3, 0.9, control=0.4).harmed


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

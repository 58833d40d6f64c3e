from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen04_validation_too_small as gen04


def outcome(value, half, *, constant=0.1, count=100):
    return Readings(
        [
            Reading("outcome.score", value, low=value - half, high=value + half, count=count, note="accuracy"),
            Reading("outcome.constant", constant),
        ]
    )


BROKEN = outcome(0.8, 0.08)
HEALTHY = outcome(0.8, 0.02, count=1500)


def test_few_rows_are_a_note_with_the_difference_they_can_show():
    (found,) = gen04.judge(BROKEN)
    assert (found.severity, found.counts) == ("note", False)
    assert found.title == "100 validation rows show no difference below 0.113"


def test_where_nothing_was_learned_there_is_nothing_to_compare():
    assert gen04.judge(outcome(0.12, 0.08)) == []
    assert gen04.judge(outcome(0.8, 0.08, count=2000)) == []  # a sample of more rows


def test_the_limit_is_a_tenth_of_what_was_learned():
    assert gen04.judge(outcome(0.8, 0.049)) == []
    assert gen04.judge(outcome(0.8, 0.05))

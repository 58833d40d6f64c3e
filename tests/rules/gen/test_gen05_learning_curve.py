from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen05_learning_curve as gen05


def curve(gain, half=0.005, *, train=0.99, count=1000):
    scores = [("1/4", count // 4, 0.6), ("1/2", count // 2, 0.7), ("1", count, 0.7 + gain)]
    return Readings(
        [
            *(Reading("curve.score", v, place, low=v - 0.02, high=v + 0.02, count=n) for place, n, v in scores),
            Reading("curve.gain", gain, low=gain - half, high=gain + half, count=1000),
            Reading("outcome.train_score", train, low=train - 0.01, high=train + 0.01),
            Reading("outcome.score", 0.75, low=0.73, high=0.77),
        ]
    )


BROKEN = curve(0.05)
HEALTHY = curve(0.05, train=0.76)


def test_a_curve_that_still_rises_asks_for_rows():
    (found,) = gen05.judge(BROKEN)
    assert (found.severity, found.counts) == ("note", False)
    assert found.title == "More rows would help: the last doubling brought plain learners 5.0 points"


def test_a_flat_curve_says_so_unless_it_is_only_the_beginning():
    (found,) = gen05.judge(curve(0.001))
    assert found.title.startswith("More rows would hardly help")
    assert gen05.judge(curve(0.001, count=2000)) == []
    assert gen05.judge(curve(0.008)) == []  # neither is sure

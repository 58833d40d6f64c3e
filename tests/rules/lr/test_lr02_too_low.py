import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.lr import lr02_too_low


def raced(plan, *, rate=0.01, low=0.003, high=0.03, own=0.9, excess=(0.5, 0.7), best=0.3, steps=50, **more):
    """The readings of a race in which the plan's own rate took part."""
    found = [
        Reading("plan.rate", plan),
        Reading("race.rate", rate, low=low, high=high),
        Reading("race.steps", steps),
        Reading("race.start", 2.35),
        Reading("race.constant", 2.3, low=2.29, high=2.31),
        Reading("race.loss", best, "0.01", low=best - 0.05, high=best + 0.05),
        Reading("race.excess", 0.0, "0.01", low=0.0, high=0.0),
        Reading("race.loss", own, f"{plan:.6g}", low=own - 0.1, high=own + 0.1),
        Reading("race.excess", sum(excess) / 2, f"{plan:.6g}", low=excess[0], high=excess[1]),
    ]
    return Readings(found + [Reading(name.replace("_", ".", 1), value) for name, value in more.items()])


def trained(readings, loss, *, step=1000, half=0.02):
    readings.add(Reading("fit.train_loss", loss, step=step, low=loss - half, high=loss + half))
    return readings


BROKEN = trained(raced(1e-5, own=2.3, excess=(1.9, 2.1)), 2.1)
HEALTHY = trained(raced(1e-3, own=1.5), 0.02)


def test_a_low_rate_is_told_after_a_training_that_got_nowhere():
    (found,) = lr02_too_low.judge(trained(raced(1e-5, own=2.3, excess=(1.9, 2.1)), 2.1))
    assert (found.code, found.standing, found.cause) == ("LR02", "verified", "lr_too_low")
    assert found.remedies[0].changes == {"optimizer.lr": 0.01}


def test_a_low_rate_is_told_after_a_training_shorter_than_the_race():
    assert lr02_too_low.judge(trained(raced(1e-3, own=2.3, excess=(1.9, 2.1), best=1.0), 2.1, step=40))[0].counts
    assert lr02_too_low.judge(trained(raced(2.9e-3, own=2.3, excess=(1.9, 2.1), best=1.0), 2.1, step=40)) == []


def test_a_low_rate_is_told_before_a_training_that_is_too_short_for_it():
    assert lr02_too_low.judge(raced(1e-5, own=2.3, excess=(1.9, 2.1), plan_steps=5000))[0].counts
    assert lr02_too_low.judge(raced(1e-5, own=2.3, excess=(1.9, 2.1), plan_steps=50_000)) == []
    assert lr02_too_low.judge(raced(1e-5, own=2.3, excess=(1.9, 2.1))) == []  # length unknown


@pytest.mark.parametrize(
    "readings",
    [
        trained(raced(1e-3, own=1.5), 0.02),  # slower than the best, and it got there
        trained(raced(1e-3, own=0.35, excess=(-0.02, 0.1)), 2.1),  # not measurably worse
        trained(raced(0.5, own=2.3), 2.1),  # too high, not too low
        Readings([Reading("plan.rate", 1e-5), Reading("race.rate", 0.01, low=0.003, high=0.03)]),
    ],
)
def test_a_low_rate_without_harm_is_not_reported(readings):
    assert lr02_too_low.judge(readings) == []


def test_a_training_that_learned_half_of_what_it_could_gets_a_note():
    (found,) = lr02_too_low.judge(trained(raced(1e-3, own=1.5), 1.2))
    assert (found.severity, found.counts) == ("note", False)
    (found,) = lr02_too_low.judge(trained(raced(1e-3, own=1.5), 1.4))
    assert (found.severity, found.counts) == ("warning", True)


def test_a_loss_that_adds_its_rows_up_is_not_compared_with_that_of_other_rows():
    readings = Readings(BROKEN)
    readings.add(Reading("loss.batch_factor", 2.0))
    assert lr02_too_low.judge(BROKEN)
    assert lr02_too_low.judge(readings) == []

import math

import pytest

from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.lr import lr01_too_high


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


def curve(readings, values):
    readings.extend(Reading("train.batch_loss", value, step=10 * (k + 1)) for k, value in enumerate(values))
    return readings


BROKEN = raced(0.5, own=2.6)
HEALTHY = trained(raced(0.5, own=2.6), 0.05)


def test_a_high_rate_that_learns_nothing_is_told_before_the_training():
    (found,) = lr01_too_high.judge(raced(0.5, own=2.6))
    assert isinstance(found, Finding)
    assert (found.code, found.severity, found.standing, found.cause) == ("LR01", "warning", "verified", "lr_too_high")
    assert found.step is None
    assert found.remedies[0].changes == {"optimizer.lr": 0.01}
    diverged = raced(0.5, own=math.inf, excess=(math.inf, math.inf))
    assert lr01_too_high.judge(diverged)[0].counts


@pytest.mark.parametrize(
    "readings",
    [
        raced(0.5, own=0.9),  # worse than the best, and learning all the same
        raced(0.5, own=2.6, excess=(-0.1, 0.4)),  # not measurably worse
        raced(0.02, own=2.6),  # within the interval
        raced(0.5, own=2.6, best=2.28),  # no rate learns: not the rate's fault
        raced(0.5, own=2.6, plan_warmup_steps=100),
        trained(raced(0.5, own=2.6), 0.05),  # the training reached its goal
        trained(raced(0.5, own=2.6), 0.34),  # not distinguishable from the best of the race
        trained(raced(0.5, own=2.6), 0.8, step=20),  # shorter than the race
        Readings([Reading("plan.rate", 0.5), Reading("race.rate", 0.01, low=0.003, high=0.03)]),  # the race's choice
    ],
)
def test_a_high_rate_without_harm_is_not_reported(readings):
    assert lr01_too_high.judge(readings) == []


def test_after_the_training_its_own_loss_is_the_evidence():
    readings = curve(trained(raced(0.5, own=0.9), 1.7), [2.3, 4.0, 3.9, 3.6])
    (found,) = lr01_too_high.judge(readings)
    assert found.step == 20
    assert any("training loss at the end" in line.what for line in found.evidence)


def test_numbers_that_were_lost_are_left_to_num01():
    readings = raced(0.5, own=2.6)
    readings.add(Reading("nonfinite.first", 1.0, "head", 12, note="aten.exp forward"))
    assert lr01_too_high.judge(readings) == []


def test_without_a_race_a_risen_loss_is_a_suspicion():
    (found,) = lr01_too_high.judge(curve(Readings([Reading("plan.rate", 0.5)]), [2.3, 2.0, 9.0, 8.0]))
    assert (found.standing, found.step) == ("suspicion", 30)
    assert not found.counts
    assert lr01_too_high.judge(curve(Readings([Reading("plan.rate", 0.5)]), [2.3, 9.0, 2.0, 1.0])) == []


def test_a_training_that_learned_half_of_what_it_could_gets_a_note():
    (found,) = lr01_too_high.judge(trained(raced(0.5, own=1.5), 1.2))
    assert (found.severity, found.counts) == ("note", False)
    (found,) = lr01_too_high.judge(trained(raced(0.5, own=1.5), 1.4))
    assert (found.severity, found.counts) == ("warning", True)


def test_a_loss_that_adds_its_rows_up_is_not_compared_with_that_of_other_rows():
    readings = trained(raced(0.5, own=2.6), 2.4)
    assert lr01_too_high.judge(readings)
    readings.add(Reading("loss.batch_factor", 2.0))
    assert lr01_too_high.judge(readings) == []


def test_where_the_training_overfits_a_lower_rate_only_fits_less():
    values = {"plain": 0.4, "changed": 0.7, "constant": 0.1, "steps": 1.0, "setting": 0.05}
    tried = [Reading(f"twin.lower_rate.{k}", v, note="accuracy", count=900) for k, v in values.items()]
    tried += [Reading("twin.lower_rate.difference", 0.3, low=0.25, high=0.35, count=900)]
    tried += [Reading("twin.best", 0.7, note="lower_rate"), Reading("loss.constant", 2.3)]
    slow = trained(Readings([*raced(0.5, own=1.9), *tried]), 1.5)
    assert [found.code for found in lr01_too_high.judge(slow)] == ["LR01"]
    scores = [
        Reading("outcome.train_score", 0.99, low=0.98, high=1.0),
        Reading("outcome.score", 0.4, low=0.37, high=0.43),
    ]
    risen = [Reading("validation.loss", loss, step=k) for k, loss in enumerate((1.0, 0.8, 1.0, 1.2, 1.5))]
    fitted = trained(Readings([*raced(0.5, own=0.9), *tried, *scores, *risen]), 0.05)
    assert lr01_too_high.judge(fitted) == []

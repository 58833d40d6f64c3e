import math

import pytest

from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules.lr import lr01_too_high, lr02_too_low, lr03_nothing_learnable


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


def test_a_low_rate_is_told_after_a_training_that_got_nowhere():
    (found,) = lr02_too_low.judge(trained(raced(1e-5, own=2.3, excess=(1.9, 2.1)), 2.1))
    assert (found.code, found.standing, found.cause) == ("LR02", "verified", "lr_too_low")
    assert found.remedies[0].changes == {"optimizer.lr": 0.01}


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


def unlearnable(*more):
    return Readings(
        [
            Reading("race.learnable", 0.0),
            Reading("race.constant", 2.3, low=2.29, high=2.31),
            Reading("race.longer", 2.31, "0.001"),
            Reading("race.longer", 2.4, "0.01"),
            *more,
        ]
    )


def test_nothing_learnable_is_a_suspicion_that_permuted_labels_verify():
    (found,) = lr03_nothing_learnable.judge(unlearnable(Reading("overfit.share", 0.95)))
    assert (found.severity, found.standing, found.cause) == ("warning", "suspicion", "label_corruption")
    assert found.evidence[0].value == "2.31"
    assert found.excluded[0].cause == "the network"
    parts = [
        Reading(f"probe.permute_labels.{part}", value, low=value - 0.02, high=value + 0.02, count=5)
        for part, value in (("plain", 0.01), ("changed", 0.01), ("difference", 0.0))
    ]
    assert lr03_nothing_learnable.judge(unlearnable(*parts))[0].counts


def test_what_was_learned_is_learnable():
    assert lr03_nothing_learnable.judge(Readings([Reading("race.learnable", 1.0)])) == []
    better = Reading("fit.validation_loss", 1.2, low=1.1, high=1.3)
    assert lr03_nothing_learnable.judge(unlearnable(better)) == []
    worse = Reading("fit.validation_loss", 2.6, low=2.5, high=2.7)
    assert len(lr03_nothing_learnable.judge(unlearnable(worse))) == 1

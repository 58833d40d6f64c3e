import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen01_overfitting


def run(validation, train, *, kept=None, rise=None, accuracy=None, constant=2.3, half=0.05, **more):
    """The readings of a training, one epoch of ten steps per loss."""
    kept = validation[-1] if kept is None else kept
    found = [
        *(Reading("validation.loss", value, step=10 * (k + 1), count=400) for k, value in enumerate(validation)),
        *(Reading("train.loss", value, step=10 * (k + 1)) for k, value in enumerate(train)),
        *(Reading("validation.accuracy", v, step=10 * (k + 1), count=400) for k, v in enumerate(accuracy or ())),
        Reading("fit.validation_loss", kept, step=99, low=kept - half, high=kept + half, count=400),
        Reading("fit.train_loss", train[-1], step=99),
        Reading("loss.constant", constant),
        *(Reading(name.replace("_", ".", 1), value) for name, value in more.items()),
    ]
    if rise:
        found.append(Reading("validation.rise", sum(rise) / 2, low=rise[0], high=rise[1], count=400))
    return Readings(found)


FALLING = [1.0, 0.5, 0.2, 0.1, 0.05]
BROKEN = run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0))
HEALTHY = run([1.2, 0.9, 0.5, 0.3], FALLING)


def test_a_rise_that_harms_the_last_weights_is_a_warning():
    (found,) = gen01_overfitting.judge(run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0)))
    assert (found.severity, found.standing, found.cause, found.step) == ("warning", "verified", "overfitting", 20)
    assert found.title == "Overfitting: the validation loss has risen since epoch 2 of 5"
    assert found.remedies[0].changes == {"keep": "best"}


def test_where_the_best_epoch_was_kept_it_is_a_note():
    (found,) = gen01_overfitting.judge(run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0), kept=0.9))
    assert (found.severity, found.counts) == ("note", False)


def test_without_the_paired_rise_the_interval_is_wider():
    assert gen01_overfitting.judge(run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, half=0.05))
    assert gen01_overfitting.judge(run([1.2, 0.9, 1.0, 1.05, 1.1], FALLING, half=0.2)) == []


def test_a_classifier_that_answers_as_well_as_before_is_not_harmed():
    steady = run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0), accuracy=[0.7, 0.85, 0.85, 0.84, 0.78])
    assert gen01_overfitting.judge(steady)[0].severity == "note"
    falling = run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0), accuracy=[0.7, 0.85, 0.75, 0.7, 0.72])
    assert gen01_overfitting.judge(falling)[0].severity == "warning"


@pytest.mark.parametrize(
    "readings",
    [
        run([1.2, 0.9, 0.5, 0.3, 0.2], FALLING),  # best at the end
        run([1.2, 0.9, 0.5, 0.9, 1.2], FALLING, rise=(0.5, 0.8)),  # two unlucky epochs
        run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(-0.1, 1.0)),  # not beyond chance
        run([1.2, 0.9, 1.3, 1.6, 1.8], [1.0, 0.5, 0.6, 0.8, 0.9], rise=(0.8, 1.0)),  # the training loss rises too
    ],
)
def test_what_is_no_overfitting(readings):
    assert gen01_overfitting.judge(readings) == []


def stopped(last, best, *, train=0.95, classes=10, twin=True):
    """A loss that rose, with what both networks answer right."""
    readings = run([1.2, 0.9, 1.3, 1.6, 1.8], FALLING, rise=(0.8, 1.0), task_classes=classes)
    readings.extend(
        [
            Reading("outcome.score", last, low=last - 0.03, high=last + 0.03),
            Reading("outcome.train_score", train, low=train - 0.02, high=train + 0.02),
        ]
    )
    if twin:
        parts = {"plain": last, "changed": best, "constant": 0.1, "steps": 0.4}
        readings.extend(Reading(f"twin.stop.{part}", v, note="accuracy") for part, v in parts.items())
        low, high = best - last - 0.03, best - last + 0.03
        readings.add(Reading("twin.stop.difference", best - last, low=low, high=high, count=400))
    return readings


def test_the_twin_that_stopped_decides():
    (found,) = gen01_overfitting.judge(stopped(0.5, 0.75))
    assert (found.severity, found.standing) == ("warning", "verified")
    assert gen01_overfitting.judge(stopped(0.74, 0.75))[0].severity == "note"


def test_a_rising_loss_of_classes_alone_is_no_alarm():
    (found,) = gen01_overfitting.judge(stopped(0.5, 0.0, twin=False))
    assert not found.counts
    (found,) = gen01_overfitting.judge(stopped(0.5, 0.0, twin=False, train=0.5))  # training rows are no better
    assert found.severity == "note"

import random

from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen03_loss_and_metric_disagree as gen03


def run(losses, metric, *, name="accuracy", chosen="loss", count=2000):
    """The readings of a training, one epoch of ten steps per value."""
    found = [Reading("validation.loss", v, step=10 * (k + 1), count=count) for k, v in enumerate(losses)]
    found += [Reading(f"validation.{name}", v, step=10 * (k + 1), count=count) for k, v in enumerate(metric)]
    return Readings([*found, Reading("best.epoch", 4, note=chosen)])


RISING_LOSS = [1.0, 0.7, 0.5, 0.42, 0.45, 0.5, 0.55, 0.61, 0.66, 0.7]
RISING_ACCURACY = [0.60, 0.70, 0.76, 0.80, 0.83, 0.85, 0.87, 0.88, 0.89, 0.90]
FALLING_LOSS = [1.0, 0.7, 0.5, 0.42, 0.38, 0.35, 0.33, 0.32, 0.31, 0.30]
BROKEN = run(RISING_LOSS, RISING_ACCURACY)
HEALTHY = run(FALLING_LOSS, RISING_ACCURACY)


def test_a_disagreement_is_a_note_with_what_each_would_have_kept():
    (found,) = gen03.judge(BROKEN)
    assert (found.severity, found.counts) == ("note", False)
    assert found.title == "Validation loss is best at epoch 4, accuracy at epoch 10 of 10"
    assert found.evidence[0].value == "0.42, 0.8"
    assert found.evidence[1].value == "0.7, 0.9"
    assert found.remedies[0].changes == {"selection": "accuracy"}


def test_where_the_metric_chose_the_loss_is_offered():
    (found,) = gen03.judge(run(RISING_LOSS, RISING_ACCURACY, chosen="accuracy"))
    assert found.remedies[0].changes == {"selection": "loss"}
    assert "chosen, by the accuracy" in found.why


def test_for_errors_less_is_better():
    errors = [1 - a for a in RISING_ACCURACY]
    (found,) = gen03.judge(run(RISING_LOSS, errors, name="rmse"))
    assert "rmse at epoch 10" in found.title
    assert not gen03.judge(run(FALLING_LOSS, errors, name="rmse"))


def test_few_rows_say_nothing_about_an_accuracy():
    barely = [0.60, 0.70, 0.76, 0.80, 0.80, 0.81, 0.80, 0.81, 0.80, 0.81]
    flat = [1.0, 0.7, 0.5, 0.42, 0.421, 0.42, 0.421, 0.42, 0.421, 0.422]
    assert not gen03.judge(run(flat, barely, count=100))


def test_too_few_epochs_an_unknown_metric_or_lost_numbers_are_not_judged():
    assert not gen03.judge(run(RISING_LOSS[1:], RISING_ACCURACY[1:]))
    assert not gen03.judge(run(RISING_LOSS, RISING_ACCURACY, name="mine"))
    assert not gen03.judge(run(RISING_LOSS, [float("nan"), *RISING_ACCURACY[1:]]))
    assert not gen03.judge(Readings([*BROKEN, Reading("nonfinite.step", 5)]))


def test_noise_around_a_plateau_is_hardly_ever_told():
    draw, told = random.Random(0), 0
    for _ in range(400):
        epochs = draw.choice([12, 30, 60])
        losses = [0.5 + 0.02 * draw.gauss(0, 1) for _ in range(epochs)]
        scores = [0.9 + 0.01 * draw.gauss(0, 1) for _ in range(epochs)]
        told += bool(gen03.judge(run(losses, scores, name="auc")))
    assert told <= 20  # of 400 healthy trainings, 5 %, although the noise is itself estimated on few epochs

import pytest

from thalweg.readings import Reading, Readings
from thalweg.rules.gen import gen02_underfitting


def run(validation, train, *, constant=2.3, **more):
    """The readings after a training with these losses of its kept weights."""
    return Readings(
        [
            Reading("fit.validation_loss", validation, step=99, low=validation - 0.05, high=validation + 0.05),
            Reading("fit.train_loss", train, step=99),
            Reading("loss.constant", constant),
            *(Reading(name.replace("_", ".", 1), value) for name, value in more.items()),
        ]
    )


BROKEN = run(2.28, 2.25, overfit_share=0.95)
HEALTHY = run(0.9, 0.8)


def test_hardly_better_than_a_constant_is_a_suspicion_of_underfitting():
    (found,) = gen02_underfitting.judge(run(2.28, 2.25, overfit_share=0.95))
    assert (found.severity, found.standing, found.cause) == ("warning", "suspicion", "underfitting")


@pytest.mark.parametrize(
    "readings",
    [
        run(0.9, 0.8),
        run(2.28, 2.25, overfit_share=0.02),  # it cannot learn anything: FIT01 tells that
        run(2.28, 2.25, nonfinite_step=3),
    ],
)
def test_what_is_no_underfitting(readings):
    assert gen02_underfitting.judge(readings) == []

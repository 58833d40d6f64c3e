import pytest
import torch

from thalweg.measure.stability import preconditioner, stability_limit
from thalweg.parts.optimizers import SGD, Adagrad, Adam, AdamW, NAdam, RMSprop

RATE = 0.05


def grows(optimizer, curvature):
    """Whether an optimizer's own rule leaves the minimum of a quadratic."""
    x = torch.ones((), dtype=torch.float64)
    state = optimizer.start(x)
    for step in range(1, 4000):
        change, state = optimizer.update(curvature * x, state, step, x)
        x = x + change
        if not x.abs() < 1e6:
            return True
    return bool(x.abs() > 1)


@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(lr=RATE),
        SGD(lr=RATE, momentum=0.9),
        SGD(lr=RATE, momentum=0.9, nesterov=True),
        SGD(lr=RATE, momentum=0.8, dampening=0.5),
    ],
    ids=["plain", "momentum", "nesterov", "dampening"],
)
def test_steps_grow_above_the_limit_and_shrink_below(optimizer):
    limit = stability_limit(optimizer, RATE)
    assert grows(optimizer, 1.01 * limit)
    assert not grows(optimizer, 0.99 * limit)


@pytest.mark.parametrize(
    ("optimizer", "published"),
    [
        (Adam(lr=RATE, betas=(0.9, 1 - 1e-9)), 38),
        (AdamW(lr=RATE, betas=(0.9, 1 - 1e-9), weight_decay=0.0), 38),
        (RMSprop(lr=RATE, alpha=1 - 1e-9, momentum=0.5), 3),
    ],
)
def test_where_the_mean_of_squares_stands_still_adaptive_steps_have_the_published_limit(optimizer, published):
    limit = stability_limit(optimizer, RATE)
    assert limit == pytest.approx(published / RATE)
    for curvature, alarm in ((1.01 * limit, True), (0.99 * limit, False)):
        x = torch.ones((), dtype=torch.float64)
        slots = optimizer.start(x)
        for name in ("exp_avg_sq", "square_avg"):
            slots |= {name: torch.ones_like(x)} if name in slots else {}
        for step in range(10**11, 10**11 + 3000):  # so late that no correction is left
            change, slots = optimizer.update(1e-3 * curvature * x, slots, step, x)
            x = x + 1e3 * change  # a minimum so flat that its squares do not count at first
            if x.abs() > 30:
                break
        assert (abs(float(x)) > 1) is alarm


def test_the_rate_of_the_moment_counts_and_other_optimizers_have_no_limit():
    assert stability_limit(SGD(lr=1.0, momentum=0.5), 0.1) == pytest.approx(30)
    assert stability_limit(RMSprop(lr=1.0, momentum=0.5), 0.1) == pytest.approx(30)
    assert stability_limit(SGD(lr=1.0), 0.0) is None
    short = Adam(lr=0.1, betas=(0.9, 0.9)), RMSprop(lr=0.1, alpha=0.9)
    for other in (NAdam(lr=0.1), Adagrad(lr=0.1), RMSprop(lr=0.1, centered=True), *short):
        assert stability_limit(other, 0.1) is None


def test_the_preconditioner_is_what_adam_divides_by():
    optimizer = Adam(lr=RATE)
    p, gradient = torch.tensor([1.0, 2.0]), torch.tensor([0.3, -4.0])
    slots = optimizer.start(p)
    for step in range(1, 6):
        change, slots = optimizer.update(gradient, slots, step, p)
    state = {f"{name}.0.weight": value for name, value in slots.items()}
    (scale,) = preconditioner(optimizer, state, 5).values()
    torch.testing.assert_close(change, -RATE * scale.square() * gradient)  # whose mean is the gradient itself
    assert preconditioner(SGD(lr=0.1), state, 5) is None
    assert preconditioner(optimizer, {}, 5) == {}

"""How long a training is, in updates, and whether its schedule fits into it."""

import math

from thalweg.data.feeder import Feeder
from thalweg.plan import Plan


def steps_per_epoch(plan: Plan, feeder: Feeder) -> int:
    """Updates: the last one of an epoch may be of fewer batches."""
    return math.ceil(len(feeder) / plan.accumulate)


def require_fitting_schedule(plan: Plan, feeder: Feeder) -> None:
    """Raises `UsageError` for a schedule that is longer than the training, or cycles a momentum that is not there."""
    assert plan.schedule != "auto"
    assert plan.optimizer != "auto"
    assert isinstance(plan.epochs, int)
    num_steps = plan.epochs * steps_per_epoch(plan, feeder)
    plan.schedule.check(num_steps)
    momentum = plan.schedule.momentum(0, num_steps)
    if momentum is not None:
        plan.optimizer.momentum_field(momentum)

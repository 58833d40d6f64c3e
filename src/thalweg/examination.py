"""The examinations of one training: before its first step, and when it is over. They see clones only."""

import math
import warnings
from dataclasses import replace

from torch import nn

from thalweg.augmenting import label_readings
from thalweg.data.noise import global_rng_kept
from thalweg.data.prepare import Prepared
from thalweg.doctor.before import outputs_of
from thalweg.doctor.bench import Bench, bench
from thalweg.doctor.case import Case
from thalweg.doctor.check import Check, check
from thalweg.doctor.data import describe_data
from thalweg.doctor.examinations import examine
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.readings import Reading, Readings
from thalweg.setup import Setup
from thalweg.train.clone import clone
from thalweg.train.loop import Training
from thalweg.train.losses import LossFunction


def run_check(
    setup: Setup, prepared: Prepared, loss: LossFunction, loss_name: str | None, *, probes: bool = True
) -> Check:
    """The check of what `setup` holds; nothing in it changes."""
    plan = setup.plan
    assert isinstance(plan.batch_size, int)
    assert isinstance(plan.seed, int)
    assert plan.optimizer != "auto"
    return check(
        setup.network,
        loss,
        loss_name=loss_name,
        task=prepared.task,
        rows=prepared.train,
        transform=setup.transform,
        target_transform=setup.target_scaling,
        optimizer=None if plan.optimizer.lr == "auto" else plan.optimizer,
        seed=plan.seed,
        device=setup.device,
        probes=probes,
        batch_size=plan.batch_size,
        validation=prepared.validation,
        num_steps=num_steps_of(plan, len(prepared.train)),
        gentle=is_gentle(plan, len(prepared.train)),
        known=[
            *prepared.readings,
            *describe_data(prepared, batch_size=plan.batch_size, workers=workers_of(plan)),
            *label_readings(prepared, setup.augment, plan.seed),
        ],
    )


def workers_of(plan: Plan) -> int:
    """Processes that read; none where they are not chosen yet."""
    return plan.workers if isinstance(plan.workers, int) else 0


def num_steps_of(plan: Plan, num_rows: int) -> int:
    """Updates that a resolved plan asks for."""
    assert isinstance(plan.epochs, int)
    assert isinstance(plan.batch_size, int)
    return plan.epochs * math.ceil(num_rows / (plan.batch_size * plan.accumulate))


def plan_readings(plan: Plan, num_rows: int) -> list[Reading]:
    """What the rules about the rate know of a resolved plan."""
    assert plan.optimizer != "auto"
    assert plan.optimizer.lr != "auto"
    assert plan.schedule != "auto"
    num_steps = num_steps_of(plan, num_rows)
    return [
        Reading("plan.rate", plan.optimizer.lr),
        Reading("plan.steps", num_steps),
        Reading("plan.warmup_steps", plan.schedule.warmup_steps(num_steps)),
        Reading("data.train_rows", num_rows),
    ]


def is_gentle(plan: Plan, num_rows: int) -> bool:
    """Whether a warm-up or clipping shortens the first steps, or may do so where it is left open."""
    if plan.schedule == "auto" or (plan.clip_norm, plan.clip_value, plan.clip_adaptive) != (None, None, None):
        return True
    return plan.schedule.warmup_steps(num_steps_of(plan, num_rows)) > 0


def examine_training(case: Case, readings: Readings) -> list[Reading]:
    """Experiments on clones, now that the outcome is known; nothing of the run is touched.

    Args:
        case: the training that is over.
        readings: what is known so far.
    """
    with global_rng_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return examine(case, readings)


def case_of(
    untrained: nn.Module,
    last: nn.Module,
    training: Training,
    setup: Setup,
    prepared: Prepared,
    *,
    plan: Plan,
    seconds: float,
) -> Case:
    """What experiments after a training start from.

    Args:
        untrained: the network before the first step.
        last: the network after the last step, as it is validated.
        training: as it ended.
        setup: what it stood on.
        prepared: the data.
        plan: resolved.
        seconds: what they may spend together.
    """
    budget = Budget(seconds)
    with global_rng_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = bench_of(untrained, training.job.loss, setup, prepared, plan=plan, budget=budget)
    return Case(
        bench=start,
        last=last,
        kept=clone(setup.network),
        optimizer_state={name: value.clone() for name, value in training.stepper.state_dict().items()},
        plan=plan,
        num_steps=training.num_steps,
        steps=training.step,
        train=training.job.train,
        validation=training.job.validation,
        seconds=training.seconds,
        budget=budget,
        rebuild=setup.rebuild,
    )


def bench_of(
    network: nn.Module, loss: LossFunction, setup: Setup, prepared: Prepared, *, plan: Plan, budget: Budget
) -> Bench:
    """The start of a training with a sample of its rows."""
    assert isinstance(plan.batch_size, int)
    assert isinstance(plan.seed, int)
    assert plan.optimizer != "auto"
    start = bench(
        network,
        loss,
        task=prepared.task,
        rows=prepared.train,
        validation=prepared.validation,
        transform=setup.transform,
        target_transform=setup.target_scaling,
        optimizer=plan.optimizer,
        batch_size=plan.batch_size,
        seed=plan.seed,
        device=setup.device,
        budget=budget,
    )
    return replace(start, head=outputs_of(start)[1])

"""Cheap signs in the readings of a training: what its rate, decay, dropout, clipping and length may have cost it."""

from dataclasses import dataclass
from math import isfinite, sqrt
from statistics import fmean, median, stdev

from torch import nn

from thalweg.doctor.case import Case
from thalweg.measure.decay import decay_pull
from thalweg.measure.untouched import untouched
from thalweg.parts.optimizers import SGD, Adagrad, Adam, NAdam, RAdam, RMSprop
from thalweg.parts.regularizers.recognize import noises
from thalweg.probes.twin import windows
from thalweg.readings import Reading, Readings
from thalweg.rules.lr.race import raced
from thalweg.train.clone import clone
from thalweg.train.step import stepper_of, undecayed

PART = 5  # the curve's last fifth is compared with the one before
LATE = 0.01  # of the peak: a rate below it hardly moves anything any more
SMALL_UPDATE = 1e-4  # update by weight, median over layers and steps: a tenth of the usual thousandth
COUPLED = (SGD, Adam, Adagrad, NAdam, RAdam, RMSprop)  # whose decay is a part of the gradient
DECAY_ROWS = 512  # that the loss's gradient is taken over


@dataclass(frozen=True)
class Signs:
    """What speaks for a remedy before it is tried.

    Args:
        plan_rate: the plan's peak rate.
        raced_rate: the race's best rate; None without a race of a given rate.
        at_edge: whether that is the last rate of the race, which went no further for want of time.
        too_high: the race says that the plan's rate is above the good ones.
        too_low: or below.
        falling: whether the training loss still fell at the end, beyond two standard errors.
        risen: whether it ended above its start.
        small_updates: whether weights hardly moved.
        late: share of the steps at less than a hundredth of the peak rate.
        clipped: share of the watched steps whose gradient was clipped.
        dropout: largest probability of dropout in the network.
        num_dropouts: how many modules drop something.
        balance: `decay.balance` at the end.
    """

    plan_rate: float
    raced_rate: float | None
    at_edge: bool
    too_high: bool
    too_low: bool
    falling: bool
    risen: bool
    small_updates: bool
    late: float
    clipped: float
    dropout: float
    num_dropouts: int
    balance: float


def describe(case: Case, readings: Readings) -> list[Reading]:
    """Readings of dropout, clipping, schedule and decay."""
    return [
        *describe_dropout(case.start),
        *describe_clipping(case, readings),
        *describe_schedule(case),
        *describe_decay(case),
    ]


def signs_of(case: Case, readings: Readings) -> Signs:
    """The signs in the readings of a training, those of `describe` included."""
    plan = case.plan
    assert plan.optimizer != "auto"
    assert plan.optimizer.lr != "auto"
    race = raced(readings)
    losses = [r.value for r in readings.of("train.batch_loss") if isfinite(r.value)]
    ratios = [r.value for r in readings.of("update.ratio", "") if isfinite(r.value)]
    return Signs(
        plan_rate=float(plan.optimizer.lr),
        raced_rate=None if race is None else race.rate.value,
        at_edge=race is not None and race.at_edge,
        too_high=race is not None and race.too_high,
        too_low=race is not None and race.too_low,
        falling=still_falls(losses),
        risen=len(losses) > PART and fmean(losses[-len(losses) // PART :]) > losses[0],
        small_updates=bool(ratios) and median(ratios) < SMALL_UPDATE,
        late=readings.value("schedule.late") or 0.0,
        clipped=readings.value("clipping.share") or 0.0,
        dropout=max((r.value for r in readings.of("dropout.p")), default=0.0),
        num_dropouts=len(readings.of("dropout.p")),
        balance=readings.value("decay.balance") or 0.0,
    )


def still_falls(losses: list[float]) -> bool:
    """Whether the last fifth of a curve lies below the fifth before it by two standard errors and more than 1 %.

    >>> still_falls([1.0 / k for k in range(1, 40)]), still_falls([1.0, 0.9, 1.1, 1.0] * 10)
    (True, False)
    """
    size = len(losses) // PART
    if size < 2:
        return len(losses) > 2 and losses[-1] < 0.99 * losses[-2]
    before, last = losses[-2 * size : -size], losses[-size:]
    gain = fmean(before) - fmean(last)
    error = sqrt((stdev(before) ** 2 + stdev(last) ** 2) / size)
    return gain > 2 * error and gain > 0.01 * abs(fmean(before))


def describe_dropout(network: nn.Module) -> list[Reading]:
    """`dropout.p` of each module that drops something."""
    return [Reading("dropout.p", noise.p, noise.place, note=noise.what) for noise in noises(network) if noise.p > 0]


def describe_clipping(case: Case, readings: Readings) -> list[Reading]:
    """`clipping.share` of the watched steps whose gradient's norm was above the plan's limit."""
    limit = case.plan.clip_norm
    norms = [r.value for r in readings.of("gradient.norm", "") if isfinite(r.value)]
    if limit is None or limit == "auto" or not norms:
        return []
    share = sum(norm > limit for norm in norms) / len(norms)
    return [Reading("clipping.share", share, step=case.steps, count=len(norms), note=f"{median(norms) / limit:.3g}")]


def describe_schedule(case: Case) -> list[Reading]:
    """`schedule.late`: the share of the steps at less than a hundredth of the highest rate."""
    schedule = case.plan.schedule
    assert schedule != "auto"
    length = max(case.num_steps, 1)
    every = max(length // 1000, 1)
    factors = [schedule.factor(step, length) for step in range(0, max(case.steps, 1), every)]
    peak = max(factors)
    return [Reading("schedule.late", sum(f < LATE * peak for f in factors) / len(factors), step=case.steps)]


def describe_decay(case: Case) -> list[Reading]:
    """`decay.ratio` and `decay.balance` of the last weights, by the gradient over some batches."""
    plan = case.plan
    assert plan.optimizer != "auto"
    coupled = plan.optimizer.weight_decay if isinstance(plan.optimizer, COUPLED) else 0.0
    if not coupled and plan.regularizer is None:
        return []
    size = max(1, DECAY_ROWS // (case.train.batch_size * plan.accumulate))
    if not case.budget.affords(2 * size * case.step_seconds):
        return []
    network = clone(case.last).train()
    step = stepper_of(plan, network, case.bench.loss)
    window = next(windows(case.train, size * plan.accumulate))
    with untouched(network, training=True):
        _, gradients = step.loss_and_gradients(window, step=0)
    spared = set() if plan.decay_all else undecayed(network)
    kept = [k for k, p in enumerate(step.parameters) if id(p) not in spared]
    return decay_pull(
        [step.parameters[k] for k in kept],
        [gradients[k] for k in kept],
        weight_decay=coupled,
        regularizer=plan.regularizer,
        step=case.steps,
    )

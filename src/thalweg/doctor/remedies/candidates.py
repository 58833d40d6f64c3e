"""Which remedies are worth a twin, in the order of suspicion, and the training with each of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import log10
from typing import Any

from torch import nn

from thalweg.doctor.case import Case
from thalweg.doctor.remedies.signs import Signs
from thalweg.parts.optimizers import Adam, AdamW, NAdam, RAdam
from thalweg.parts.regularizers.recognize import noises
from thalweg.parts.schedules import Constant
from thalweg.probes.twin import Twin
from thalweg.train.clone import clone

FACTORS = (10.0, 100.0)  # times or by the plan's rate, where no race names a better one
SAME = 0.4  # decades: two rates as close as that are not told apart
ADAM = (Adam, AdamW, NAdam, RAdam)
STANDARD_RATE = 1e-3  # of Adam
STANDARD_EPSILON = 1e-8
EPSILONS = (1e-12, 1e-4)  # below, it is lost beside any gradient that float32 can square; above, it sets the step
STANDARD_MOMENTUM, MOMENTUM = 0.9, 0.97  # above it a step is felt for more than thirty others
CLIPS_ALWAYS = 0.9  # of the watched steps
MUCH_DROPOUT, MOST_DROPOUT, MANY = 0.3, 0.8, 4
STRONG_DECAY = 1e-2
LEAST_RATE = 0.1  # of the peak, at which a training goes on
LATE_SHARE = 0.3  # of the steps at hardly any rate
ODD = 3.0  # suspicion of an epsilon that nobody sets on purpose for a rate of the usual size
LONGER = 3  # times the epochs, of the plan that trains longer
SIGNED = 1.5  # suspicion from which a remedy is tried though the result is not poor


@dataclass(frozen=True)
class Candidate:
    """A remedy to be tried.

    Args:
        name: of its family: `"lower_rate"`.
        setting: the number that it sets: the rate, the factor of decay, the largest probability of dropout before.
        twin: the training with it.
        suspicion: how much speaks for it; the order in which time is spent.
        plan: fields of a plan that does the same.
    """

    name: str
    setting: float
    twin: Twin
    suspicion: float
    plan: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_plan(cls, name: str, setting: float, plain: Twin, suspicion: float, **plan: Any) -> "Candidate":
        """A remedy that is a change of the plan and nothing else."""
        return cls(name, setting, plain.with_plan(**plan), suspicion, plan)


def candidates(case: Case, signs: Signs, *, poor: bool) -> list[Candidate]:
    """The remedies, most suspected first; where the result is not poor only those that a sign asks for."""
    plain = case.twin
    found = [
        *rates(plain, signs, poor=poor),
        *noise_and_decay(case, plain, signs, poor=poor),
        *constants(plain, poor=poor),
        *course(case, plain, signs, poor=poor),
    ]
    chosen = [c for c in found if c.suspicion >= (0.1 if poor else SIGNED)]
    return sorted(chosen, key=lambda c: -c.suspicion)


def rates(plain: Twin, signs: Signs, *, poor: bool) -> list[Candidate]:
    """Lower and higher rates: the race's where it names one, and steps of ten."""
    own, found = signs.plan_rate, []
    far = 5.0 if poor else 2.5  # what the race says; a training that does well may have a rate far from the race's
    lower = far * signs.too_high + 2.0 * signs.risen + 1.0 * poor - 1.0 * signs.too_low - 0.5 * signs.falling
    higher = far * signs.too_low + 1.5 * (signs.falling and poor) + 1.0 * signs.small_updates
    higher += 0.8 * poor - 1.0 * signs.too_high
    for name, suspicion, sign in (("lower_rate", lower, -1), ("higher_rate", higher, 1)):
        wanted = [own * factor**sign for factor in FACTORS]
        if signs.raced_rate is not None and sign * log10(signs.raced_rate / own) > SAME:
            beyond = [FACTORS[0] ** sign * signs.raced_rate] if signs.at_edge and poor else []
            known = [signs.raced_rate, *beyond]
            wanted = known + [r for r in wanted if all(abs(log10(r / k)) > SAME for k in known)]
        for place, rate in enumerate(wanted):
            found.append(Candidate.of_plan(name, rate, plain, suspicion - 0.3 * place, **{"optimizer.lr": rate}))
    return found


def noise_and_decay(case: Case, plain: Twin, signs: Signs, *, poor: bool) -> list[Candidate]:
    """Without dropout; without decay and regularizer."""
    found, plan = [], case.plan
    assert plan.optimizer != "auto"
    if signs.num_dropouts:
        strong = signs.dropout >= MOST_DROPOUT
        much = signs.dropout >= MUCH_DROPOUT or signs.num_dropouts >= MANY
        suspicion = 4.0 * strong + 1.5 * much + 0.5 * poor
        still = replace(plain, network=without_noise(case.start))
        found.append(Candidate("no_dropout", signs.dropout, still, suspicion, {"dropout": 0.0}))
    decay = plan.optimizer.weight_decay
    if decay or plan.regularizer is not None:
        strong = decay >= STRONG_DECAY or plan.regularizer is not None
        suspicion = 4.0 * min(max(signs.balance, 0.0), 1.0) + 1.0 * strong + 0.4 * poor
        changes = {"optimizer.weight_decay": 0.0, "regularizer": None}
        found.append(Candidate.of_plan("no_decay", decay, plain, suspicion, **changes))
    return found


def without_noise(network: nn.Module) -> nn.Module:
    """A clone that drops nothing."""
    quiet = clone(network)
    for noise in noises(quiet):
        setattr(noise.module, noise.attribute, type(getattr(noise.module, noise.attribute))(0))
    return quiet


def constants(plain: Twin, *, poor: bool) -> list[Candidate]:
    """Odd constants of the optimizer at their standard values; Adam in the place of another optimizer."""
    optimizer, found = plain.plan.optimizer, []
    assert optimizer != "auto"
    epsilon = getattr(optimizer, "eps", None)
    if isinstance(epsilon, float | int) and not EPSILONS[0] <= epsilon <= EPSILONS[1]:
        changes: dict[str, Any] = {"optimizer.eps": STANDARD_EPSILON}
        found.append(Candidate.of_plan("epsilon", STANDARD_EPSILON, plain, ODD, **changes))
    momentum, betas = getattr(optimizer, "momentum", None), getattr(optimizer, "betas", None)
    if isinstance(momentum, float) and momentum > MOMENTUM:
        changes = {"optimizer.momentum": STANDARD_MOMENTUM}
        found.append(Candidate.of_plan("momentum", STANDARD_MOMENTUM, plain, 2.0, **changes))
    elif isinstance(betas, tuple) and betas[0] > MOMENTUM:
        changes = {"optimizer.betas": (STANDARD_MOMENTUM, betas[1])}
        found.append(Candidate.of_plan("momentum", STANDARD_MOMENTUM, plain, 2.0, **changes))
    if not isinstance(optimizer, ADAM):
        adam = Adam(lr=STANDARD_RATE, weight_decay=optimizer.weight_decay)
        found.append(Candidate.of_plan("adam", STANDARD_RATE, plain, 0.4 * poor, optimizer=adam))
    return found


def course(case: Case, plain: Twin, signs: Signs, *, poor: bool) -> list[Candidate]:
    """Without clipping; without the fall of the rate; for longer."""
    found, plan = [], case.plan
    if plan.clip_norm is not None and signs.clipped > 0:
        suspicion = 1.5 * (signs.clipped >= CLIPS_ALWAYS) + 0.3 * poor
        found.append(Candidate.of_plan("no_clipping", 0.0, plain, suspicion, clip_norm=None))
    if signs.late >= LATE_SHARE:
        found.append(Candidate.of_plan("no_schedule", signs.late, plain, 3.0, schedule=Constant()))
    if signs.falling:
        assert isinstance(plan.epochs, int)
        on = longer(case, plain, signs)
        found.append(Candidate("longer", float(case.steps), on, 1.0 + 0.6 * poor, {"epochs": LONGER * plan.epochs}))
    return found


def longer(case: Case, plain: Twin, signs: Signs) -> Twin:
    """The training from its end on, at the last rate of its schedule, or at a tenth of the peak where that is lower."""
    schedule = case.plan.schedule
    assert schedule != "auto"
    last = schedule.factor(max(case.steps - 1, 0), max(case.num_steps, 1))
    rate = signs.plan_rate * max(last, LEAST_RATE)
    changed = plain.with_plan(**{"optimizer.lr": rate, "schedule": Constant()})
    return replace(changed, network=case.last, first_step=case.steps, state=case.optimizer_state)

"""Trainings once more from another start or with other activations, where the network's own did badly.

A start or an activation is a fault when the training reaches less than 0.8 of what its twin reaches that differs in
nothing else. Whether to ask is decided by what was measured; most trainings are asked nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from math import ceil, sqrt

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.doctor.case import Case
from thalweg.doctor.trials import rescaled
from thalweg.measure.hidden_calls import Hidden, hidden_calls
from thalweg.measure.saturation import saturation
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.swapped import swapped
from thalweg.probes.twin import Twin, score_of, train
from thalweg.readings import Reading, Readings
from thalweg.rules.act.act03_dying_units import partly_dead
from thalweg.rules.arch.arch02_hidden_softmax import NAME_OF_TWIN as SOFTMAX
from thalweg.rules.fit.fit01_overfit import vanishes
from thalweg.rules.harm import SHARE, harm
from thalweg.rules.signal import LET_THROUGH, RESCALE, odd_start

LOOKS = (0.25, 1.0)  # of the training's steps: a start that is much better is so after a quarter
ERRORS = 2.0  # standard errors of the validation rows beyond which a difference counts
OTHER_ORDER = 104729  # added to the seed for the control
SLOPE = 0.3  # of the leaky ReLU: Keras' default, large enough that 18 layers pass a gradient through
FLAT = frozenset({"sigmoid", "tanh", "hardsigmoid", "softsign", "softmax", "log_softmax"})
MOST_ROWS = 64  # for the pass that finds the calls


@dataclass(frozen=True)
class Question:
    """A remedy that the readings call for, and how its network is made; None where it does not apply."""

    name: str
    network: Callable[[], nn.Module | None]


def try_other_starts(case: Case, readings: Readings) -> list[Reading]:
    """Readings `twin.<name>.*` of the remedies asked: `hidden_softmax`, `let_through`, `rescale`, `leaky`."""
    asked = questions(case, readings)
    if not asked or not case.budget.affords(LOOKS[0] * case.steps * case.step_seconds):
        return []
    plain = twin_of(case, case.start)
    reached = [s for s in (score_of(plain, case.last), score_of(plain, case.kept)) if s is not None]
    if not reached or content(max(reached, key=value_of)):
        return []
    own = max(reached, key=value_of)
    found: list[Reading] = []
    for question in asked:
        network = question.network()
        if network is not None:
            found += restart(question.name, own, plain, replace(plain, network=network), case=case)
    return found


def saturation_at_the_end(case: Case, _known: Readings) -> list[Reading]:
    """`units.saturated` with the weights that the training ended with."""
    bench = case.bench
    if not case.budget.affords(2 * bench.row_seconds * len(bench.target)):
        return []
    return saturation(case.last, bench.inputs, step=case.steps)


def value_of(score: Score) -> float:
    return score.value


def content(own: Score) -> bool:
    """Whether not even a training without any error would show harm."""
    return own.value - own.constant >= SHARE * (1 - own.constant)


def twin_of(case: Case, network: nn.Module) -> Twin:
    bench = case.bench
    return Twin(network, bench.loss, case.plan, case.num_steps, case.train, case.validation, bench.task, bench.head)


def questions(case: Case, readings: Readings) -> list[Question]:
    """The remedies that the readings call for, the most telling first."""
    bench = case.bench
    known: list[Hidden] = []

    def hidden() -> Hidden:
        if not known:
            known.append(hidden_calls(bench.network, bench.first(MOST_ROWS)[0]))
        return known[0]

    def without_softmax() -> nn.Module | None:
        return swapped(bench.network, hidden(), frozenset({"softmax", "log_softmax"}), torch.relu)

    def let_through() -> nn.Module | None:
        changed = swapped(bench.network, hidden(), FLAT, torch.relu)
        return None if changed is None else rescaled(changed, bench.inputs)

    def leaky() -> nn.Module | None:
        return swapped(bench.network, hidden(), frozenset({"relu", "relu6"}), leaky_relu)

    def rescale() -> nn.Module:
        return rescaled(bench.network, bench.inputs)

    wanted: Iterable[tuple[bool, str, Callable[[], nn.Module | None]]] = (
        ("softmax.hidden" in readings, SOFTMAX, without_softmax),
        (vanishes(readings), LET_THROUGH, let_through),
        (odd_start(readings), RESCALE, rescale),
        (bool(partly_dead(readings)), "leaky", leaky),
    )
    return [Question(name, make) for is_asked, name, make in wanted if is_asked]


def leaky_relu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, SLOPE)


def restart(name: str, own: Score, plain: Twin, changed: Twin, *, case: Case) -> list[Reading]:
    """Trains the twin for a quarter of the steps, and, where that shows no harm, for all of them.

    Where it does show harm, a control: the training as it was, in another order of rows. Readings as `harm` reads
    them. The twin's shorter training only makes the verdict milder.
    """
    found: list[Reading] = []
    seconds = case.step_seconds
    for share in LOOKS:
        steps = max(ceil(share * case.steps), 1)
        if not case.budget.affords(steps * seconds):
            break
        before = case.budget.spent
        network, done = train(changed, steps=steps, budget=case.budget)
        seconds = (case.budget.spent - before) / max(done, 1)
        other = score_of(changed, network)
        if other is None or other.name != own.name or len(other.each) != len(own.each):
            break
        found = compared(name, own, other, done=done, steps=case.steps)
        shown = harm(Readings(found), name)
        if shown is not None and shown.harmed:
            return found + control(name, own, plain, case.budget, done=done, seconds=seconds)
    return found


def compared(name: str, own: Score, other: Score, *, done: int, steps: int) -> list[Reading]:
    """The readings of a training and its twin, paired over the rows."""
    difference = other.each - own.each
    half = ERRORS * float(difference.std()) / sqrt(len(difference))
    mean, count = float(difference.mean()), len(difference)
    return [
        Reading(f"twin.{name}.plain", own.value, note=own.name, count=count),
        Reading(f"twin.{name}.changed", other.value, note=own.name, count=count),
        Reading(f"twin.{name}.constant", own.constant, note=own.name, count=count),
        Reading(f"twin.{name}.difference", mean, low=mean - half, high=mean + half, count=count),
        Reading(f"twin.{name}.steps", done / max(steps, 1), count=done),
    ]


def control(name: str, own: Score, plain: Twin, budget: Budget, *, done: int, seconds: float) -> list[Reading]:
    """What the training reaches in another order of rows, where the budget allows it."""
    if not budget.affords(done * seconds):
        return []
    assert isinstance(plain.plan.seed, int)
    again = plain.with_seed(plain.plan.seed + OTHER_ORDER)
    reached = score_of(again, train(again, steps=done, budget=budget)[0])
    return [] if reached is None else [Reading(f"twin.{name}.control", reached.value, note=own.name)]

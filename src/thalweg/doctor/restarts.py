"""Trainings once more from another start or with other activations, where the network's own did badly.

A start or an activation is a fault when the training reaches less than 0.8 of what its twin reaches that differs in
nothing else. Whether to ask is decided by what was measured; most trainings are asked nothing.
"""

from dataclasses import replace
from math import ceil

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.doctor.case import Case
from thalweg.doctor.trials import rescaled
from thalweg.measure.hidden_calls import Hidden, hidden_calls
from thalweg.measure.representation import last_rank, untouched_rows
from thalweg.measure.saturation import saturation
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.harm import OTHER_ORDER, compared, enough
from thalweg.probes.swapped import swapped
from thalweg.probes.twin import Lane, Twin, score_of, train
from thalweg.readings import Reading, Readings
from thalweg.rules.act.act03_dying_units import LEAKY, partly_dead
from thalweg.rules.arch.arch02_hidden_softmax import NAME_OF_TWIN as SOFTMAX
from thalweg.rules.fit.fit01_overfit import vanishes
from thalweg.rules.harm import harm
from thalweg.rules.loss.loss01_initial_loss import far_above
from thalweg.rules.signal import LET_THROUGH, RESCALE, explodes, saturated

LOOKS = (0.1, 0.25, 0.5, 1.0)  # of the training's steps: a start that is much better shows it early
WARM = 2  # steps that tell what one costs in this thread's time; the training's own clock ran on a busy machine
CONTROL = 0.5  # of the time left, which the control may take
LEAST_SECONDS = 0.1  # below it nothing is begun
SLOPE = 0.3  # of the leaky ReLU: Keras' default, large enough that 18 layers pass a gradient through
SOFT, DYING = frozenset({"softmax", "log_softmax"}), frozenset({"relu", "relu6"})
FLAT = SOFT | {"sigmoid", "tanh", "hardsigmoid", "softsign"}
MOST_ROWS = 64  # for the pass that finds the calls


def try_other_starts(case: Case, readings: Readings) -> list[Reading]:
    """Readings `twin.<name>.*` of remedies that few trainings are asked: `hidden_softmax`, `let_through`, `rescale`."""
    odd = vanishes(readings) or explodes(readings) or far_above(readings)
    asked = {SOFTMAX: "softmax.hidden" in readings, LET_THROUGH: vanishes(readings), RESCALE: odd}
    return tried(case, [name for name, is_asked in asked.items() if is_asked])


def try_other_activations(case: Case, readings: Readings) -> list[Reading]:
    """The same of `rescale` where the start was saturated, and of `leaky` where ReLU units died.

    Not where another twin has shown harm already, or plain learners answer the same rows no better: what is saturated
    or dead has then cost little.
    """
    gain = readings.value("reference.gain")
    told = any((found := harm(readings, name)) is not None and found.harmed for name in (SOFTMAX, LET_THROUGH, RESCALE))
    if told or (gain is not None and gain <= 0):
        return []
    flat = bool(saturated(readings, start=True)) and harm(readings, RESCALE) is None
    asked = {RESCALE: flat, LEAKY: bool(partly_dead(readings))}
    return tried(case, [name for name, is_asked in asked.items() if is_asked])


def tried(case: Case, asked: list[str]) -> list[Reading]:
    """The twins with these remedies; none where the training did so well that no twin could show harm."""
    if not asked or not case.budget.affords(LEAST_SECONDS):
        return []
    plain, own = case.twin, case.reached
    if own is None or enough(own):
        return []
    found: list[Reading] = []
    looks = 0
    told = ""  # the remedy that showed harm; after it only rescaled weights are tried, to tell scale from activation
    hidden = hidden_calls(case.start, case.bench.first(MOST_ROWS)[0])
    for name in asked:
        network = changed(name, case, hidden) if not told or (told, name) == (LET_THROUGH, RESCALE) else None
        if network is not None:
            found += restart(name, own, plain, replace(plain, network=network), case=case, before=looks)
            looks = max([looks, *(int(r.value) for r in found if r.name.endswith(".tries"))])
            shown = harm(Readings(found), name)
            told = name if shown is not None and shown.harmed else told
    return found


def changed(name: str, case: Case, hidden: Hidden) -> nn.Module | None:
    """The start with one remedy; None where it does not apply."""
    bench = case.bench
    if name == SOFTMAX:
        return swapped(bench.network, hidden, SOFT, F.elu)
    if name == LEAKY:
        return swapped(bench.network, hidden, DYING, leaky_relu)
    if name == RESCALE:
        return rescaled(bench.network, bench.inputs)
    network = swapped(bench.network, hidden, FLAT, torch.relu)
    return None if network is None else rescaled(network, bench.inputs)


def look_at_the_end(case: Case, _known: Readings) -> list[Reading]:
    """`units.saturated`, `representation.rank` and `embedding.unused` with the weights that the training ended with."""
    bench = case.bench
    found = untouched_rows(case.start, case.last, step=case.steps)
    if case.budget.affords(4 * bench.row_seconds * len(bench.target)):
        found += saturation(case.last, bench.inputs, step=case.steps)
        found += last_rank(case.last, bench.inputs, step=case.steps)
    return found


def leaky_relu(x: torch.Tensor) -> torch.Tensor:
    return F.leaky_relu(x, SLOPE)


def restart(name: str, own: Score, plain: Twin, remedied: Twin, *, case: Case, before: int = 0) -> list[Reading]:
    """Trains the twin until it shows harm, looking at shares of the steps, and at all of them.

    Where it does, a control: the training as it was, in another order of rows, for as many steps or more. Readings as
    `rules.harm` reads them. A twin that stopped early only makes the verdict milder. Where `before` scores of other
    twins were looked at, chance had so many more occasions.
    """
    found: list[Reading] = []
    again: list[Reading] = []
    lane = Lane(remedied)
    lane.advance(min(WARM, case.steps), budget=case.budget)
    seconds = lane.seconds / max(lane.done, 1)
    for look, share in enumerate(LOOKS, start=before + 1):
        steps = max(ceil(share * case.steps), 1) - lane.done
        if steps <= 0:
            continue
        if not case.budget.affords(steps * seconds):
            break
        lane.advance(steps, budget=case.budget)
        seconds = lane.seconds / max(lane.done, 1)
        other = None if lane.lost else lane.score()
        if other is None or other.name != own.name or len(other.each) != len(own.each):
            break
        found = [
            *compared(name, own, other.each - own.each, other.value, lane.done / max(case.steps, 1), tries=look),
            *again,
        ]
        if is_harmed(found, name) and not again:
            most = min(case.steps, int(CONTROL * case.budget.left / seconds))
            again = control(name, own, plain, case.budget, steps=max(most, lane.done), seconds=seconds)
            found += again
        if is_harmed(found, name):  # a training that does as well in another order may still be left behind later
            return found
    return found


def is_harmed(found: list[Reading], name: str) -> bool:
    shown = harm(Readings(found), name)
    return shown is not None and shown.harmed


def control(name: str, own: Score, plain: Twin, budget: Budget, *, steps: int, seconds: float) -> list[Reading]:
    """What the training reaches in another order of rows, where the budget allows it."""
    if not budget.affords(steps * seconds):
        return []
    assert isinstance(plain.plan.seed, int)
    again = plain.with_seed(plain.plan.seed + OTHER_ORDER)
    reached = score_of(again, train(again, steps=steps, budget=budget)[0])
    return [] if reached is None else [Reading(f"twin.{name}.control", reached.value, note=own.name)]

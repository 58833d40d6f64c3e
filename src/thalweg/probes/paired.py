"""A paired probe: two variants of a training on clones, same rows, same order, same noise; only the remedy differs."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call, num_rows, take
from thalweg.data.seeds import mix
from thalweg.measure.score import Score
from thalweg.parts.optimizers import Adam, Optimizer
from thalweg.probes.overfit import removed, without_dropout
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

RATES = (1e-3, 1e-2, 1e-1)  # of Adam, each variant at its best one, where no rate is given
SEEDS, FEWEST = 5, 3
LEAST_STEPS = 40  # below it even a good training has hardly begun
SCORED = "score"  # note of the readings that are shares of a score
ALIKE = 1e-5  # of the largest output: a hundred roundings of float32
STUDENT = {3: 4.303, 4: 3.182, 5: 2.776}  # 97.5 % points of Student's t by the number of seeds

Measure = Callable[[object, Tensor], Score | None]


@dataclass(frozen=True)
class Variant:
    """One side of the comparison: a network (cloned for each training) and the rows as it gets them.

    Args:
        constant: loss of the best constant answer on these targets.
        floor: lowest loss that any answer reaches.
    """

    network: nn.Module
    inputs: Inputs
    target: Tensor
    constant: float
    floor: float


@dataclass(frozen=True)
class Outcome:
    """How a short training ended: its score, and whether more steps of the same kind could not mend it."""

    value: float
    lost: bool


def score(
    variant: Variant,
    loss: LossFunction,
    optimizer: Optimizer,
    rate: float,
    *,
    steps: int,
    batch: int,
    held: float,
    seed: int,
    measure: Measure | None = None,
) -> Outcome:
    """The share of the learnable loss that a short training removed, -1 at least, also where it diverged.

    With a measure: the share of what its score has beyond a constant answer, from 0 to 1. A training is lost whose
    loss is not finite or has risen above its start, or that answers all rows alike.
    """
    step_on = Step(network := without_dropout(clone(variant.network)), loss, optimizer, seed=seed)
    order = torch.randperm(num_rows(variant.inputs), generator=torch.Generator().manual_seed(mix(seed, 1)))
    apart = int(held * len(order))
    trained, judged = order[apart:], order[:apart] if apart else order
    draw = torch.Generator().manual_seed(mix(seed, 2))
    for step in range(steps):
        rows = trained[torch.randperm(len(trained), generator=draw)[:batch]].to(variant.target.device)
        step_on([(take(variant.inputs, rows), variant.target[rows])], step=step, rate=rate)
    rows = judged.to(variant.target.device)
    inputs, target = take(variant.inputs, rows), variant.target[rows]
    with torch.no_grad():
        output = call(network, inputs)
        value = float(loss(output, target))
        if measure is None:
            share = max(removed(value, variant.constant, variant.floor), -1.0) if math.isfinite(value) else -1.0
            return Outcome(share, not math.isfinite(value))
        start = float(loss(call(without_dropout(clone(variant.network)), inputs), target))
    found = measure(output, target)
    share = 0.0 if found is None else (found.value - found.constant) / (1 - found.constant)
    return Outcome(min(max(share, 0.0), 1.0), not value < start or alike(output))


def alike(output: object) -> bool:
    """Whether all rows get the same answer, up to rounding."""
    if not isinstance(output, Tensor):
        return False
    spread = (output.amax(0) - output.amin(0)).abs().max()
    return not bool(spread > ALIKE * output.abs().max())


def compare(
    name: str,
    plain: Variant,
    changed: Variant,
    loss: LossFunction,
    *,
    optimizer: Optimizer | None = None,
    steps: int = 300,
    batch: int = 32,
    held: float = 0.0,
    seconds: float = 5.0,
    seed: int = 0,
    measure: Measure | None = None,
    num_steps: int | None = None,
) -> list[Reading]:
    """What a remedy changes in a short training, over several seeds of order and noise.

    Readings `probe.<name>.plain`, `.changed` and `.difference`: the share of the learnable loss (from the best constant
    answer, 0, down to the lowest possible, 1) that is gone after the steps, mean and 95 % interval
    (Student's t over seeds, paired for the difference). A training that diverged counts as -1. Nothing where
    the network is too slow for the budget.

    Args:
        name: of the remedy.
        plain: the training as it is.
        changed: the same with the remedy.
        loss: `(output, target) -> scalar`.
        optimizer: with its rate; without, Adam at the best of three rates per variant, chosen on a seed of its own.
        steps: per training; fewer where the budget asks for it, and nothing is measured with less than 40.
        batch: rows per step.
        held: share of the rows that is held out and judged on; 0 judges on the rows trained on, which is what a remedy
            for slow or diverging training is about.
        seconds: budget for all trainings, in this thread's time: a busy machine changes no verdict.
        seed: the first of the seeds.
        measure: takes outputs and targets to a score. The readings then are shares of what this score has beyond a
            constant answer, 0 where a training diverged (note: which score), and there are two more:
            `probe.<name>.lost`, the share of the trainings as they are that no further steps could mend, and
            `probe.<name>.share`, the steps of each by those of the training to come.
        num_steps: of the training to come.
    """
    deadline = time.thread_time() + seconds
    kind = optimizer or Adam()
    rates = RATES if optimizer is None or optimizer.lr == "auto" else (float(optimizer.lr),)
    runs = 2 * (FEWEST + (len(rates) if len(rates) > 1 else 0))
    steps = min(steps, int(seconds / runs / step_seconds(plain, loss, kind, batch)))
    if steps < LEAST_STEPS:
        return []

    def run(variant: Variant, rate: float, number: int) -> Outcome:
        own = mix(seed, number)
        return score(variant, loss, kind, rate, steps=steps, batch=batch, held=held, seed=own, measure=measure)

    chosen = []
    for variant in (plain, changed):
        scores = {rate: run(variant, rate, 0).value for rate in rates} if len(rates) > 1 else {rates[0]: 0.0}
        chosen.append(max(scores, key=scores.__getitem__))
    pairs: list[tuple[Outcome, Outcome]] = []
    while len(pairs) < FEWEST or (len(pairs) < SEEDS and time.thread_time() < deadline):
        number = len(pairs) + 1
        pairs.append((run(plain, chosen[0], number), run(changed, chosen[1], number)))
    found = [
        summary(f"probe.{name}.plain", [a.value for a, _ in pairs]),
        summary(f"probe.{name}.changed", [b.value for _, b in pairs]),
        summary(f"probe.{name}.difference", [b.value - a.value for a, b in pairs]),
    ]
    if measure is None:
        return found
    lost = sum(a.lost for a, _ in pairs) / len(pairs)
    found = [replace(reading, note=SCORED) for reading in found]
    found.append(Reading(f"probe.{name}.lost", lost, count=len(pairs)))
    return found + ([Reading(f"probe.{name}.share", steps / num_steps)] if num_steps else [])


def step_seconds(variant: Variant, loss: LossFunction, optimizer: Optimizer, batch: int) -> float:
    """Time of one step on a clone, after a first one that warms up."""
    step_on = Step(without_dropout(clone(variant.network)), loss, optimizer)
    rows = torch.arange(min(batch, num_rows(variant.inputs)), device=variant.target.device)
    inputs, target = take(variant.inputs, rows), variant.target[rows]
    for step in range(3):
        if step == 1:
            started = time.thread_time()
        step_on([(inputs, target)], step=step, rate=RATES[0])
    return max((time.thread_time() - started) / 2, 1e-6)


def summary(name: str, values: list[float]) -> Reading:
    """Mean and 95 % interval over seeds."""
    sample = torch.tensor(values, dtype=torch.float64)
    half = STUDENT[len(values)] * float(sample.std()) / math.sqrt(len(values))
    mean = float(sample.mean())
    return Reading(name, mean, low=mean - half, high=mean + half, count=len(values))

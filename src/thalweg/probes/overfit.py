"""Overfitting a few rows (L35): a network that cannot learn sixteen rows by heart will not learn the task."""

import math
import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch, Inputs, call, num_rows, take, tensors_of
from thalweg.measure.answers import constant_starts, lowest, sheet_of, starts_of
from thalweg.measure.head import head_of
from thalweg.measure.untouched import untouched
from thalweg.parts.optimizers import Adam
from thalweg.parts.regularizers.recognize import noises
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

RATES = (1e-3, 3e-3, 1e-2)  # of Adam: its default and half a decade around it
LARGE = 5_000_000  # parameters from which only the first rate is tried: each rate holds a copy and two moments
ROUND = 20  # steps between two looks at most
ROUND_SECONDS = 0.5  # and the time that they may take
ENOUGH = 100  # steps per rate from which a failure counts: healthy networks need 10 to 200, and by then they move
ROOM = 1e-3  # between constant and lowest loss, of what an undecided answer leaves: with less all targets are equal
FITTED = 0.9  # of what a constant answer leaves, removed: the rows are learned


@dataclass
class Arm:
    """One rate: its clone, its losses so far."""

    rate: float
    step: Step
    losses: list[float]

    def recent(self) -> float:
        """The mean loss of the last five steps; infinite where one is not finite."""
        tail = self.losses[-5:]
        return sum(tail) / len(tail) if tail and all(map(math.isfinite, tail)) else math.inf


def without_dropout(network: nn.Module) -> nn.Module:
    """Training mode, dropout modules off: nothing can be learned by heart that is hidden at random."""
    network.train()
    for noise in noises(network):
        if noise.attribute in ("p", "drop_prob"):  # a module that does nothing else
            noise.module.training = False
    return network


def distinct_rows(inputs: Inputs, target: Tensor, count: int) -> Tensor:
    """Positions of up to `count` rows with different inputs, since equal ones may contradict; the classes in turn."""
    seen: set[bytes] = set()
    by_class: dict[int, list[int]] = {}
    flat = target.reshape(len(target), -1)[:, 0]
    labeled = not target.is_floating_point() or bool(((target == 0) | (target == 1)).all())
    classes = flat.long().tolist() if labeled else [0] * len(target)
    values = [v.detach().cpu().reshape(len(v), -1).contiguous().view(torch.uint8).numpy() for v in tensors_of(inputs)]
    for row in range(num_rows(inputs)):
        key = b"".join(value[row].tobytes() for value in values)
        if key not in seen:
            seen.add(key)
            by_class.setdefault(classes[row], []).append(row)
    queues = list(by_class.values())
    longest = max(map(len, queues))
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    return torch.tensor(sorted(turns[:count]), device=target.device)


def overfit(
    network: nn.Module,
    loss: LossFunction,
    inputs: Inputs,
    target: Tensor,
    *,
    num_classes: int | None = None,
    rows: int = 32,
    steps: int = 300,
    seconds: float = 5.0,
    seed: int = 0,
) -> list[Reading]:
    """Trains clones on a few rows with different inputs, whole batch, Adam at a few rates, until one has learned them.

    Learned means that nine tenths of what the best constant answer leaves above the lowest possible loss are gone.

    Readings: `overfit.rows`; `overfit.share`, the share removed by the best rate (1 is all); `overfit.trend`, how much
    of it in the last fifth of its steps; `overfit.rate`; and `overfit.steps`, how many it took, where it succeeded.
    `overfit.share` is left out when the time ran out before 100 steps, because nothing was shown then. Under a step of
    the user's own, whose loss cannot be compared with that of a constant answer, there are no readings.

    Args:
        network: it is cloned, never trained.
        loss: `(output, target) -> scalar`.
        inputs: `[N, ...]` rows as they enter the network.
        target: `[N, ...]` their targets.
        num_classes: where the target is a class index.
        rows: how many rows, at most.
        steps: budget per rate.
        seconds: budget for all rates together, in this thread's time: a busy machine changes no verdict.
        seed: decides what functional dropout draws.
    """
    if isinstance(inputs, Batch):
        return []
    chosen = distinct_rows(inputs, target, rows)
    inputs, target = take(inputs, chosen), target[chosen]
    room = room_of(network, loss, inputs, target, num_classes)
    if room is None or len(chosen) < 2:
        return []
    constant, floor = room
    rates = RATES if sum(p.numel() for p in network.parameters()) < LARGE else RATES[:1]
    arms = [Arm(rate, Step(without_dropout(clone(network)), loss, Adam(lr=rate), seed=seed), []) for rate in rates]
    count = Reading("overfit.rows", len(chosen))
    started = time.thread_time()
    advance(arms[0], inputs, target, 1)
    size = max(1, min(ROUND, int(ROUND_SECONDS / max(time.thread_time() - started, 1e-9))))
    while len(arms[-1].losses) < steps and time.thread_time() - started < seconds:
        for arm in arms:
            advance(arm, inputs, target, size)
            share = removed(arm.recent(), constant, floor)
            if share >= FITTED:
                needed = next(k for k, v in enumerate(arm.losses, 1) if removed(v, constant, floor) >= FITTED)
                return [count, Reading("overfit.share", share), Reading("overfit.steps", needed), rate_of(arm)]
    if len(arms[-1].losses) < min(ENOUGH, steps):
        return [count]
    best = min(arms, key=Arm.recent)
    share = removed(best.recent(), constant, floor)
    fifth = len(best.losses) // 5
    before = sum(best.losses[-fifth - 5 : -fifth]) / 5
    trend = share - removed(before, constant, floor)
    return [count, Reading("overfit.share", share), Reading("overfit.trend", trend), rate_of(best)]


def rate_of(arm: Arm) -> Reading:
    return Reading("overfit.rate", arm.rate)


def removed(value: float, constant: float, floor: float) -> float:
    """The share of what a constant answer leaves above the floor that is gone."""
    return (constant - value) / (constant - floor) if math.isfinite(value) else -math.inf


def room_of(
    network: nn.Module, loss: LossFunction, inputs: Inputs, target: Tensor, num_classes: int | None
) -> tuple[float, float] | None:
    """The loss of the best constant answer and the lowest one the head allows; None where they leave no room."""
    with untouched(network):
        output = call(network, inputs)
    sheet = sheet_of(loss, output, target, head_of(output), num_classes) if isinstance(output, Tensor) else None
    if sheet is None:
        return None
    constant = lowest(sheet, sheet.head, constant_starts(sheet, sheet.head))
    floor = lowest(sheet, sheet.head, starts_of(sheet, sheet.head))
    undecided = sheet.value(sheet.head.outputs(torch.zeros_like(sheet.output)))
    room = constant - floor
    return (constant, floor) if math.isfinite(room) and room > ROOM * abs(undecided - floor) else None


def advance(arm: Arm, inputs: Inputs, target: Tensor, steps: int) -> None:
    """A few steps; an arm that left the numbers rests, and repeats its last loss."""
    if arm.losses and not math.isfinite(arm.losses[-1]):
        arm.losses += arm.losses[-1:] * steps
        return
    start = len(arm.losses)
    found = [arm.step([(inputs, target)], step=start + k, rate=arm.rate) for k in range(steps)]
    arm.losses += torch.stack(found).double().reshape(-1).tolist()  # synchronizes

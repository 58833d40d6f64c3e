"""What a step takes, what waiting for its batch takes, and what a batch of twice as many rows would take; on clones."""

import math
import time
from collections.abc import Callable
from itertools import islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Batch, Rows, is_divisible, num_rows, take
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces
from thalweg.train.losses import LossFunction
from thalweg.train.step import stepper_of

BATCHES = 6  # that are timed; the first one or two warm up
REPEATS = 5
RATE = 0.0  # nothing is learned while the clock runs


def take_step(network: nn.Module, loss: LossFunction, plan: Plan) -> Callable[[tuple[Any, ...]], float]:
    """A function that makes one step of the plan on a clone, and says how many seconds it took."""
    stepper = stepper_of(plan, clone(network).train(), loss)

    def timed(batch: tuple[Any, ...]) -> float:
        synchronize(stepper.device)
        started = time.perf_counter()
        stepper([batch], step=0, rate=RATE, momentum=None)
        synchronize(stepper.device)
        return time.perf_counter() - started

    return timed


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def waiting(network: nn.Module, loss: LossFunction, plan: Plan, train: Feeder, *, budget: Budget) -> list[Reading]:
    """Readings `speed.wait` and `speed.step`: seconds until the next batch is there, and of the step on it.

    Batches are read as the training reads them, with steps between, so that what is read ahead counts as it does there.
    Rows in memory are gathered once an epoch and are never waited for; of them nothing is read.
    """
    if isinstance(train.rows, Rows):
        return []
    step_on, waits, steps = take_step(network, loss, plan), [], []
    with global_rng_kept():
        started = time.perf_counter()
        for batch in islice(pieces(train, 0), BATCHES):
            waits.append(time.perf_counter() - started)
            steps.append(step_on(batch))
            if not budget.left:
                break
            started = time.perf_counter()
    if len(waits) < BATCHES // 2:
        return []
    workers = float(train.num_workers)
    wait = Reading("speed.wait", median(waits[1:]), count=len(waits) - 1, note=f"{workers:.0f} workers")
    return [wait, Reading("speed.step", median(steps[1:]), count=len(steps) - 1)]


def doubling(
    network: nn.Module, loss: LossFunction, plan: Plan, inputs: Any, target: Tensor, *, budget: Budget
) -> list[Reading]:
    """Reading `speed.double`: the time of a step on twice the plan's rows over that of a step on as many as it has.

    1 where the step is all overhead, 2 where all of it is work on rows. Its interval is the range of the repeats.
    """
    assert isinstance(plan.batch_size, int)
    size = plan.batch_size
    if isinstance(inputs, Batch) or not is_divisible(inputs) or num_rows(inputs) < 2 * size:
        return []
    batches = [(take(inputs, rows), target[rows]) for rows in (torch.arange(size), torch.arange(2 * size))]
    step_on, ratios = take_step(network, loss, plan), []
    with global_rng_kept():
        for k in range(REPEATS + 1):
            single, double = (step_on(batch) for batch in batches)
            if k:  # the first round warms up
                ratios.append(double / max(single, 1e-9))
            if not budget.left:
                break
    if len(ratios) < REPEATS or not all(map(math.isfinite, ratios)):
        return []
    return [Reading("speed.double", median(ratios), low=min(ratios), high=max(ratios), count=size)]

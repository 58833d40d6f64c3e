"""Where a training first met a value that is not finite: steps are repeated exactly, the bad one looked into."""

import math
from collections.abc import Iterator
from itertools import count
from typing import TYPE_CHECKING, Any

from torch import Tensor

from thalweg.data.rows import Batch, call
from thalweg.measure.nonfinite import locate_nonfinite
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.precision import autocast
from thalweg.train.step import Window

if TYPE_CHECKING:
    from thalweg.train.loop import Training


def find_nonfinite(training: "Training", first_bad: int) -> list[Reading]:
    """Goes back to the last state at hand, repeats the steps up to the first bad one and looks inside it."""
    start = training.go_back()
    last = math.nan
    for step, window in enumerate(windows_from(training, start), start=start):
        schedule = training.schedule_at(step)
        rate = training.peak * schedule.factor(step, training.num_steps)
        # A backward pass may have spoiled the weights one step earlier.
        if step >= first_bad - 1 and (found := locate(training, window, step)):
            return [*found, Reading("nonfinite.last_loss", last, step=step), Reading("rate", rate, step=step)]
        if step >= first_bad:
            break
        momentum = schedule.momentum(step, training.num_steps)
        last = float(training.take(window, step=step, rate=rate, momentum=momentum))
        if not math.isfinite(last):
            break  # it was finite in the training: a loss or a layer keeps a state of its own, and nothing is repeated
    return [Reading("nonfinite.step", first_bad, step=first_bad)]


def windows_from(training: "Training", step: int) -> Iterator[Window]:
    """The batches of each update from `step` on, over the ends of epochs."""
    epoch, skip = divmod(step, training.steps_per_epoch)
    yield from training.windows(epoch, skip)
    for later in count(epoch + 1):
        yield from training.windows(later)


def locate(training: "Training", window: Window, step: int) -> list[Reading]:
    """What is not finite in the batches of a step, in turn; empty where nothing is."""
    job, stepper = training.job, training.stepper
    epoch, update = divmod(step, training.steps_per_epoch)
    for k in range(len(window)):
        batch, target = batch_after(stepper.loss, window, k), window[k][1]
        rows = job.train.row_numbers(epoch, update * job.plan.accumulate + k)
        with autocast(stepper.precision, stepper.device):
            found = locate_nonfinite(
                clone(job.network), lambda made, _: made.loss, batch, target, step=step, seed=stepper.seed, rows=rows
            )
        if found:
            return found
    return []


def batch_after(loss: LossFunction, window: Window, k: int) -> Batch:
    """Batch `k` of a step; those before it are passed forward first, because they draw noise and move estimates."""
    inputs, *rest = window[k]

    def step(network: Any, _: Any) -> Tensor:
        for earlier, *_rest in window[:k]:
            call(network, earlier)
        return loss(call(network, inputs), *rest)

    return Batch(inputs.value if isinstance(inputs, Batch) else inputs, step)

"""Where a training first met a value that is not finite: steps are repeated exactly, the bad one looked into."""

import math
from typing import TYPE_CHECKING

from thalweg.measure.nonfinite import locate_nonfinite
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.precision import autocast

if TYPE_CHECKING:
    from thalweg.train.loop import Training


def find_nonfinite(training: "Training", first_bad: int) -> list[Reading]:
    """Goes back to the last state at hand, repeats the steps up to the first bad one and looks inside it."""
    stepper, job = training.stepper, training.job
    start = training.go_back()
    epoch, skip = divmod(start, training.steps_per_epoch)
    last = math.nan
    for step, window in enumerate(training.windows(epoch, skip), start=start):
        rate = training.peak * training.schedule.factor(step, training.num_steps)
        if step >= first_bad - 1:  # a backward pass may have spoiled the weights one step earlier
            with autocast(stepper.precision, stepper.device):
                found = locate_nonfinite(
                    clone(job.network),
                    job.loss,
                    *window[0][:2],
                    step=step,
                    seed=stepper.seed,
                    rows=rows_of(training, step),
                )
            if found:
                return [*found, Reading("nonfinite.last_loss", last, step=step), Reading("rate", rate, step=step)]
        if step >= first_bad:
            break
        last = float(training.take(window, step=step, rate=rate))
    return [Reading("nonfinite.step", first_bad, step=first_bad)]


def rows_of(training: "Training", step: int) -> list[int]:
    """The numbers, in the user's data, of the rows that step `step` trains on."""
    feeder, epoch, update = training.job.train, *divmod(step, training.steps_per_epoch)
    batches = training.job.plan.accumulate
    return [row for k in range(batches) for row in feeder.row_numbers(epoch, update * batches + k)]

"""The curvature of the training loss against what the optimizer's steps bear, when a training is over."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Inputs, is_divisible, num_rows
from thalweg.doctor.case import Case
from thalweg.measure.curvature import BLOCK_ROWS, BLOCKS, STEPS, curvature
from thalweg.measure.landscape import STEPS as ALL_STEPS
from thalweg.measure.landscape import landscape
from thalweg.measure.stability import preconditioner, stability_limit
from thalweg.readings import Reading, Readings
from thalweg.rules.opt.opt06_stuck import stuck
from thalweg.rules.outcome import lost, summed
from thalweg.train.losses import LossFunction
from thalweg.train.smoothing import smoothed_loss

MOST_ROWS, LEAST_ROWS = 512, 32  # over batches of 32 it varies by half, over 512 rows by an eighth
PASSES = 5  # forward passes that a product with the Hessian costs, at most
SHARE = 0.3  # of what is left that one network may take
STUCK_SHARE = 0.5  # the same, where the training is known to be stuck
BATCH_NORM = "batch norm in evaluation mode"


def measure_curvature(case: Case, readings: Readings) -> list[Reading]:
    """`curvature.sharpness`, `.along` and `.limit` of the last weights, as the optimizer's steps see them.

    The limit is that of the last step's rate. Before them, of optimizers that multiply all gradients by the same, the
    sharpness of the start and the limit of the first step's rate, at step None. Nothing of a training that was lost,
    of an optimizer without a known limit, and where nothing is left to spend.
    """
    optimizer, limit = case.plan.optimizer, limit_at(case, case.steps - 1)
    if optimizer == "auto" or limit is None or lost(readings):
        return []
    scale = preconditioner(optimizer, case.optimizer_state, case.steps)
    names = {name for name, p in case.last.named_parameters() if p.requires_grad}
    if scale is not None and not names <= scale.keys():
        return []
    taken = rows_for(case, SHARE * case.budget.left, STEPS + 2)
    if taken is None or not all(p.dtype == torch.float32 for p in case.last.parameters()):
        return []
    normed = any(isinstance(m, _BatchNorm) for m in case.last.modules())
    factor = case.train.batch_size / rows_in_block(taken[0]) if summed(readings) else 1.0

    def read(network: nn.Module, bears: float, step: int | None) -> list[Reading]:
        new = curvature(
            network,
            loss_of(case),
            *taken,
            scale=None if step is None else scale,
            factor=factor,
            step=step,
            seed=case.bench.seed,
            may_go_on=still_left(case, SHARE),
        )
        note = BATCH_NORM if normed else ""
        return [*new, Reading("curvature.limit", bears, step=step, note=note)] if new else []

    found, first = read(case.last, limit, case.steps), limit_at(case, 0)
    if not found or first is None or normed or scale is not None:
        return found
    return [*read(case.start, first, None), *found]


def look_around(case: Case, readings: Readings) -> list[Reading]:
    """`landscape.*` of the last weights (`measure.landscape`), where the training is stuck."""
    if not stuck(readings) or not all(p.dtype == torch.float32 for p in case.last.parameters()):
        return []
    taken = rows_for(case, STUCK_SHARE * case.budget.left, ALL_STEPS + 10)
    if taken is None:
        case.budget.affords(LEAST_ROWS * PASSES * ALL_STEPS * case.bench.row_seconds / STUCK_SHARE)  # told as refused
        return []
    inputs, target, weight = taken
    rows = (inputs, target) if weight is None else (inputs, target, weight)
    held = case.bench.validation if weight is None else None
    step, seed = case.steps, case.bench.seed
    may_go_on = still_left(case, STUCK_SHARE)
    return landscape(case.last, case.start, loss_of(case), rows, held, step=step, seed=seed, may_go_on=may_go_on)


def limit_at(case: Case, step: int) -> float | None:
    """The optimizer's limit at the rate of a step."""
    optimizer, schedule = case.plan.optimizer, case.plan.schedule
    if optimizer == "auto" or optimizer.lr == "auto" or schedule == "auto" or step < 0:
        return None
    length = max(case.num_steps, 1)
    return stability_limit(optimizer, float(optimizer.lr) * schedule.factor(min(step, length - 1), length))


def loss_of(case: Case) -> LossFunction:
    """The loss that the gradients are of."""
    return smoothed_loss(case.bench.loss, case.plan.label_smoothing)


def rows_for(case: Case, seconds: float, products: int) -> tuple[Inputs, Tensor, Tensor | None] | None:
    """So many of the sampled rows that products with the Hessian stay within a time; None for too few."""
    bench = case.bench
    count = int(seconds / (PASSES * products * max(bench.row_seconds, 1e-9)))
    if count < min(LEAST_ROWS, num_rows(bench.inputs)):
        return None
    inputs, target = bench.first(min(count, MOST_ROWS))
    weight = None if bench.weight is None or not is_divisible(inputs) else bench.weight[: len(target)]
    return inputs, target, weight


def rows_in_block(inputs: Inputs) -> int:
    """Rows of one block of the curvature's."""
    count = num_rows(inputs)
    return count // BLOCKS if count >= BLOCKS * BLOCK_ROWS and is_divisible(inputs) else count


def still_left(case: Case, share: float) -> Callable[[], bool]:
    """Whether less than a share of the time that is left now has been spent."""
    end = (1 - share) * case.budget.left
    return lambda: case.budget.left > end

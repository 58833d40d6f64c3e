"""What is measured when a training is over: the kept weights on training and validation rows, in evaluation mode."""

import math
from collections.abc import Sequence
from contextlib import nullcontext

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.measure.dead import DeadUnits
from thalweg.parts.metrics import Metric
from thalweg.readings import Reading
from thalweg.train.evaluation import outputs_and_loss
from thalweg.train.losses import LossFunction, per_sample


def kept_weights(
    network: nn.Module, loss: LossFunction, metrics: Sequence[Metric], *, train: Feeder, validation: Feeder, step: int
) -> list[Reading]:
    """`fit.train_loss`, `fit.validation_loss` with intervals over the rows, the metrics on both, and dead units.

    The training loss of an epoch is taken while the weights move and dropout is on, so that only this one compares with
    the validation loss.
    """
    readings = []
    dead = DeadUnits(network)
    for name, feeder in (("train", train), ("validation", validation)):
        with dead.attached() if name == "train" else nullcontext():
            output, target, loss_value = outputs_and_loss(network, loss, feeder.epoch(0))
        value = float(loss_value)
        half = half_width(per_sample(loss, output, target))
        low, high = (None, None) if half is None else (value - half, value + half)
        readings.append(Reading(f"fit.{name}_loss", value, step=step, low=low, high=high, count=len(target)))
        for metric in metrics:
            measured = metric(output, target) if math.isfinite(value) else math.nan
            readings.append(Reading(f"fit.{name}_{metric.name}", measured, step=step, count=len(target)))
    return readings + dead.readings(step)


def rise(
    best: nn.Module, last: nn.Module, loss: LossFunction, validation: Feeder, *, best_step: int, step: int
) -> list[Reading]:
    """`validation.rise`: how much higher the validation rows' loss is at the last weights, paired over the rows."""
    each = []
    for network in (best, last):
        output, target, _ = outputs_and_loss(network, loss, validation.epoch(0))
        each.append(per_sample(loss, output, target))
    if each[0] is None or each[1] is None:
        return []
    difference = (each[1] - each[0]).double()
    half = half_width(difference)
    assert half is not None
    value = float(difference.mean())
    note = f"since step {best_step}"
    return [Reading("validation.rise", value, "", step, value - half, value + half, len(difference), note)]


def half_width(values: Tensor | None) -> float | None:
    """Of the 95 % interval of the mean of independent values, by the normal approximation."""
    if values is None:
        return None
    return 1.96 * float(torch.std(values.double())) / math.sqrt(len(values)) if len(values) > 1 else math.inf

"""What is measured when a training is over: the kept weights on training and validation rows, in evaluation mode."""

from collections.abc import Sequence
from contextlib import nullcontext

from torch import nn

from thalweg.data.feeder import Feeder
from thalweg.measure.dead import DeadUnits
from thalweg.parts.metrics import Metric
from thalweg.readings import Reading
from thalweg.train.evaluation import half_width, mean_of, measure_batches, pieces
from thalweg.train.losses import LossFunction


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
            found = measure_batches(network, loss, pieces(feeder), metrics, each=True)
        value = found.values["loss"]
        half = half_width(found.each, found.items)
        low, high = (None, None) if half is None else (value - half, value + half)
        readings.append(Reading(f"fit.{name}_loss", value, step=step, low=low, high=high, count=found.count))
        for metric in metrics:
            measured = found.values[metric.name]
            readings.append(Reading(f"fit.{name}_{metric.name}", measured, step=step, count=found.count))
    return readings + dead.readings(step)


def rise(
    best: nn.Module, last: nn.Module, loss: LossFunction, validation: Feeder, *, best_step: int, step: int
) -> list[Reading]:
    """`validation.rise`: how much higher the validation rows' loss is at the last weights, paired over the rows."""
    before, after = (measure_batches(network, loss, pieces(validation), each=True) for network in (best, last))
    if before.each is None or after.each is None or after.items is None:
        return []
    difference = (after.each - before.each).double()
    half = half_width(difference, after.items)
    assert half is not None
    value = mean_of(difference, after.items)
    note = f"since step {best_step}"
    return [Reading("validation.rise", value, "", step, value - half, value + half, len(difference), note)]

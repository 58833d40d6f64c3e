"""The loss before the first step (L35), in the mode of training and without an update."""

import math

import torch
from torch import Tensor, nn

from thalweg.data.noise import seed_noise
from thalweg.data.rows import Inputs, call, is_divisible, num_rows, take
from thalweg.errors import TrainingError
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading
from thalweg.train.evaluation import half_width, mean_of
from thalweg.train.losses import LossFunction, per_sample, require_scalar, row_items

AGREEMENT = 1e-3  # relative; where the samples' mean is further from the batch's loss, the loss is no mean of samples


def initial_loss(
    network: nn.Module,
    loss: LossFunction,
    inputs: Inputs,
    target: Tensor,
    *,
    weight: Tensor | None = None,
    batch_size: int = 64,
    seed: int = 0,
) -> Reading:
    """The mean loss per sample at the start, with a 95 % interval over the samples.

    Dropout drops and batch norms use their batch, as in the first step; the network is left as it was. A sum is
    divided by its rows; a loss that compares rows gets its interval over batches.

    Args:
        network: the network at its start.
        loss: `(output, target) -> scalar`.
        inputs: `[N, ...]` rows as they enter the network.
        target: `[N, ...]` their targets.
        weight: `[N]` how much each row counts in the loss; None where all count alike.
        batch_size: rows per forward pass, at least 2.
        seed: decides what dropout draws.

    Raises:
        TrainingError: for a loss that cannot be taken or is no scalar.

    >>> zero = nn.Linear(4, 10)
    >>> _ = [nn.init.zeros_(p) for p in zero.parameters()]
    >>> target = torch.arange(100) % 10
    >>> round(initial_loss(zero, nn.functional.cross_entropy, torch.randn(100, 4), target).value, 4)  # ln 10
    2.3026
    """
    values: list[Tensor] = []
    sizes: list[Tensor] = []
    means: list[float] = []
    whole = True
    divisible = is_divisible(inputs)
    size = max(2, batch_size) if divisible else num_rows(inputs)
    rows = list(torch.arange(num_rows(inputs)).split(size))  # type: ignore[no-untyped-call]
    if len(rows) > 1 and len(rows[-1]) < 2:  # batch norm needs two rows
        rows = rows[:-1]
    with untouched(network, training=True), torch.no_grad():
        for step, batch in enumerate(rows):
            seed_noise(seed, step)
            output = call(network, take(inputs, batch) if divisible else inputs)
            own = () if weight is None else (weight[batch],)
            mean = float(loss_value(loss, output, target[batch], *own))
            each = per_sample(loss, output, target[batch])
            items = row_items(target[batch], *own)
            means.append(mean)
            if each is not None and close(float(each.double().sum()), mean) and len(batch) > 1:
                mean /= len(batch)  # a sum over the batch
                means[-1] = mean
            if each is None or not close(mean_of(each, items), mean):
                whole = False
            else:
                values.append(each.double())
                sizes.append(items)
    sample = torch.cat(values) if whole else torch.tensor(means, dtype=torch.float64)
    counts = torch.cat(sizes) if whole else torch.ones_like(sample)
    mean, half = mean_of(sample, counts), half_width(sample, counts)
    assert half is not None
    count = sum(map(len, rows))
    return Reading("loss.initial", mean, low=mean - half, high=mean + half, count=count)


def close(a: float, b: float) -> bool:
    return a == b or abs(a - b) <= AGREEMENT * max(abs(a), abs(b)) or (math.isnan(a) and math.isnan(b))


def loss_value(loss: LossFunction, output: object, target: Tensor, *weight: Tensor) -> Tensor:
    """The loss as a scalar, or the error that says what was wrong with it."""
    try:
        value = loss(output, target, *weight)
    except Exception as error:
        shape = f"outputs of shape {list(output.shape)}" if isinstance(output, Tensor) else type(output).__name__
        raise TrainingError(
            f"The loss failed on the network's {shape} and targets of shape {list(target.shape)} and type "
            f"{target.dtype}. Its own message: {type(error).__name__}: {error}. Check that the last layer has one "
            "output per class (or per target column) and that the loss takes targets of this type."
        ) from error
    require_scalar(value)
    return value.reshape(())

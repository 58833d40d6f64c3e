"""Outputs and losses of a network on held-out rows: in evaluation mode, without gradients, nothing left changed."""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import StepOutput, call
from thalweg.parts.metrics import Metric
from thalweg.train.losses import LossFunction, items_of, per_sample, row_items


@contextmanager
def evaluating(network: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; every module gets its own mode back, frozen norms included."""
    modes = [(module, module.training) for module in network.modules()]
    network.eval()
    try:
        with torch.no_grad():  # not inference_mode: a module may cache what it computes here and train on it later
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def join(parts: list[Any]) -> Any:
    """Outputs of batches as one: tensors are concatenated, tuples and dicts item by item."""
    if isinstance(parts[0], Tensor):
        return torch.cat(parts) if len(parts) > 1 else parts[0]
    if isinstance(parts[0], dict):
        return {name: join([part[name] for part in parts]) for name in parts[0]}
    return tuple(join(list(items)) for items in zip(*parts, strict=True))


def pieces(feeder: Feeder, epoch: int = 0, skip: int = 0) -> Iterator[tuple[Any, ...]]:
    """The batches of an epoch, with the rows' weights as a third item where they have any."""
    batches = feeder.epoch(epoch, skip)
    if feeder.rows.weights is None:
        return batches
    return ((*batch, weight) for batch, weight in zip(batches, feeder.weights(epoch, skip), strict=True))


@dataclass(frozen=True)
class Measured:
    """What a network has on held-out rows.

    Args:
        values: `"loss"`, the mean per item, then each metric by its name; NaN where outputs are not finite.
        count: rows.
        each: `[N]` losses of the rows, where they were asked for and can be taken; None else.
        items: `[N]` how many items of the mean loss each row has, or their weights; None with `each`.
    """

    values: dict[str, float]
    count: int
    each: Tensor | None = None
    items: Tensor | None = None


def measure_batches(
    network: nn.Module,
    loss: LossFunction,
    batches: Iterable[tuple[Any, ...]],
    metrics: Sequence[Metric] = (),
    *,
    each: bool = False,
) -> Measured:
    """The mean loss and the metrics over batches, exactly as if they were one.

    The mean weighs each batch by its items (rows, counted positions, or the rows' weights), so that a short last batch
    does not count more. Metrics are never averaged over batches: they get all outputs, or, where each of them adds up
    a state per batch, no outputs are kept. Of a user's `step` the output and target are those it returned.

    Args:
        network: put into evaluation mode, and back.
        loss: `(output, target) -> scalar`, with the rows' weights as a third argument where batches have them.
        batches: `(inputs, target)` or `(inputs, target, weight)`, as `pieces` gives them.
        metrics: what else to measure.
        each: whether the rows' losses are wanted.
    """
    losses, counts, rows, count = [], [], [], 0
    gathered = Gathered(metrics)
    with evaluating(network):
        for batch in batches:
            inputs, target, *weight = batch
            output = call(network, inputs)
            value = loss(output, target, *weight).detach().float().reshape(())
            if isinstance(output, StepOutput):
                target = target if output.target is None else output.target
                output = output.output
            elif each:
                rows.append((per_sample(loss, output, target), row_items(target, *weight)))
            if metrics:
                gathered.add(output, target, value)
            items = torch.as_tensor(items_of((inputs, target, *weight)), dtype=value.dtype, device=value.device)
            losses.append(value * items)
            counts.append(items)
            count += len(target)
        mean = float(torch.stack(losses).sum() / torch.stack(counts).sum())
        values = {"loss": mean, **gathered.values(finite=math.isfinite(mean))}
    found = [values for values, _ in rows if values is not None]
    if not rows or len(found) < len(rows):
        return Measured(values, count)
    return Measured(values, count, torch.cat(found), torch.cat([items for _, items in rows]))


def mean_of(values: Tensor, items: Tensor) -> float:
    """The mean over items of the rows' values `[N]`; rows without items do not count.

    >>> mean_of(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 1.0]))
    1.75
    """
    counted = items > 0
    return float((values.double()[counted] * items[counted]).sum() / items.sum())


def half_width(values: Tensor | None, items: Tensor | None) -> float | None:
    """Of the 95 % interval of the mean over items of independent rows' values, by the normal approximation.

    Its variance is `n / (n-1) sum w^2 (v - mean)^2 / (sum w)^2`, which for equal weights is that of a plain mean.
    """
    if values is None or items is None:
        return None
    counted = items > 0
    values, items = values.double()[counted], items[counted]
    if (n := len(values)) < 2:
        return math.inf
    squares = (items * (values - mean_of(values, items))).square().sum()
    return 1.96 * math.sqrt(n / (n - 1) * float(squares)) / float(items.sum())


class Gathered:
    """Outputs of batches for metrics: added up where every metric has a state to add, else kept whole."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self.metrics = metrics
        self.states: list[Tensor] = []
        self.whole: list[tuple[Any, Tensor]] = []

    def add(self, output: Any, target: Tensor, loss: Tensor) -> None:
        partials = [metric.partial for metric in self.metrics if metric.partial is not None]
        if len(partials) < len(self.metrics):
            self.whole.append((output, target))
        elif bool(loss.isfinite()):  # synchronizes, as the states do too
            new = [partial(output, target) for partial in partials]
            self.states = [a + b for a, b in zip(self.states, new, strict=True)] if self.states else new

    def values(self, *, finite: bool) -> dict[str, float]:
        """The metrics by their names; NaN, to be recorded, where outputs are not finite or were not returned."""
        if not finite or (self.whole and self.whole[0][0] is None):
            return {metric.name: math.nan for metric in self.metrics}
        if self.whole:
            output, target = join([o for o, _ in self.whole]), torch.cat([t for _, t in self.whole])
            return {metric.name: metric(output, target) for metric in self.metrics}
        pairs = zip(self.metrics, self.states, strict=False)
        return {metric.name: metric.merge(state) for metric, state in pairs if metric.merge is not None}

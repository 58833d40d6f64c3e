"""What a check works on: clones, and a sample of the training rows as the network gets them."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, Inputs, call, map_inputs, num_rows, tensors_of
from thalweg.data.task import Task
from thalweg.measure.graph import Layer, layers
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction

MAX_ROWS = 1024
MAX_NUMBERS = 2**24  # of the sample's inputs: 64 MiB
FIRST_ROWS = 8  # that show shapes and cost
FORWARD_SECONDS = 0.3  # that one pass over the sample may take
READ_SECONDS = 2.0  # that reading the items of a Dataset may take


@dataclass(frozen=True)
class Bench:
    """Clones of network and loss, the sample, and what one row costs.

    Args:
        network: a clone that only measurements see; probes clone it again.
        loss: `(output, target) -> scalar`.
        inputs: `[N, ...]` sampled rows as they enter the network.
        target: `[N, ...]` their targets as they enter the loss.
        num_classes: where the target is a class index, else None.
        layers: the table of layers.
        row_seconds: time of a forward pass per row.
        seed: decides sample and noise.
    """

    network: nn.Module
    loss: LossFunction
    inputs: Inputs
    target: Tensor
    num_classes: int | None
    layers: list[Layer]
    row_seconds: float
    seed: int

    def first(self, count: int) -> tuple[Inputs, Tensor]:
        """The first `count` rows."""
        return map_inputs(lambda value: value[:count], self.inputs), self.target[:count]

    def affordable(self, seconds: float, *, least: int, most: int) -> int:
        """How many rows a forward pass of `seconds` takes, between two limits."""
        return int(min(max(seconds / max(self.row_seconds, 1e-9), least), most, num_rows(self.inputs)))


def bench(
    network: nn.Module,
    loss: LossFunction,
    *,
    task: Task,
    rows: AnyRows,
    transform: Callable[[Inputs], Inputs] | None,
    target_transform: Callable[[Tensor], Tensor] | None,
    seed: int,
    device: torch.device | str,
) -> Bench:
    """Draws the sample: as many rows as memory, the network's speed and a Dataset's reading allow, at most 1,024.

    Raises:
        ModelError: where the network cannot be copied or does not take the rows, naming the layer.
    """
    network = clone(network).to(device)
    loss = clone(loss).to(device) if isinstance(loss, nn.Module) else loss

    def draw(count: int) -> tuple[Inputs, Tensor]:
        feeder = Feeder(
            rows, batch_size=count, seed=seed, device=device, transform=transform, target_transform=target_transform
        )
        return next(iter(feeder.epoch(0)))

    started = time.monotonic()
    inputs, target = draw(min(FIRST_ROWS, len(rows)))
    read_seconds = (time.monotonic() - started) / num_rows(inputs)
    table = layers(network, inputs)
    row_seconds = forward_seconds(network, inputs) / num_rows(inputs)
    numbers = sum(value[0].numel() for value in tensors_of(inputs))
    count = min(MAX_ROWS, len(rows), max(FIRST_ROWS, MAX_NUMBERS // max(numbers, 1)))
    count = min(count, max(FIRST_ROWS, int(FORWARD_SECONDS / max(row_seconds, 1e-9))))
    if read_seconds * count > READ_SECONDS:
        count = max(FIRST_ROWS, int(READ_SECONDS / read_seconds))
    inputs, target = draw(min(count, len(rows)))
    num_classes = len(task.classes) if task.classes and not target.is_floating_point() else None
    return Bench(network, loss, inputs, target, num_classes, table, row_seconds, seed)


def forward_seconds(network: nn.Module, inputs: Inputs) -> float:
    """Time of one forward pass, the first one having warmed up."""
    with untouched(network), torch.no_grad():
        started = time.thread_time()  # not the clock on the wall: a busy machine must not change the sample
        output = call(network, inputs)
        for value in tensors_in(output):
            value.sum().item()  # synchronizes
        return time.thread_time() - started

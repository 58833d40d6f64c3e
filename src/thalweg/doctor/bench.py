"""What a check works on: clones, and a sample of the training rows as the network gets them."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, Inputs, call, is_divisible, num_rows, take, tensors_of
from thalweg.data.sample import at_hand
from thalweg.data.task import OWN, Task
from thalweg.measure.graph import Layer, layers
from thalweg.measure.head import Head
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.parts.optimizers import Optimizer
from thalweg.probes.budget import LEAST, Budget
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces
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
        row_seconds: time of a forward pass of the sample per row.
        seed: decides sample and noise.
        weight: `[N]` how much each row counts in the loss; None where all count alike.
        task: what is to be predicted.
        batch_size: rows per step of the training to come.
        optimizer: of the plan, where it has a rate; else None.
        head: the last operation on the outputs; found by the first examination.
        validation: a sample of the validation rows as they enter network and loss, where there are any.
        budget: what all examinations together may spend.
        num_steps: updates of the training to come, where they are known.
        gentle: whether a warm-up or clipping shortens its first steps, which short probes do without.
    """

    network: nn.Module
    loss: LossFunction
    inputs: Inputs
    target: Tensor
    num_classes: int | None
    layers: list[Layer]
    row_seconds: float
    seed: int
    weight: Tensor | None = None
    task: Task = OWN
    batch_size: int = 64
    optimizer: Optimizer | None = None
    head: Head = Head("none")  # noqa: RUF009
    validation: tuple[Inputs, Tensor] | None = None
    budget: Budget = field(default_factory=lambda: Budget(LEAST))
    num_steps: int | None = None
    gentle: bool = False

    def first(self, count: int) -> tuple[Inputs, Tensor]:
        """The first `count` rows; all where none can be taken out."""
        if not is_divisible(self.inputs):
            return self.inputs, self.target
        rows = torch.arange(min(count, len(self.target)))
        return take(self.inputs, rows), self.target[: len(rows)]

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
    validation: AnyRows | None = None,
    optimizer: Optimizer | None = None,
    batch_size: int = 64,
    budget: Budget | None = None,
) -> Bench:
    """Draws the sample: as many rows as memory, the network's speed and a Dataset's reading allow, at most 1,024.

    Raises:
        ModelError: where the network cannot be copied or does not take the rows, naming the layer.
    """
    network = clone(network).to(device)
    loss = clone(loss).to(device) if isinstance(loss, nn.Module) else loss
    rows = at_hand(rows)

    def draw(count: int, rows: AnyRows = rows) -> tuple[Any, ...]:
        feeder = Feeder(
            rows, batch_size=count, seed=seed, device=device, transform=transform, target_transform=target_transform
        )
        return next(iter(pieces(feeder)))

    started = time.monotonic()
    inputs, *_ = draw(min(FIRST_ROWS, len(rows)))
    read_seconds = (time.monotonic() - started) / num_rows(inputs)
    table = layers(network, inputs)
    row_seconds = forward_seconds(network, inputs) / num_rows(inputs)
    numbers = sum(value.numel() for value in tensors_of(inputs)) // num_rows(inputs)
    count = min(MAX_ROWS, len(rows), max(FIRST_ROWS, MAX_NUMBERS // max(numbers, 1)))
    count = min(count, max(FIRST_ROWS, int(FORWARD_SECONDS / max(row_seconds, 1e-9))))
    if read_seconds * count > READ_SECONDS:
        count = max(FIRST_ROWS, int(READ_SECONDS / read_seconds))
    inputs, target, *weight = draw(min(count, len(rows)))
    row_seconds = forward_seconds(network, inputs) / num_rows(inputs)  # of a few rows, calls are what takes the time
    classes = task.num_outputs if task.kind == "per_position" else len(task.classes)
    labeled = task.kind in ("binary", "multiclass", "per_position") and not target.is_floating_point()
    num_classes = classes if labeled and classes else None
    held = None
    if validation is not None and len(validation):
        held_inputs, held_target, *_ = draw(min(count, len(validation)), at_hand(validation))
        held = (held_inputs, held_target)
    return Bench(
        network,
        loss,
        inputs,
        target,
        num_classes,
        table,
        row_seconds,
        seed,
        weight[0] if weight else None,
        task=task,
        batch_size=batch_size,
        optimizer=optimizer,
        validation=held,
        budget=budget or Budget(LEAST),
    )


def forward_seconds(network: nn.Module, inputs: Inputs) -> float:
    """Time of one forward pass, the first one having warmed up."""
    with untouched(network), torch.no_grad():
        started = time.thread_time()  # not the clock on the wall: a busy machine must not change the sample
        output = call(network, inputs)
        for value in tensors_in(output):
            value.sum().item()  # synchronizes
        return time.thread_time() - started

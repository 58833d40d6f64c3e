"""A twin: the training once more on a clone, same start, batches and noise, with one thing changed, scored alike."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call
from thalweg.data.task import Task
from thalweg.measure.head import Head
from thalweg.measure.score import Score, score
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating, join, pieces
from thalweg.train.losses import LossFunction
from thalweg.train.step import stepper_of

LOOK = 25  # steps between two looks at the clock and the losses
DIVERGED = 1e3  # times the loss at the start


@dataclass(frozen=True)
class Twin:
    """A training to be repeated.

    Args:
        network: the start; it is cloned.
        loss: `(output, target) -> scalar`.
        plan: resolved; its optimizer, schedule, clipping, regularizer and seed are used.
        num_steps: updates of the whole training, which the schedule is laid over.
        train: feeder of the batches.
        validation: feeder of the rows to score on.
        task: how they are scored.
        head: of the network.
        transform: of the inputs of every batch, where the remedy changes them.
        prepare: what is done to the trained clone before it is scored.
    """

    network: nn.Module
    loss: LossFunction
    plan: Plan
    num_steps: int
    train: Feeder
    validation: Feeder
    task: Task
    head: Head
    transform: Callable[[Inputs], Inputs] | None = None
    prepare: Callable[[nn.Module], None] | None = None

    def with_plan(self, **changes: Any) -> "Twin":
        """The twin under a changed plan: `with_plan(**{"optimizer.lr": 0.01})`."""
        return replace(self, plan=self.plan.replace(**changes))

    def with_seed(self, seed: int) -> "Twin":
        """The same under another order of rows and other noise."""
        feeder = self.train
        other = Feeder(
            feeder.rows,
            batch_size=feeder.batch_size,
            seed=seed,
            shuffle=feeder.shuffle,
            device=feeder.device,
            transform=feeder.transform,
            target_transform=feeder.target_transform,
        )
        return replace(self, train=other, plan=self.plan.replace(seed=seed))


def windows(feeder: Feeder, size: int) -> Iterator[list[tuple[Any, ...]]]:
    """The batches of each update, epoch after epoch, as the training takes them."""
    for epoch in count():
        batches = pieces(feeder, epoch)
        while window := list(islice(batches, size)):
            yield window


def train(twin: Twin, *, steps: int, budget: Budget) -> tuple[nn.Module, int]:
    """The trained clone and how many updates it had: fewer where the budget ran out or the loss was lost."""
    network = clone(twin.network).train()
    assert twin.plan.optimizer != "auto"
    assert twin.plan.optimizer.lr != "auto"
    assert twin.plan.schedule != "auto"
    peak, schedule = float(twin.plan.optimizer.lr), twin.plan.schedule
    step_on = stepper_of(twin.plan, network, twin.loss)
    losses: list[Tensor] = []
    first, done = math.nan, 0
    with global_rng_kept():
        for window in islice(windows(twin.train, twin.plan.accumulate), steps):
            if twin.transform is not None:
                window = [(twin.transform(batch[0]), *batch[1:]) for batch in window]
            rate, momentum = peak * schedule.factor(done, twin.num_steps), schedule.momentum(done, twin.num_steps)
            losses.append(step_on(window, step=done, rate=rate, momentum=momentum))
            done += 1
            if done % LOOK == 0:
                seen = float(torch.stack(losses).mean())  # synchronizes
                losses.clear()
                first = seen if math.isnan(first) else first
                if not (seen <= first + DIVERGED * abs(first)) or not budget.left:
                    break
    return network, done


def score_of(twin: Twin, network: nn.Module) -> Score | None:
    """The score of a trained clone on the validation rows."""
    if twin.prepare is not None:
        twin.prepare(network)
    outputs, targets = [], []
    with evaluating(network), global_rng_kept():
        for inputs, target, *_ in pieces(twin.validation):
            outputs.append(call(network, inputs if twin.transform is None else twin.transform(inputs)))
            targets.append(target)
    if not all(isinstance(output, Tensor) for output in outputs):
        return None
    return score(join(outputs), torch.cat(targets), task=twin.task, head=twin.head)

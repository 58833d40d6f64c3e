"""A twin: the training once more on a clone, same start, batches and noise, with one thing changed, scored alike."""

import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
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

WARM = 2  # steps that take longer than the others
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
        first_step: the update it begins with, where it goes on from a training that made so many.
        state: of the optimizer at that step, as `Step.state_dict` names it; empty at the start.
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
    first_step: int = 0
    state: Mapping[str, Tensor] = field(default_factory=dict)

    def with_plan(self, **changes: Any) -> "Twin":
        """The twin under a changed plan: `with_plan(**{"optimizer.lr": 0.01})`."""
        return replace(self, plan=self.plan.replace(**changes))

    def with_seed(self, seed: int) -> "Twin":
        """The same under another order of rows and other noise."""
        return replace(self, train=self.train.like(seed=seed), plan=self.plan.replace(seed=seed))


def windows(feeder: Feeder, size: int, first: int = 0) -> Iterator[list[tuple[Any, ...]]]:
    """The batches of each update from update number `first` on, epoch after epoch, as the training takes them."""
    epoch, skip = divmod(first, -(-len(feeder) // size))
    for number in count(epoch):
        batches = pieces(feeder, number, skip * size if number == epoch else 0)
        while window := list(islice(batches, size)):
            yield window


class Lane:
    """A twin on its way: it goes on where it stopped, so that twins can be compared before they are finished.

    Args:
        twin: its network is cloned.
    """

    def __init__(self, twin: Twin) -> None:
        assert twin.plan.optimizer != "auto"
        assert twin.plan.optimizer.lr != "auto"
        assert twin.plan.schedule != "auto"
        self.twin, self.network = twin, clone(twin.network).train()
        self.peak, self.schedule = float(twin.plan.optimizer.lr), twin.plan.schedule
        self.step_on = stepper_of(twin.plan, self.network, twin.loss)
        if twin.state:
            self.step_on.load(twin.state)
            own = self.step_on.state_dict()
            with torch.no_grad():
                for name, value in twin.state.items():
                    own[name].copy_(value)
        self.windows = windows(twin.train, twin.plan.accumulate, twin.first_step)
        self.done, self.seconds = 0, 0.0
        self.lost = False  # whether the loss is not finite or a thousand times its start
        self.loss = math.nan  # mean over the steps between the last two looks
        self.first = math.nan  # the same of the first ones

    def advance(self, steps: int, *, budget: Budget) -> None:
        """Takes so many updates more; fewer where the budget runs out or the loss is lost."""
        losses: list[Tensor] = []
        started, last = time.thread_time(), self.done + steps
        self.network.train()
        with global_rng_kept():
            while self.done < last and not self.lost:
                if self.done == WARM:
                    started, self.seconds = time.thread_time(), 0.0
                window = next(self.windows)
                if self.twin.transform is not None:
                    window = [(self.twin.transform(batch[0]), *batch[1:]) for batch in window]
                losses.append(self._step(window))
                self.done += 1
                if self.done % LOOK == 0 or self.done == last:
                    self._look(losses)
                    if not budget.left:
                        break
        self.seconds += time.thread_time() - started

    @property
    def pace(self) -> float:
        """Time of a step, in this thread, the first ones left out."""
        return self.seconds / max(self.done - WARM, 1) if self.done > WARM else self.seconds / max(self.done, 1)

    def _step(self, window: list[tuple[Any, ...]]) -> Tensor:
        step, length = self.twin.first_step + self.done, max(self.twin.num_steps, 1)
        at = min(step, length - 1)
        momentum = self.schedule.momentum(at, length)
        return self.step_on(window, step=step, rate=self.peak * self.schedule.factor(at, length), momentum=momentum)

    def _look(self, losses: list[Tensor]) -> None:
        self.loss = float(torch.stack(losses).mean())  # synchronizes
        losses.clear()
        self.first = self.loss if math.isnan(self.first) else self.first
        self.lost = not self.loss <= self.first + DIVERGED * abs(self.first)

    def score(self, *, rows: int | None = None) -> Score | None:
        """Of the weights as they are now; what `prepare` does is done to a copy, so that the lane can go on."""
        return score_of(self.twin, self.network if self.twin.prepare is None else clone(self.network), rows=rows)


def train(twin: Twin, *, steps: int, budget: Budget) -> tuple[nn.Module, int]:
    """The trained clone and how many updates it had: fewer where the budget ran out or the loss was lost."""
    lane = Lane(twin)
    lane.advance(steps, budget=budget)
    return lane.network, lane.done


def score_of(twin: Twin, network: nn.Module, *, rows: int | None = None) -> Score | None:
    """The score of a trained clone on the validation rows, or on the batches that have the first `rows` of them."""
    if twin.prepare is not None:
        twin.prepare(network)
    outputs: list[Any] = []
    targets, seen = [], 0
    with evaluating(network), global_rng_kept():
        for inputs, target, *_ in pieces(twin.validation):
            outputs.append(call(network, inputs if twin.transform is None else twin.transform(inputs)))
            targets.append(target)
            seen += len(target)
            if rows is not None and seen >= rows:
                break
    if not all(isinstance(output, Tensor) for output in outputs) or len({t.shape[1:] for t in targets}) > 1:
        return None
    if len({output.shape[1:] for output in outputs}) > 1:
        return None
    return score(join(outputs), torch.cat(targets), task=twin.task, head=twin.head)

"""The course of a race: lanes train clones from the same start on the same batches and are scored on the same rows."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, BatchRows, call, is_divisible, take, tensors_of
from thalweg.data.sample import at_hand, in_memory, read
from thalweg.data.seeds import PROBE, mix
from thalweg.errors import TrainingError
from thalweg.measure.answers import Sheet, constant_starts
from thalweg.measure.head import head_of
from thalweg.measure.lbfgs import LBFGS
from thalweg.parts.metrics.forms import class_dim
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

HELD_ROWS = 1024  # to score on, at most
HELD_BYTES = 64 * 2**20
POOL_BYTES = 256 * 2**20  # of the rows that lanes train on
BLOCKS = 16  # of the held-out rows, compared in pairs: any loss can be taken of a block, not of one row
SCORED_AT = (0.8, 0.9, 1.0)  # of the steps; a mean of three is steadier than the last
ANSWER_NUMBERS = 10**6  # of outputs on which the best constant answer is sought
LABELS_PER_CLASS = 3  # at least, to know how often each occurs
DIVERGED = 4.0  # times the loss at the start

MakeStep = Callable[[nn.Module, int], Step]


@dataclass(frozen=True)
class Lane:
    """One training of a race.

    Args:
        rate: its constant rate.
        seed: number of its order of rows and of its noise.
        scores: `[blocks]` losses on the held-out blocks, mean over the last fifth; infinite where it diverged.
        steps: how many steps it took.
        seconds: what these took, without the copy and the scores.
    """

    rate: float
    seed: int
    scores: Tensor
    steps: int
    seconds: float

    @property
    def score(self) -> float:
        return float(self.scores.mean())


def divide(rows: AnyRows, *, batch_size: int, steps: int, seed: int) -> tuple[AnyRows, AnyRows]:
    """Training rows as a pool to train on and rows to score on, in memory; no more are read than `steps` need."""
    rows, draw = at_hand(rows), torch.Generator().manual_seed(mix(PROBE, seed))
    if isinstance(rows, BatchRows):
        return divide_batches(rows, draw)
    order = torch.randperm(len(rows), generator=draw)
    one, _ = next(Feeder(read(rows, order[:1]), batch_size=1, seed=seed).epoch(0))
    row_bytes = sum(value.nbytes for value in tensors_of(one))
    few = max(len(rows) // 5, 1)
    held = min(few, max(8 * batch_size, 256), HELD_ROWS, max(HELD_BYTES // max(row_bytes, 1), 2 * batch_size))
    pool = min(len(rows) - held, steps * batch_size, max(POOL_BYTES // max(row_bytes, 1), batch_size))
    return read(rows, order[held : held + pool]), read(rows, order[:held])


def rows_at_once(target: Tensor) -> int:
    """How many rows to score at once: all, unless their outputs, one per class of each position, would be too large."""
    if target.is_floating_point() or target.dim() < 2:
        return len(target)
    numbers = target[0].numel() * (int(target.max()) + 1)
    return max(1, min(len(target), HELD_BYTES // 4 // max(numbers, 1)))


def divide_batches(rows: BatchRows, draw: torch.Generator) -> tuple[BatchRows, BatchRows]:
    """Whole batches: a fifth of them to score on, the others to train on."""
    order = torch.randperm(len(rows.sample), generator=draw).tolist()
    if len(order) < 2:
        raise TrainingError(
            "A race of rates needs two batches at least, one to train on and one to score on, and the DataLoader gave "
            "one. Give smaller batches, or the rate: Plan(optimizer=tw.optimizers.AdamW(lr=0.001), probes=False)."
        )
    held = max(len(order) // 5, 1)
    scored, trained = ([rows.sample[i] for i in some] for some in (order[:held], order[held:]))
    return in_memory(rows, trained), in_memory(rows, scored)


class Course:
    """What all lanes of a race share.

    Args:
        network: the start; it is cloned for each lane.
        loss: `(output, target) -> scalar`.
        make_step: `(network, seed) -> Step`, as in the training.
        feeders: `seed -> Feeder` of the pool.
        held: feeder of the rows to score on; all in one batch, where rows can be taken out of a batch.
        accumulate: batches per step, as in the training.
        marks: shares of the steps at which lanes are scored; their mean counts.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: LossFunction,
        make_step: MakeStep,
        feeders: Callable[[int], Feeder],
        held: Feeder,
        *,
        accumulate: int = 1,
        marks: tuple[float, ...] = SCORED_AT,
    ) -> None:
        self.accumulate, self.marks = accumulate, marks
        self.network, self.loss, self.make_step, self.feeders = network, loss, make_step, feeders
        batches = list(pieces(held))
        self.inputs, self.target, *self.weight = batches[0]
        self.count = sum(len(target) for _, target, *_ in batches)
        size = max(len(self.target) // min(BLOCKS, max(len(self.target) // 4, 2)), 1)
        self.blocks = [slice(k, k + size) for k in range(0, len(self.target) - size + 1, size)]
        self.apart: list[tuple[Any, ...]] = []  # the blocks, where they are not rows of one batch
        if len(batches) > 1 or not is_divisible(self.inputs):
            self.apart = batches
        self.start = self.score(scored_form(clone(network)))
        self.constant = self._constant()
        self.num_steps = 0  # of all lanes so far

    def batches(self, seed: int) -> Iterator[tuple[Any, ...]]:
        """Whole batches without end: a short last one would be noisier, and one row alone fails in a batch norm."""
        feeder = self.feeders(seed)
        if isinstance(feeder.rows, BatchRows):
            least = min(2, max(feeder.rows.sizes))
            return (batch for epoch in count() for batch in pieces(feeder, epoch) if len(batch[1]) >= least)
        size = min(feeder.batch_size, len(feeder.rows))
        return (batch for epoch in count() for batch in pieces(feeder, epoch) if len(batch[1]) == size)

    def windows(self, seed: int) -> Iterator[list[tuple[Any, ...]]]:
        """The batches of each step, without end."""
        batches = self.batches(seed)
        while True:
            yield list(islice(batches, self.accumulate))

    def run(self, rate: float, *, steps: int, seed: int = 0) -> Lane:
        """Trains a clone at one constant rate; stops early where it diverges."""
        network = clone(self.network).train()
        train = self.make_step(network, seed)
        marks = sorted({max(1, round(share * steps)) for share in self.marks})
        limit = float(self.start.mean()) + (DIVERGED - 1) * abs(float(self.start.mean()))
        look = max(3, steps // 6)
        recent, scores, seconds, started = [], [], 0.0, time.monotonic()
        for step, window in enumerate(islice(self.windows(seed), steps), start=1):
            recent.append(train(window, step=step - 1, rate=rate))
            if step % look == 0 or step in marks:
                seen = torch.stack(recent).mean().item()  # synchronizes
                recent.clear()
                if not seen <= limit:
                    break
            if step in marks:
                seconds += time.monotonic() - started
                scores.append(self.score(scored_form(network)))
                network.train()
                started = time.monotonic()
        seconds += time.monotonic() - started
        self.num_steps += step
        done = len(scores) == len(marks) and bool(torch.stack(scores).isfinite().all())
        mean = torch.stack(scores).mean(0) if done else torch.full_like(self.start, math.inf)
        return Lane(rate, seed, mean, step, seconds)

    def score(self, network: nn.Module) -> Tensor:
        """`[blocks]` losses on the rows held out."""
        with torch.no_grad():
            if self.apart:
                values = [self.loss(call(network, inputs), *target) for inputs, *target in self.apart]
                return torch.stack([v.reshape(()) for v in values]).double().cpu()  # synchronizes
            output = call(network, self.inputs)
            if isinstance(output, Tensor) and len(output) == len(self.target):
                values = [self._loss(output[block], block) for block in self.blocks]
            else:
                rows = torch.arange(len(self.target))
                inputs = [take(self.inputs, rows[block]) for block in self.blocks]
                values = [self._loss(call(network, i), b) for i, b in zip(inputs, self.blocks, strict=True)]
            return torch.stack([v.reshape(()) for v in values]).double().cpu()  # synchronizes

    def _loss(self, output: Any, block: slice) -> Tensor:
        return self.loss(output, self.target[block], *(weight[block] for weight in self.weight))

    def _constant(self) -> Tensor | None:
        """`[blocks]` losses of the best constant answer to the pool; None where the outputs are no tensor of rows."""
        batches = list(pieces(self.feeders(0)))
        with torch.enable_grad():
            output = call(scored_form(clone(self.network)), batches[0][0])
        if not isinstance(output, Tensor) or not output.requires_grad or len(output) != len(batches[0][1]):
            return None
        if self.apart or len({target.shape[1:] for _, target, *_ in batches}) > 1:  # no one answer has all lengths
            return None
        targets = torch.cat([target for _, target, *_ in batches])
        weight = torch.cat([weight for *_, weight in batches]) if self.weight else None
        answer = constant_answer(self.loss, output, targets, weight)
        if answer is None:
            return None
        with torch.no_grad():
            wide = answer.expand(len(self.target), *output.shape[1:])
            values = [self._loss(wide[block], block) for block in self.blocks]
            return torch.stack([v.reshape(()) for v in values]).double().cpu()


def constant_answer(loss: LossFunction, output: Tensor, targets: Tensor, weight: Tensor | None = None) -> Tensor | None:
    """The answer `[1, ...]`, within the head's range, that has the lowest loss when it is given to all rows."""
    rows = max(1, min(len(targets), ANSWER_NUMBERS // max(output[0].numel(), 1)))
    dim = class_dim(output, targets[: len(output)])
    if dim is not None and targets.dim() > 1 and targets[:rows].numel() < LABELS_PER_CLASS * output.shape[dim]:
        return None  # the frequencies of so many classes are not known from so few labels
    classes = None if targets.is_floating_point() else int(targets.max()) + 1
    head = head_of(output)
    zeros = output.detach().new_zeros(rows, *output.shape[1:])
    sheet = Sheet(loss, zeros, targets[:rows], head, classes, None if weight is None else weight[:rows])
    best, lowest = None, math.inf
    for start in constant_starts(sheet, head):
        free = start.detach().clone().requires_grad_()
        optimizer = LBFGS([free], max_iter=30)

        def closure(free: Tensor = free) -> Tensor:
            value = sheet.take(head.outputs(free).expand_as(sheet.output))
            (free.grad,) = torch.autograd.grad(value, free)
            return value

        try:
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError, IndexError):  # outside of the loss's domain: the other starts decide
            continue
        answer = head.outputs(free.detach())
        if (value := sheet.value(answer.expand_as(sheet.output))) < lowest:
            best, lowest = answer, value
    return best


def scored_form(network: nn.Module) -> nn.Module:
    """Evaluation mode, but batch norms take the statistics of their batch: running ones lag behind so early."""
    network.eval()
    for module in network.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.train()
    return network

"""The course of a race: lanes train clones from the same start on the same batches and are scored on the same rows."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count, islice

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, Inputs, Rows, call, read, take, tensors_of
from thalweg.data.seeds import PROBE, mix
from thalweg.measure.answers import Sheet, constant_starts
from thalweg.measure.head import head_of
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

HELD_ROWS = 1024  # to score on, at most
HELD_BYTES = 64 * 2**20
POOL_BYTES = 256 * 2**20  # of the rows that lanes train on
BLOCKS = 16  # of the held-out rows, compared in pairs: any loss can be taken of a block, not of one row
SCORED_AT = (0.8, 0.9, 1.0)  # of the steps; a mean of three is steadier than the last
ANSWER_NUMBERS = 10**6  # of outputs on which the best constant answer is sought
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


def divide(rows: AnyRows, *, batch_size: int, steps: int, seed: int) -> tuple[Rows, Rows]:
    """Training rows as a pool to train on and rows to score on; no more are read than `steps` need."""
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(mix(PROBE, seed)))
    row_bytes = sum(value.nbytes for value in tensors_of(read(rows, order[:1]).inputs))
    few = max(len(rows) // 5, 1)
    held = min(few, max(8 * batch_size, 256), HELD_ROWS, max(HELD_BYTES // max(row_bytes, 1), 2 * batch_size))
    pool = min(len(rows) - held, steps * batch_size, max(POOL_BYTES // max(row_bytes, 1), batch_size))
    return read(rows, order[held : held + pool]), read(rows, order[:held])


class Course:
    """What all lanes of a race share.

    Args:
        network: the start; it is cloned for each lane.
        loss: `(output, target) -> scalar`.
        make_step: `(network, seed) -> Step`, as in the training.
        feeders: `seed -> Feeder` of the pool.
        held: feeder of the rows to score on, all in one batch.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: LossFunction,
        make_step: MakeStep,
        feeders: Callable[[int], Feeder],
        held: Feeder,
    ) -> None:
        self.network, self.loss, self.make_step, self.feeders = network, loss, make_step, feeders
        self.inputs, self.target = next(iter(held.epoch(0)))
        size = max(len(self.target) // min(BLOCKS, max(len(self.target) // 4, 2)), 1)
        self.blocks = [slice(k, k + size) for k in range(0, len(self.target) - size + 1, size)]
        self.start = self.score(scored_form(clone(network)))
        self.constant = self._constant()
        self.num_steps = 0  # of all lanes so far

    def batches(self, seed: int) -> Iterator[tuple[Inputs, Tensor]]:
        """Whole batches without end: a short last one would be noisier, and one row alone fails in a batch norm."""
        feeder = self.feeders(seed)
        size = min(feeder.batch_size, len(feeder.rows))
        return (batch for epoch in count() for batch in feeder.epoch(epoch) if len(batch[1]) == size)

    def run(self, rate: float, *, steps: int, seed: int = 0) -> Lane:
        """Trains a clone at one constant rate; stops early where it diverges."""
        network = clone(self.network).train()
        train = self.make_step(network, seed)
        marks = sorted({max(1, round(share * steps)) for share in SCORED_AT})
        limit = float(self.start.mean()) + (DIVERGED - 1) * abs(float(self.start.mean()))
        look = max(3, steps // 6)
        recent, scores, seconds, started = [], [], 0.0, time.monotonic()
        for step, (inputs, target) in enumerate(islice(self.batches(seed), steps), start=1):
            recent.append(train(inputs, target, step=step - 1, rate=rate))
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
            output = call(network, self.inputs)
            if isinstance(output, Tensor) and len(output) == len(self.target):
                values = [self.loss(output[block], self.target[block]) for block in self.blocks]
            else:
                rows = torch.arange(len(self.target))
                inputs = [take(self.inputs, rows[block]) for block in self.blocks]
                values = [self.loss(call(network, i), self.target[b]) for i, b in zip(inputs, self.blocks, strict=True)]
            return torch.stack([v.reshape(()) for v in values]).double().cpu()  # synchronizes

    def _constant(self) -> Tensor | None:
        """`[blocks]` losses of the best constant answer to the pool; None where the outputs are no tensor of rows."""
        batches = list(self.feeders(0).epoch(0))
        with torch.enable_grad():
            output = call(scored_form(clone(self.network)), batches[0][0])
        targets = torch.cat([target for _, target in batches])
        if not isinstance(output, Tensor) or not output.requires_grad or len(output) != len(batches[0][1]):
            return None
        answer = constant_answer(self.loss, output, targets)
        if answer is None:
            return None
        with torch.no_grad():
            wide = answer.expand(len(self.target), *answer.shape[1:])
            values = [self.loss(wide[block], self.target[block]) for block in self.blocks]
            return torch.stack([v.reshape(()) for v in values]).double().cpu()


def constant_answer(loss: LossFunction, output: Tensor, targets: Tensor) -> Tensor | None:
    """The answer `[1, ...]`, within the head's range, that has the lowest loss when it is given to all rows."""
    rows = max(1, min(len(targets), ANSWER_NUMBERS // max(output[0].numel(), 1)))
    classes = None if targets.is_floating_point() else int(targets.max()) + 1
    head = head_of(output)
    sheet = Sheet(loss, output.detach().new_zeros(rows, *output.shape[1:]), targets[:rows], head, classes)
    best, lowest = None, math.inf
    for start in constant_starts(sheet, head):
        free = start.detach().clone().requires_grad_()
        optimizer = torch.optim.LBFGS([free], max_iter=30, line_search_fn="strong_wolfe")

        def closure(free: Tensor = free) -> Tensor:
            value = loss(head.outputs(free).expand_as(sheet.output), sheet.target).reshape(())
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

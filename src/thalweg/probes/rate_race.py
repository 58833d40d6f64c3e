"""The rate race: constant rates on clones, from the same start on the same batches, scored on rows they did not see.

It finds the learning rate with an interval, and says when no rate learns anything (L36, L38).
"""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.rows import AnyRows, Inputs
from thalweg.data.seeds import PROBE, mix
from thalweg.errors import TrainingError
from thalweg.parts.optimizers import SGD, Adagrad, Optimizer
from thalweg.probes.course import Course, Lane, divide
from thalweg.probes.paired_test import Difference, difference, quantile
from thalweg.readings import Reading
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.noise import global_rng_kept
from thalweg.train.step import Step

STEPS = (15, 150)  # of a lane
LANES = 20  # of a usual race: seven rates half a decade apart, the best of them again with other orders, finer ones
FIRST_RATES = (1e-4, 1e-1)  # for optimizers that divide by the gradient's size; a decade higher and lower where needed
FURTHEST = (1e-9, 1e4)
SEEDS = 3
LONGER = 4  # times the steps, before it is said that nothing can be learned
NEAR = 0.3  # decades: width of the smoothing
UNDECIDED = 0.02  # of the constant answer's loss: an improvement that large must be excluded to say "nothing"


@dataclass(frozen=True)
class Race:
    """How a race ended.

    Args:
        rate: minimum of the smoothed curve of held-out loss over the rate.
        low: lowest rate that is not measurably worse than the best.
        high: highest such rate.
        learnable: whether some rate does better on held-out rows than the best constant answer; False where it was
            shown that none does, None where the race was too short to tell.
        readings: `race.loss` and `race.excess` per rate, `race.rate`, `race.start`, `race.constant`, `race.learnable`,
            `race.steps`.
        text: one line for people: `"lr 0.003..0.02 → 0.008"`.
        steps: optimizer steps of all lanes.
        seconds: time it took.
    """

    rate: float
    low: float
    high: float
    learnable: bool | None
    readings: tuple[Reading, ...]
    text: str
    steps: int
    seconds: float


def race(
    network: nn.Module,
    loss: LossFunction,
    optimizer: Optimizer,
    rows: AnyRows,
    *,
    batch_size: int,
    clip_norm: float | None = None,
    decay_all: bool = False,
    seed: int = 0,
    device: torch.device | str = "cpu",
    transform: Callable[[Inputs], Inputs] | None = None,
    target_transform: Callable[[Tensor], Tensor] | None = None,
    seconds: float = 2.0,
) -> Race:
    """Races constant rates; network, buffers and random generators are left as found.

    Args:
        network: the start of the training.
        loss: `(output, target) -> scalar`.
        optimizer: hyper-parameters; where its `lr` is a number, that rate takes part.
        rows: training rows; up to a fifth of them is held out to score on, the lanes train on the others.
        batch_size: rows per step, as in the training.
        clip_norm: as in the training.
        decay_all: as in the training.
        seed: decides what is held out, the orders of rows and the noise.
        device: where to train.
        transform: of the inputs, as in the training.
        target_transform: of the targets.
        seconds: time to aim at; it decides the steps per lane (15 to 150) and how many orders are tried. A lane of a
            large network has at least 15 steps, so that a race of one takes longer.

    Raises:
        TrainingError: when the loss is not finite at any rate.
    """
    started = time.monotonic()
    with global_rng_kept():
        pool, held = divide(rows, batch_size=batch_size, steps=STEPS[1], seed=seed)
        size = min(batch_size, len(pool))
        loss = clone(loss) if isinstance(loss, nn.Module) else loss  # type: ignore[assignment]

        def feed(fed: AnyRows, rows_per_batch: int, number: int, shuffle: bool = True) -> Feeder:
            return Feeder(
                fed,
                batch_size=rows_per_batch,
                seed=mix(PROBE, seed, number),
                shuffle=shuffle,
                device=device,
                transform=transform,
                target_transform=target_transform,
            )

        course = Course(
            clone(network).to(device),
            loss,
            lambda net, number: Step(
                net, loss, optimizer, clip_norm=clip_norm, decay_all=decay_all, seed=mix(PROBE, seed, number)
            ),
            lambda number: feed(pool, size, number),
            feed(held, len(held), 0, shuffle=False),
        )
        grid = _Grid(course, optimizer, seconds)
        grid.search()
        learnable = grid.learnable()
    return grid.conclude(learnable, time.monotonic() - started)


class _Grid:
    """The rates tried so far, and which to try next."""

    def __init__(self, course: Course, optimizer: Optimizer, seconds: float) -> None:
        self.course = course
        self.own = None if optimizer.lr == "auto" else float(optimizer.lr)
        self.factor = 1 - optimizer.momentum if isinstance(optimizer, SGD) else 1.0
        if isinstance(optimizer, SGD | Adagrad):
            self.factor *= 100 if isinstance(optimizer, SGD) else 10
        self.lanes: dict[float, list[Lane]] = {}
        self.deadline = time.monotonic() + seconds
        self.steps = self._affordable(seconds)

    def _affordable(self, seconds: float) -> int:
        """Steps per lane such that the usual number of lanes takes `seconds`. A first, short lane warms up."""
        rate = FIRST_RATES[0] * self.factor
        self.course.run(rate, steps=3)
        started = time.monotonic()
        self.course.run(rate, steps=5)
        return int(min(max(5 * seconds / LANES / (time.monotonic() - started), STEPS[0]), STEPS[1]))

    def try_rate(self, rate: float, seed: int = 0) -> float:
        """Runs a lane, once per rate and order; its score."""
        own = self.lanes.setdefault(rate, [])
        if len(own) <= seed:
            own.append(self.course.run(rate, steps=self.steps, seed=seed))
        return own[seed].score

    def search(self) -> None:
        """Half a decade apart, wider where the best is at an edge; then finer, and with other orders."""
        low, high = (round(2 * math.log10(rate * self.factor)) for rate in FIRST_RATES)
        failed = 0
        for k in range(low, high + 1):
            failed = failed + 1 if self.try_rate(10 ** (k / 2)) == math.inf else 0
            if failed == 2:
                break
        while self._coarse_best() == min(self.lanes) > FURTHEST[0]:
            self.try_rate(10 ** (round(2 * math.log10(min(self.lanes))) / 2 - 0.5))
        while self._coarse_best() == max(self.lanes) < FURTHEST[1]:
            self.try_rate(10 ** (round(2 * math.log10(max(self.lanes))) / 2 + 0.5))
        best = self._coarse_best()
        if self.own is not None:
            self.try_rate(self.own)
        for rate in (best / 10**0.25, best * 10**0.25):
            if self._in_time():
                self.try_rate(rate)
        near = [r for r in self.lanes if abs(math.log10(r / best)) < 0.6 and self.lanes[r][0].score < math.inf]
        for seed in range(1, SEEDS):
            if self._in_time(len(near)):
                for rate in dict.fromkeys([*near, *([self.own] if self.own else [])]):
                    self.try_rate(rate, seed)

    def _in_time(self, lanes: int = 1) -> bool:
        return time.monotonic() < self.deadline

    def _coarse_best(self) -> float:
        return min(self.lanes, key=lambda rate: (self.lanes[rate][0].score, rate))

"""The rate race: constant rates on clones, from the same start on the same batches, scored on rows they did not see.

It finds the learning rate with an interval, and says when no rate learns anything (L36, L38).
"""

import time
from collections.abc import Callable
from itertools import cycle, islice

import torch
from torch import Tensor, nn

from thalweg.data.augmented import Augmenter
from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import AnyRows, Inputs, Rows, is_divisible
from thalweg.data.sample import read
from thalweg.data.seeds import PROBE, mix
from thalweg.errors import TrainingError
from thalweg.parts.optimizers import Optimizer
from thalweg.parts.regularizers import Regularizer
from thalweg.probes.budget import budget_of
from thalweg.probes.course import BLOCKS, SCORED_AT, Course, divide, rows_at_once
from thalweg.probes.narrow_grid import NarrowGrid
from thalweg.probes.rate_grid import STEPS, Grid
from thalweg.probes.rate_grid import Race as Race
from thalweg.probes.rate_grid import smoothed_minimum as smoothed_minimum
from thalweg.probes.rate_grid import span as span
from thalweg.train.clipping import Clipping
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step

GIVEN_SHARE = 0.25  # of what check and diagnosis may spend, for a race that judges a given rate
WHOLE_RACE = 300  # steps at least, scores counted in, that a whole race makes
FEW_LANES = 4.5  # of a race of few rates, scores and copies counted in
FEW_STEPS = 12  # of its lanes at least: fewer say nothing about a rate
FEW_ROWS = 256  # to score them on


def race(
    network: nn.Module,
    loss: LossFunction,
    optimizer: Optimizer,
    rows: AnyRows,
    *,
    batch_size: int,
    accumulate: int = 1,
    clipping: Clipping = Clipping(),  # noqa: B008
    regularizer: Regularizer | None = None,
    decay_all: bool = False,
    trained_loss: LossFunction | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    transform: Callable[[Inputs], Inputs] | None = None,
    target_transform: Callable[[Tensor], Tensor] | None = None,
    augment: Augmenter | None = None,
    seconds: float = 2.0,
    training_steps: int | None = None,
) -> Race:
    """Races constant rates. Network, buffers and random generators are left as found.

    Args:
        network: the start of the training.
        loss: `(output, target) -> scalar`.
        optimizer: hyper-parameters; where its `lr` is a number, that rate takes part.
        rows: training rows; up to a fifth is held out to score on, the lanes train on the others.
        batch_size: rows per batch, as in the training.
        accumulate: batches per step, as in the training.
        clipping: as in the training.
        regularizer: as in the training.
        decay_all: as in the training.
        trained_loss: what the lanes are trained on, where it is not the loss that they are scored by.
        seed: decides what is held out, the orders of rows and the noise.
        device: where to train.
        transform: of the inputs, as in the training.
        target_transform: of the targets.
        augment: of the batches that are trained on.
        seconds: time to aim at. It decides the steps per lane and how many orders are tried; because a lane has at
            least 24 steps, the race of a large network takes longer.
        training_steps: updates of a training whose given rate is judged. The race then takes at most a quarter of what
            check and diagnosis may spend on it, with fewer rates and steps, and is left out where that is too little.

    Raises:
        TrainingError: when the loss is not finite at any rate, or there is no time to judge a given one.

    >>> from thalweg.data.rows import Rows
    >>> from thalweg.parts.optimizers import AdamW
    >>> x = torch.randn(400, 4, generator=torch.Generator().manual_seed(0))
    >>> rows = Rows(x, x.sum(1, keepdim=True), torch.arange(400), "train")
    >>> found = race(nn.Linear(4, 1), nn.functional.mse_loss, AdamW(), rows, batch_size=32, seconds=0.3)
    >>> found.low <= found.rate <= found.high, found.learnable
    (True, True)
    """
    started = time.monotonic()
    with global_rng_kept():
        pool, held = divide(rows, batch_size=batch_size * accumulate, steps=STEPS[1], seed=seed)
        fed = {"device": device, "transform": transform, "target_transform": target_transform}
        trained_on = {**fed, "augment": augment}
        own_loss = clone(loss) if isinstance(loss, nn.Module) else loss
        trained = trained_loss or own_loss
        own_trained = clone(trained) if isinstance(trained, nn.Module) else trained

        def make_step(copy: nn.Module, number: int) -> Step:
            noise = mix(PROBE, seed, number)
            return Step(
                copy,
                own_trained,
                optimizer,
                clipping=clipping,
                regularizer=regularizer,
                decay_all=decay_all,
                seed=noise,
            )

        def feed(number: int) -> Feeder:
            return Feeder(pool, batch_size=min(batch_size, len(pool)), seed=mix(PROBE, seed, number), **trained_on)  # type: ignore[arg-type]

        start, few = clone(network).to(device), 0
        if training_steps is not None:
            pace = step_seconds(make_step(clone(start).train(), 0), feed(0), accumulate)
            seconds, few = affordable(min(seconds, GIVEN_SHARE * budget_of(pace * training_steps)), pace)
            held = first_rows(held, FEW_ROWS) if few else held
        scored = Feeder(held, batch_size=rows_at_once(held.target), seed=0, shuffle=False, **fed)  # type: ignore[arg-type]
        if not is_divisible(next(scored.epoch(0))[0]):
            scored = Feeder(held, batch_size=max(len(held) // BLOCKS, 1), seed=0, shuffle=False, **fed)  # type: ignore[arg-type]
        course = Course(
            start, own_loss, make_step, feed, scored, accumulate=accumulate, marks=(1.0,) if few else SCORED_AT
        )
        grid = NarrowGrid(course, optimizer, seconds, few) if few else Grid(course, optimizer, seconds)
        grid.bounded = training_steps is not None
        grid.search()
        learnable = grid.learnable()
    return grid.conclude(learnable, time.monotonic() - started)


def affordable(seconds: float, pace: float) -> tuple[float, int]:
    """What a whole race of so many seconds may take; or, where that is too little, the steps of each of a few lanes.

    >>> affordable(2.0, 0.001), affordable(1.25, 0.01)
    ((2.0, 0), (1.25, 24))
    """
    if seconds >= WHOLE_RACE * pace:
        return seconds, 0
    steps = int(seconds / pace / FEW_LANES)
    if steps < FEW_STEPS:
        raise TrainingError(
            f"{FEW_STEPS} steps at each of a few rates take longer than the {seconds:.2g} s that a probe of a given "
            "rate may; the diagnosis judges the rate by twins of the training."
        )
    return seconds, min(steps, STEPS[0])


def step_seconds(take: Step, feeder: Feeder, accumulate: int) -> float:
    """Time of a step, in this thread, after a first one that warms up."""
    batches = cycle(list(islice(pieces(feeder), accumulate)))
    for step in range(3):
        if step == 1:
            started = time.thread_time()
        take(list(islice(batches, accumulate)), step=step, rate=0.0)
    return max((time.thread_time() - started) / 2, 1e-6)


def first_rows(rows: AnyRows, count: int) -> AnyRows:
    """At most so many of rows in memory; batches of a DataLoader stay whole."""
    return read(rows, torch.arange(count)) if isinstance(rows, Rows) and len(rows) > count else rows

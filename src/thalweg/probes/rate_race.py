"""The rate race: constant rates on clones, from the same start on the same batches, scored on rows they did not see.

It finds the learning rate with an interval, and says when no rate learns anything (L36, L38).
"""

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import AnyRows, Inputs, is_divisible
from thalweg.data.seeds import PROBE, mix
from thalweg.parts.optimizers import Optimizer
from thalweg.parts.regularizers import Regularizer
from thalweg.probes.course import BLOCKS, Course, divide, rows_at_once
from thalweg.probes.rate_grid import STEPS, Grid
from thalweg.probes.rate_grid import Race as Race
from thalweg.train.clipping import Clipping
from thalweg.train.clone import clone
from thalweg.train.losses import LossFunction
from thalweg.train.step import Step


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
    seconds: float = 2.0,
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
        seconds: time to aim at. It decides the steps per lane and how many orders are tried; because a lane has at
            least 15 steps, the race of a large network takes longer.

    Raises:
        TrainingError: when the loss is not finite at any rate.

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
            return Feeder(pool, batch_size=min(batch_size, len(pool)), seed=mix(PROBE, seed, number), **fed)  # type: ignore[arg-type]

        scored = Feeder(held, batch_size=rows_at_once(held.target), seed=0, shuffle=False, **fed)  # type: ignore[arg-type]
        if not is_divisible(next(scored.epoch(0))[0]):
            scored = Feeder(held, batch_size=max(len(held) // BLOCKS, 1), seed=0, shuffle=False, **fed)  # type: ignore[arg-type]
        start = clone(network).to(device)
        course = Course(start, own_loss, make_step, feed, scored, accumulate=accumulate)
        grid = Grid(course, optimizer, seconds)
        grid.search()
        learnable = grid.learnable()
    return grid.conclude(learnable, time.monotonic() - started)

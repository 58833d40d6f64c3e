"""Measures of one class per position: tokens of a sequence, pixels of a mask. Ignored positions count nowhere (L41).

They are sums over positions, so that a batch leaves three numbers per row and the outputs `[N, L, V]` of all rows never
stand in memory together.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.parts.metrics.forms import IGNORED, Kind, Metric, positions, refuse_nan, same_rows

HITS, LOSS, COUNT = range(3)


def row_sums(output: Tensor, target: Tensor) -> Tensor:
    """`[N, 3]` float64 sums over the positions of each row: right ones, `-log p(true class)` in nats, counted ones.

    Args:
        output: `[N, ..., V]` logits, or `[N, V, ...]`.
        target: `[N, ...]` class indices; -100 is ignored.

    Raises:
        DataError: for shapes that do not fit or do not tell the classes' dimension, a NaN, a label outside 0 to V-1.

    >>> logits = torch.tensor([[[2.0, 0.0], [0.0, 2.0], [0.0, 2.0]]])
    >>> row_sums(logits, torch.tensor([[0, 0, -100]]))
    tensor([[1.0000, 2.2539, 2.0000]], dtype=torch.float64)
    """
    same_rows(output, target)
    logits, true = positions(output.detach(), target.detach())
    counted = true != IGNORED
    wrong = counted & ((true < 0) | (true >= logits.shape[1]))
    if bool(wrong.any()):  # synchronizes the device
        raise DataError(
            f"A label is a whole number from 0 to {logits.shape[1] - 1}, or {IGNORED} where it is ignored; received "
            f"{int(true[wrong][0])}. Give the last layer one output per class."
        )
    # float32: a copy of all logits in float64 would double the memory of the largest tensor there is. Its log-softmax
    # errs by some 1e-7 of the logit, far below the noise of any mean of them; the sums are float64.
    losses = functional.cross_entropy(logits.float(), true, reduction="none", ignore_index=IGNORED)
    refuse_nan(losses, "The output")
    hits = (logits.argmax(1) == true) & counted
    parts = [part.reshape(len(target), -1).double().sum(1) for part in (hits, losses, counted)]
    return torch.stack(parts, 1)


def sums(output: Tensor, target: Tensor) -> Tensor:
    """`[3]` float64: `row_sums` of all rows."""
    return row_sums(output, target).sum(0)


def accuracy(state: Tensor) -> float:
    """Share of counted positions decided rightly; NaN without any."""
    return float(state[HITS] / state[COUNT])


def log_loss(state: Tensor) -> float:
    """Mean of `-log p(true class)` over the counted positions, in nats; NaN without any."""
    return float(state[LOSS] / state[COUNT])


def perplexity(state: Tensor) -> float:
    """`exp(log loss)`: among how many equally likely classes a position is still undecided; V for a guess.

    >>> round(perplexity(sums(torch.zeros(1, 4, 65), torch.tensor([[1, 2, 3, 4]]))), 3)
    65.0
    """
    loss = log_loss(state)
    return math.exp(loss) if not loss > 700 else math.inf


def why_undefined(target: Tensor) -> str:
    """Why the measures are NaN; empty where they are defined."""
    return "" if bool((target != IGNORED).any()) else "no position counts"


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind != "per_position":
        return []

    def of(name: str, higher: bool, merge: Callable[[Tensor], float]) -> Metric:
        return Metric(
            name, higher, lambda output, target: merge(sums(output, target)), lambda _, target: why_undefined(target),
            sums, merge,
        )  # fmt: skip

    return [of("accuracy", True, accuracy), of("perplexity", False, perplexity), of("log_loss", False, log_loss)]

"""Measures of one class per position: tokens of a sequence, pixels of a mask. Ignored positions count nowhere (L41).

They are sums over positions, so that a batch leaves three numbers per row and the outputs `[N, L, V]` of all rows never
stand in memory together.
"""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from thalweg.errors import DataError
from thalweg.parts.metrics.forms import IGNORED, Form, Kind, Metric, positions, refuse_nan, same_rows
from thalweg.parts.metrics.top_k import check_k, ranks

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


def counted(_: Tensor, target: Tensor) -> str:
    return why_undefined(target)


def top_k_sums(output: Tensor, target: Tensor, *, k: int) -> Tensor:
    """`[2]` float64: positions whose true class is among the first k, and counted positions."""
    row_sums(output, target)  # refuses what cannot be measured
    logits, true = positions(output.detach(), target.detach())
    check_k(k, logits.shape[1])
    rows = (true != IGNORED).nonzero()[:, 0]
    hits = ranks(logits[rows], true[rows]) < k
    return torch.stack([hits.sum(), rows.new_tensor(len(rows))]).double()


def metrics(kind: Kind) -> list[Metric]:
    """The metrics of this family on a network's logits."""
    if kind != "per_position":
        return []

    def of(name: str, higher: bool, merge: Callable[[Tensor], float]) -> Metric:
        return Metric(name, higher, lambda output, target: merge(sums(output, target)), counted, sums, merge)

    return [of("accuracy", True, accuracy), of("perplexity", False, perplexity), of("log_loss", False, log_loss)]


def forms(kind: Kind) -> list[Form]:
    """Top-k accuracy for any k."""

    def share(state: Tensor) -> float:
        return float(state[0] / state[1])

    def top_k(name: str, k: float) -> Metric:
        state = partial(top_k_sums, k=int(k))
        return Metric(name, True, lambda output, target: share(state(output, target)), counted, state, share)

    return [Form("top_5_accuracy", r"top_(\d+)_accuracy", top_k)] if kind == "per_position" else []

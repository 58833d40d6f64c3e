"""Whether labels depend on their inputs at all: plain learners on the true labels, and on labels dealt out anew."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.probes.reference import NEIGHBORS, Reference
from thalweg.readings import Reading

PERMUTATIONS = 19  # the true labels are the best of 20 by chance once in 20
LEAST_EXPLAINED = 0.3  # of the target, by plain learners: with less, a row that they contradict means little
SHOWN = 20  # suspect rows
MOST_COLUMNS = 12  # of targets: more are mixed at random into so many, which keeps what depends on the inputs


@dataclass(frozen=True)
class Association:
    """How much of the targets plain learners explain by leave-one-out.

    Args:
        explained: share of the variance, by the best learner.
        permuted: `[19]` the same with the targets dealt out at random.
        count: rows.
    """

    explained: float
    permuted: Tensor
    count: int

    @property
    def chance(self) -> float:
        """How likely so much is explained where nothing depends on the inputs: a permutation test."""
        return (1 + int((self.permuted >= self.explained).sum())) / (1 + len(self.permuted))

    def readings(self, place: str, *, step: int | None = None) -> list[Reading]:
        """`labels.explained`, `labels.permuted` with the range of the permutations, `labels.chance`."""
        low, high = float(self.permuted.min()), float(self.permuted.max())
        return [
            Reading("labels.explained", self.explained, place, step, count=self.count),
            Reading("labels.permuted", float(self.permuted.mean()), place, step, low, high, count=self.count),
            Reading("labels.chance", self.chance, place, step, count=self.count),
        ]


def association(reference: Reference, *, seed: int = 0) -> Association:
    """The permutation test of plain learners: is more explained than with targets dealt out at random?

    Everything that leave-one-out chooses (learner, penalty, number of neighbors) it chooses for each permutation anew.

    >>> from thalweg.data.task import Task
    >>> from thalweg.probes.reference import Target, fit
    >>> x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    >>> true = fit(x, Target(x[:, :1].clone(), None, Task("regression", (), 1)), x)
    >>> dealt = fit(x, Target(x[:, :1].flip(0), None, Task("regression", (), 1)), x)
    >>> association(true).chance, association(dealt).chance > 0.05
    (0.05, True)
    """
    draw = torch.Generator().manual_seed(seed)
    values = reference.target.values
    values = values - values.mean(0)
    if values.shape[1] > MOST_COLUMNS:
        values = values @ torch.randn(values.shape[1], MOST_COLUMNS, generator=draw).to(values)
    orders = [torch.arange(len(values))]
    orders += [torch.randperm(len(values), generator=draw) for _ in range(PERMUTATIONS)]
    dealt = torch.cat([values[order.to(values.device)] for order in orders], 1)
    sides = len(orders)
    total = values.square().sum()
    shares = []
    for ridge, _, _ in reference.ridges.values():
        left = [error.square().sum(0).reshape(sides, -1).sum(1) for error in ridge.left_out(dealt)]
        shares.append(1 - torch.stack(left).min(0).values / total)
    if reference.among is not None:
        among = reference.among
        near = [dealt - dealt[among[:, :k]].mean(1) for k in NEIGHBORS if k <= among.shape[1]]
        left = [error.square().sum(0).reshape(sides, -1).sum(1) for error in near]
        shares.append(1 - torch.stack(left).min(0).values / total)
    best = torch.stack(shares).max(0).values.double().cpu()
    return Association(float(best[0]), best[1:], len(values))


def noise(reference: Reference, rows: Tensor, *, step: int | None = None) -> list[Reading]:
    """How many labels are another class's, and the most suspect rows.

    The leave-one-out output for the class that a row is labeled with is compared with the outputs for classes that are
    neither the label nor the best answer (of two classes: for the losing one). A label dealt out at random is one of
    these, so that its output lies below their median for half of the wrong rows and for hardly any right one:

        noise = 2 * share of rows whose own output is at most that median

    Readings `labels.noise` with its 95 % interval, and `labels.suspect` at the place of a row's number, by how much
    another class's output exceeds the label's. Nothing where plain learners explain little, or targets are no classes.

    Args:
        reference: fitted on the rows that are looked at.
        rows: `[N]` their numbers in the user's data.
        step: of the readings.
    """
    codes = reference.target.codes
    best = next((learner for learner in reference.learners if learner.name in reference.ridges), None)  # has no ties
    if codes is None or best is None or best.explained < LEAST_EXPLAINED:
        return []
    output = reference.target.values - best.error
    label = codes[:, None]
    own = output.gather(1, label)[:, 0]
    leading = output.argmax(1, keepdim=True)
    if output.shape[1] > 2:
        rest = torch.ones_like(output, dtype=torch.bool).scatter_(1, label, False).scatter_(1, leading, False)
        usual = output[rest].median()
    else:
        usual = output.min(1).values.median()
    share, count = float((own <= usual).double().mean()), len(codes)
    half = 2 * 1.96 * math.sqrt(max(share * (1 - share), 1 / count) / count)
    value = 2 * share
    margin = output.scatter(1, label, -torch.inf).max(1).values - own
    order = margin.argsort(descending=True)[:SHOWN].cpu()
    found = [Reading("labels.noise", value, "train", step, max(value - half, 0.0), value + half, count)]
    return found + [
        Reading("labels.suspect", float(margin[k]), str(int(rows[k])), step) for k in order.tolist() if margin[k] > 0
    ]

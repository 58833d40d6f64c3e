"""What plain learners that know nothing of the network reach on the same rows: the yardstick of a poor result.

Each is a ridge regression on a plain description of the rows, or the nearest neighbors; leave-one-out on the fitted
rows chooses the penalty and the learner, so that the score on other rows is honest. Nothing is trained by gradients.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.data.rows import Batch, Inputs
from thalweg.data.task import Task
from thalweg.measure.head import FREE
from thalweg.measure.score import Score, score
from thalweg.probes.plain_features import plain_features
from thalweg.readings import Reading

LEAST_ROWS = 20  # with fewer, leave-one-out chooses by chance
PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # times rows or columns, whichever are more: columns have variance 1
MOST_LEVERAGE = 1 - 3e-5  # of a row on its own fit, that float32 tells from 1
NEIGHBORS = (1, 5, 15)
NEIGHBOR_COLUMNS = 4096
UNEVEN = 3.0  # largest class over the smallest, from which classes are also weighed alike
MOST_CLASSES = 4096  # of outputs at most


@dataclass(frozen=True)
class Target:
    """Targets as numbers to fit.

    Args:
        values: `[N, K]` float32: one column per class, or the numbers.
        codes: `[N]` class of each row; None for numbers and for several labels.
        task: of which kind a score is.
    """

    values: Tensor
    codes: Tensor | None
    task: Task

    def score(self, output: Tensor) -> Score | None:
        """Of outputs `[N, K]`."""
        if self.codes is not None:
            kind = Task("multiclass", (), output.shape[1])
            return score(output, self.codes, task=kind, head=FREE)
        if self.task.kind == "multilabel":
            return score(output - 0.5, self.values, task=self.task, head=FREE)
        return score(output, self.values, task=self.task, head=FREE)


def target_of(target: Tensor, task: Task, num_classes: int | None = None) -> Target | None:
    """Targets as numbers to fit; None for classes per position, targets of a user's own step, and lost numbers.

    >>> target_of(torch.tensor([0, 2, 1]), Task("multiclass", (0, 1, 2), 3)).values.tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    """
    if task.kind in ("own", "per_position") or not len(target):
        return None
    flat = target.detach().reshape(len(target), -1)
    if not bool(flat.isfinite().all()):  # synchronizes
        return None
    if task.kind in ("binary", "multiclass") and flat.shape[1] == 1:
        codes = (flat[:, 0] > 0.5).long() if target.is_floating_point() else flat[:, 0].long()
        if bool((codes < 0).any()):
            codes = (flat[:, 0] > 0).long()  # the coding of margin losses, -1 and 1
        classes = max(num_classes or 0, int(codes.max()) + 1)
        if classes > MOST_CLASSES:
            return None
        return Target(torch.nn.functional.one_hot(codes, classes).float(), codes, task)
    if task.kind in ("binary", "multiclass"):
        return None
    return Target(flat.float(), None, task)


class Ridge:
    """`min |Y - X W|^2 + penalty |W|^2` for several penalties at once, by one eigendecomposition.

    Args:
        features: `[N, D]`; they are centered.
        weight: `[N]` how much each row counts.
    """

    def __init__(self, features: Tensor, weight: Tensor | None = None) -> None:
        weight = torch.ones(len(features), device=features.device) if weight is None else weight
        self.weight = weight / weight.mean()
        self.center = (self.weight[:, None] * features).mean(0)
        scaled = self.weight.sqrt()[:, None] * (features - self.center)
        gram = (scaled.T @ scaled).double()
        values, self.vectors = (part.float() for part in torch.linalg.eigh(gram))
        self.rotated = scaled @ self.vectors
        self.shrink = [1 / (values.clamp_min(0) + penalty * max(features.shape)) for penalty in PENALTIES]
        self.leverage = [self.rotated.square() @ s + self.weight / len(features) for s in self.shrink]

    def left_out(self, values: Tensor) -> list[Tensor]:
        """`[N, K]` errors of each row's values by a fit to all others, for each penalty."""
        root = self.weight.sqrt()[:, None]
        centered = root * (values - (self.weight[:, None] * values).mean(0))
        given = self.rotated.T @ centered
        found = []
        for shrink, leverage in zip(self.shrink, self.leverage, strict=True):
            residual = centered - self.rotated @ (shrink[:, None] * given)
            found.append(residual / (1 - leverage.clamp_max(MOST_LEVERAGE))[:, None] / root)
        return found

    def predict(self, features: Tensor, values: Tensor, which: int) -> Tensor:
        """`[M, K]` of other rows, with one of the penalties."""
        root = self.weight.sqrt()[:, None]
        mean = (self.weight[:, None] * values).mean(0)
        given = self.rotated.T @ (root * (values - mean))
        weights: Tensor = self.vectors @ (self.shrink[which][:, None] * given)
        return (features - self.center) @ weights + mean


@dataclass(frozen=True)
class Learner:
    """A plain learner that is fitted.

    Args:
        name: of its description of the rows.
        error: `[N, K]` leave-one-out errors on the fitted rows.
        explained: share of the variance of the target that leave-one-out explains; below 0 where it explains nothing.
        output: `[M, K]` on the other rows.
    """

    name: str
    error: Tensor
    explained: float
    output: Tensor


@dataclass(frozen=True)
class Reference:
    """Plain learners on one part of the data.

    Args:
        learners: each fitted; the best by leave-one-out first.
        target: of the rows they were fitted on.
        ridges: the decomposition of each description by its name, with the description of both parts' rows.
        among: `[N, 15]` each fitted row's nearest fitted rows.
    """

    learners: tuple[Learner, ...]
    target: Target
    ridges: dict[str, tuple[Ridge, Tensor, Tensor]]
    among: Tensor | None = None

    @property
    def best(self) -> Learner:
        return self.learners[0]

    def left_out(self, learner: Learner) -> Score | None:
        """The score of a learner on the rows it was fitted on, each left out."""
        return self.target.score(self.target.values - learner.error)


def fit(inputs: Inputs, target: Target, others: Inputs, *, seed: int = 0) -> Reference | None:
    """Plain learners fitted on some rows, with their outputs on others; None where nothing can be described.

    Args:
        inputs: `[N, ...]` rows to fit on, as they enter the network.
        target: their targets.
        others: `[M, ...]` rows to answer.
        seed: decides random features.

    >>> x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    >>> answer = Target((x[:, :1] * x[:, 1:]), None, Task("regression", (), 1))
    >>> found = fit(x[:200], Target(answer.values[:200], None, answer.task), x[200:])
    >>> found.best.name, found.best.explained > 0.9
    ('random features', True)
    """
    if isinstance(inputs, Batch) or len(target.values) < LEAST_ROWS:
        return None
    total = float((target.values - target.values.mean(0)).square().sum())
    if not total > 0:
        return None
    learners, ridges = [], {}
    for plain in plain_features(inputs, seed=seed):
        own, other = plain.own, plain.describe(others)
        if not own.shape[1]:
            continue
        ridge = Ridge(own)
        errors = ridge.left_out(target.values)
        which = min(range(len(PENALTIES)), key=lambda k: float(errors[k].square().sum()))
        explained = 1 - float(errors[which].square().sum()) / total
        learners.append(Learner(plain.name, errors[which], explained, ridge.predict(other, target.values, which)))
        ridges[plain.name] = (ridge, own, other)
    if not learners:
        return None
    _, own, other = ridges["tokens" if "tokens" in ridges else "linear" if "linear" in ridges else learners[0].name]
    among = None
    if own.shape[1] <= NEIGHBOR_COLUMNS:
        among = neighbors(own, own, skip_self=True)
        learners.append(by_neighbors(among, neighbors(other, own), target, total))
    learners.sort(key=lambda learner: -quality(learner, target))
    return Reference(tuple(learners), target, ridges, among)


def quality(learner: Learner, target: Target) -> float:
    """What learners are chosen by: the leave-one-out score."""
    found = target.score(target.values - learner.error)
    return found.value if found is not None and math.isfinite(found.value) else -math.inf


def neighbors(rows: Tensor, fitted: Tensor, *, skip_self: bool = False) -> Tensor:
    """`[N, 15]` positions of the nearest fitted rows, the nearest first."""
    most = min(max(NEIGHBORS), len(fitted) - skip_self)
    found = []
    for start in range(0, len(rows), 512):
        distance = torch.cdist(rows[start : start + 512], fitted)
        if skip_self:
            own = torch.arange(len(distance), device=rows.device)
            distance[own, own + start] = math.inf
        found.append(distance.topk(most, largest=False).indices)
    return torch.cat(found)


def by_neighbors(among: Tensor, to: Tensor, target: Target, total: float) -> Learner:
    """The mean of the nearest rows' targets, their number chosen by leave-one-out."""
    errors = {k: target.values - target.values[among[:, :k]].mean(1) for k in NEIGHBORS if k <= among.shape[1]}
    best = min(errors, key=lambda k: float(errors[k].square().sum()))
    explained = 1 - float(errors[best].square().sum()) / total
    return Learner("neighbors", errors[best], explained, target.values[to[:, :best]].mean(1))


def balanced_output(reference: Reference) -> tuple[Tensor, Tensor] | None:
    """`[M, K]` outputs of the best ridge with every class weighed alike, and of the same ridge without.

    None where classes are about as frequent.
    """
    codes = reference.target.codes
    if codes is None:
        return None
    counts = codes.bincount().float()
    counts = counts.where(counts > 0, torch.inf)
    finite = counts[counts.isfinite()]
    best = next((learner for learner in reference.learners if learner.name in reference.ridges), None)
    if best is None or float(finite.max() / finite.min()) < UNEVEN:
        return None
    _, own, other = reference.ridges[best.name]
    weight = 1 / counts[codes]
    ridge = Ridge(own, weight)
    errors = ridge.left_out(reference.target.values)
    weighed = [float((weight[:, None] * error.square()).sum()) for error in errors]
    return ridge.predict(other, reference.target.values, weighed.index(min(weighed))), best.output


def interval(name: str, found: Score, *, place: str = "", step: int | None = None, note: str = "") -> Reading:
    """A score with its 95 % interval over independent rows."""
    half = 1.96 * found.error
    value = found.value
    return Reading(name, value, place, step, value - half, value + half, len(found.each), note)


def reference_readings(reference: Reference, target: Target, *, step: int | None = None) -> list[Reading]:
    """How plain learners answer other rows, whose target is given.

    Readings `reference.score` of the learner that leave-one-out chose (its name is the note), `reference.balanced` with
    every class counted alike, `reference.left_out` on the fitted rows, `reference.constant`, `reference.rows`,
    `reference.learner` at the place of each learner's name; and where classes are uneven `reference.weighted`, the
    score on all rows of the best ridge with classes weighed alike, and `reference.weighted_gain` over it without.
    """
    found = []
    best = target.score(reference.best.output)
    own = reference.left_out(reference.best)
    if best is None or own is None or not math.isfinite(best.value):
        return []
    found += [
        interval("reference.score", best, step=step, note=reference.best.name),
        interval("reference.left_out", own, step=step, note=reference.best.name),
        Reading("reference.constant", best.constant, step=step, count=len(best.each), note=best.name),
        Reading("reference.rows", len(reference.target.values), step=step),
    ]
    for learner in reference.learners:
        each = target.score(learner.output)
        if each is not None:
            found.append(interval("reference.learner", each, place=learner.name, step=step))
    if target.codes is not None:
        found += weighed_readings(reference, target, best, step)
    return found


def weighed_readings(reference: Reference, target: Target, best: Score, step: int | None) -> list[Reading]:
    """What weighing all classes alike brings a plain learner."""
    outputs, name = balanced_output(reference), reference.best.name
    if outputs is None:
        return [interval("reference.balanced", best.balanced(), step=step, note=name)]
    weighed, plain = target.score(outputs[0]), target.score(outputs[1])
    if weighed is None or plain is None:
        return []
    gain = weighed.each - plain.each
    half, mean = 1.96 * float(gain.std()) / math.sqrt(len(gain)), float(gain.mean())
    return [
        interval("reference.balanced", weighed.balanced(), step=step, note=name),
        interval("reference.weighted", weighed, step=step, note=name),
        Reading("reference.weighted_gain", mean, "", step, mean - half, mean + half, len(gain), name),
    ]

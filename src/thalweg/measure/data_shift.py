"""Whether two parts of the data are of one kind: a classifier of parts, scales of columns, shares of classes."""

import math

import torch
from torch import Tensor

from thalweg.data.rows import Inputs, map_inputs, tensors_of
from thalweg.measure.data_features import SEED, describe_rows
from thalweg.measure.inputs import axes_of, is_constant, standardized
from thalweg.readings import Reading

LEAST_ROWS = 40  # of either part
FOLDS = 5
PERMUTATIONS = 49  # of the parts, which give mean and deviation of the area by chance
NOISE = 0.2  # of a column's deviation: several times the error of mean and deviation over some hundred rows
PENALTY = 0.01  # of the ridge, times rows: features have variance 1
OF_CLASS = 5  # rows of a class in either part, from which on the parts are compared within it
BINS = 10  # quantiles of a target of numbers


def compare_inputs(train: Inputs, held: Inputs, labels: Tensor | None, held_labels: Tensor | None) -> list[Reading]:
    """How well a classifier tells held rows from training rows.

    Readings: `shift.auc`, area under the curve of a cross-fitted ridge classifier on features of rows, compared within
    classes where there are any (so that other shares of the classes are no shift of inputs), with its 95 % interval;
    `shift.chance`, mean and upper end (3.3 deviations, a level of 0.0005) of the same for permuted parts;
    `shift.aligned`, the area when each column of the held rows is brought to mean and deviation of the training rows.
    `shift.scale` and `shift.offset`: median over the columns of the ratio of deviations (held over training), and of
    the difference of means in deviations of the training rows.

    Args:
        train: `[N, ...]` rows as they enter the network.
        held: the same of another part.
        labels: `[N]` classes of the training rows, or None.
        held_labels: the same of the held rows.
    """
    sizes = [len(tensors_of(part)[0]) for part in (train, held)]
    if min(sizes) < LEAST_ROWS or not matching(train, held):
        return []
    groups = torch.cat([labels, held_labels]) if labels is not None and held_labels is not None else None
    found = tell_apart(train, held, groups)
    if found is None:
        return []
    area, chance, deviation = found
    error = area_error(area, *sizes)
    readings = [
        Reading("shift.auc", area, low=max(area - 1.96 * error, 0), high=min(area + 1.96 * error, 1), count=sum(sizes)),
        Reading("shift.chance", chance, high=chance + 3.3 * deviation, count=PERMUTATIONS),
    ]
    moved = scales(train, held)
    if moved is None:
        return readings
    readings += [Reading("shift.scale", moved[0], count=moved[2]), Reading("shift.offset", moved[1], count=moved[2])]
    near = blurred(train, 1), blurred(aligned(held, train), 2)
    if (again := tell_apart(*near, groups)) is not None:
        readings.append(Reading("shift.aligned", again[0], count=sum(sizes)))
    return readings


def matching(train: Inputs, held: Inputs) -> bool:
    """Whether rows of both parts have the same shape."""
    pairs = zip(tensors_of(train), tensors_of(held), strict=True)
    return len(tensors_of(train)) == len(tensors_of(held)) and all(a.shape[1:] == b.shape[1:] for a, b in pairs)


def joined(train: Inputs, held: Inputs) -> Inputs:
    others = iter(tensors_of(held))
    return map_inputs(lambda value: torch.cat([value, next(others)]), train)


def tell_apart(train: Inputs, held: Inputs, groups: Tensor | None) -> tuple[float, float, float] | None:
    """The area under the curve, and mean and deviation of it for permuted parts."""
    features = describe_rows(joined(train, held))
    if features is None or not features.numel():
        return None
    generator = torch.Generator().manual_seed(SEED)
    order = torch.randperm(len(features), generator=generator)  # that ties are broken at random
    part = torch.zeros(len(features), dtype=torch.float64)
    part[len(tensors_of(train)[0]) :] = 1
    part, features = part[order], features[order]
    groups = None if groups is None else groups.cpu()[order]
    shuffled = [part[torch.randperm(len(part), generator=generator)] for _ in range(PERMUTATIONS)]
    parts = torch.stack([part, *shuffled], dim=1)
    areas = areas_within(cross_fitted(features, parts), parts, groups)
    return float(areas[0]), float(areas[1:].mean()), float(areas[1:].std())


def cross_fitted(features: Tensor, parts: Tensor) -> Tensor:
    """`[N, P]`: scores of rows by ridge regressions that were fitted on the other folds, one for each column."""
    scores = torch.empty_like(parts)
    folds = torch.arange(len(features)) % FOLDS
    for fold in range(FOLDS):
        fitted, judged = features[folds != fold], features[folds == fold]
        wanted = parts[folds != fold]
        mean = wanted.mean(0)
        if fitted.shape[1] <= len(fitted):
            gram = fitted.T @ fitted
            gram.diagonal().add_(PENALTY * len(fitted))
            weights = torch.linalg.solve(gram, fitted.T @ (wanted - mean))
        else:
            gram = fitted @ fitted.T
            gram.diagonal().add_(PENALTY * len(fitted))
            weights = fitted.T @ torch.linalg.solve(gram, wanted - mean)
        scores[folds == fold] = judged @ weights
    return scores


def areas_within(scores: Tensor, parts: Tensor, groups: Tensor | None) -> Tensor:
    """`[P]` area under the curve of each column, the mean over groups by their rows."""
    if groups is None:
        return areas(scores, parts)
    total, weight = torch.zeros(scores.shape[1], dtype=torch.float64), 0
    for group in torch.unique(groups):
        chosen = groups == group
        held = parts[chosen].sum(0)
        if float(torch.minimum(held, chosen.sum() - held)[0]) < OF_CLASS:
            continue
        area = areas(scores[chosen], parts[chosen])
        total += int(chosen.sum()) * torch.where(area.isfinite(), area, 0.5)
        weight += int(chosen.sum())
    return total / weight if weight else areas(scores, parts)


def areas(scores: Tensor, parts: Tensor) -> Tensor:
    """`[P]`: the share of pairs, one row of either part, in which the row of part 1 has the higher score.

    >>> areas(torch.tensor([[0.1], [0.4], [0.3], [0.8]]), torch.tensor([[0.0], [0.0], [1.0], [1.0]]))
    tensor([0.7500], dtype=torch.float64)
    """
    ranks = scores.argsort(0).argsort(0).double() + 1
    ones = parts.double().sum(0)
    return ((ranks * parts).sum(0) - ones * (ones + 1) / 2) / (ones * (len(parts) - ones))


def area_error(area: float, zeros: int, ones: int) -> float:
    """Standard error of an area under the curve (Hanley and McNeil 1982)."""
    first, second = area / (2 - area), 2 * area**2 / (1 + area)
    spread = area * (1 - area) + (ones - 1) * (first - area**2) + (zeros - 1) * (second - area**2)
    return math.sqrt(max(spread, 0.0) / (zeros * ones))


def aligned(held: Inputs, train: Inputs) -> Inputs:
    """The held rows with mean and deviation of the training rows in each float column or channel."""
    others = iter(tensors_of(train))

    def move(value: Tensor) -> Tensor:
        reference = next(others)
        if not (value.is_floating_point() and value.dim() > 1):
            return value
        axes = axes_of(reference)
        mean, spread = reference.double().mean(axes, keepdim=True), reference.double().std(axes, keepdim=True)
        return (value.double() * spread + mean).to(value.dtype)

    return map_inputs(move, standardized(held, held))


def blurred(inputs: Inputs, seed: int) -> Inputs:
    """The inputs with a little noise in each float column or channel.

    Mean and deviation of a sample are known to 1 / sqrt(N): without noise a value that all rows have, such as the
    background of images, would tell the parts apart by its last digits.
    """
    generator = torch.Generator().manual_seed(SEED + seed)

    def blur(value: Tensor) -> Tensor:
        if not (value.is_floating_point() and value.dim() > 1):
            return value
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float32).to(value.device, value.dtype)
        return value + NOISE * value.std(axes_of(value), correction=0, keepdim=True) * noise

    return map_inputs(blur, inputs)


def scales(train: Inputs, held: Inputs) -> tuple[float, float, int] | None:
    """Medians over the float columns: ratio of deviations, difference of means in deviations, and how many columns."""
    ratios, offsets = [], []
    for one, other in zip(tensors_of(train), tensors_of(held), strict=True):
        if not (one.is_floating_point() and one.dim() > 1):
            continue
        axes = axes_of(one)
        mean, spread = one.double().mean(axes), one.double().std(axes, correction=0)
        other_mean, other_spread = other.double().mean(axes), other.double().std(axes, correction=0)
        varied = ~is_constant(spread, mean) & ~is_constant(other_spread, other_mean)
        ratios.append((other_spread / spread)[varied])
        offsets.append(((other_mean - mean) / spread)[varied])
    ratio = torch.cat([r.reshape(-1) for r in ratios]) if ratios else torch.empty(0)
    if not len(ratio):
        return None
    offset = torch.cat([o.reshape(-1) for o in offsets])
    return float(ratio.median()), float(offset.abs().median()), len(ratio)


def compare_targets(target: Tensor, held: Tensor, *, classes: bool) -> list[Reading]:
    """Whether the target is spread alike over two samples of rows.

    Readings `shift.target`, half the sum of differences between the shares of classes (of numbers: of tenths), and
    `shift.target_level`, the level at which a chi-square test rejects that they are alike.

    >>> found = compare_targets(torch.zeros(90).long(), torch.arange(90) % 2, classes=True)
    >>> found[0].value, found[1].value < 1e-6
    (0.5, True)
    """
    if target.dim() != 1 or held.dim() != 1 or min(len(target), len(held)) < LEAST_ROWS:
        return []
    codes = [target.cpu(), held.cpu()]
    if not classes:
        if not bool(target.isfinite().all() and held.isfinite().all()):
            return []
        edges = torch.unique(codes[0].double().quantile(torch.linspace(0, 1, BINS + 1, dtype=torch.float64)[1:-1]))
        codes = [torch.bucketize(code.double(), edges) for code in codes]
    both, inverse = torch.unique(torch.cat(codes), return_inverse=True)
    part = torch.arange(len(inverse)) >= len(target)
    table = torch.stack([inverse[part == one].bincount(minlength=len(both)) for one in (False, True)]).double()
    shares = table / table.sum(1, keepdim=True)
    distance = 0.5 * float((shares[0] - shares[1]).abs().sum())
    return [
        Reading("shift.target", distance, count=len(inverse)),
        Reading("shift.target_level", chi_square_level(table), count=len(inverse)),
    ]


def chi_square_level(table: Tensor) -> float:
    """The level of Pearson's test of independence of a table `[R, C]`; columns expected below 5 are put together."""
    rows = table.sum(1, keepdim=True)
    expected = rows * table.sum(0) / table.sum()
    rare = (expected < 5).any(0)
    if bool(rare.any()):
        table = torch.cat([table[:, ~rare], table[:, rare].sum(1, keepdim=True)], dim=1)
        expected = rows * table.sum(0) / table.sum()
    used = (expected > 0).all(0)
    statistic = ((table - expected).square() / expected)[:, used].sum()
    freedom = (int(used.sum()) - 1) * (len(table) - 1)
    if freedom < 1:
        return 1.0
    half = torch.tensor(freedom / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half, statistic / 2))

"""Nominal 95 % intervals cover the truth in 95 % of samples: by simulation, with fixed seeds.

With M samples the share that covers has a standard deviation of sqrt(0.95 * 0.05 / M); three of them are allowed.
Intervals that promise "at least" may cover more. None may buy its coverage with width: each mean width is held against
that of the interval `± 1.96 sd` of someone who knows the standard deviation of the estimate.
"""

import math

import pytest
import torch
from scipy import integrate, special, stats

from thalweg.evaluate.classification import area, calibration_error, macro_f1
from thalweg.evaluate.intervals import f1_interval, mean_interval, mean_of_proportions, wilson
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.parts.metrics import macro_roc_auc
from thalweg.parts.metrics.calibration import reliability
from thalweg.parts.metrics.confusion import f1
from thalweg.parts.metrics.several_classes import one_vs_rest


def judge(found, truth, *, at_least=False, widest=1.15):
    """Asserts coverage and width of `(value, low, high)` samples."""
    count = len(found)
    covers = sum(low <= truth <= high for _, low, high in found) / count
    slack = 3 * math.sqrt(0.95 * 0.05 / count)
    assert covers >= 0.95 - slack
    assert at_least or covers <= 0.95 + slack
    oracle = 2 * 1.96 * torch.tensor([value for value, _, _ in found]).std().item()
    assert sum(high - low for _, low, high in found) / count <= widest * oracle


@pytest.mark.parametrize("rows", [20, 100, 359])
def test_wilson_covers_over_all_proportions(rows):
    limits = [wilson(x, rows) for x in range(rows + 1)]
    coverage = []
    for p in torch.linspace(0.5, 0.999, 400).tolist():
        mass = stats.binom.pmf(range(rows + 1), rows, p)
        coverage.append(sum(m for m, (low, high) in zip(mass, limits, strict=True) if low <= p <= high))
    assert sum(coverage) / len(coverage) == pytest.approx(0.95, abs=0.01)
    assert min(coverage) > 0.83  # the known dips of a discrete interval, near p = 1


def draw_matrices(cells, rows, samples, seed):
    draws = torch.distributions.Multinomial(rows, probs=cells.flatten())
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return draws.sample((samples,)).reshape(samples, *cells.shape).long()


def cells_of(share, recall):
    """Cell probabilities of a confusion matrix whose errors go evenly to the other classes."""
    share, recall = torch.tensor(share), torch.tensor(recall)
    share, classes = share / share.sum(), len(share)
    cells = ((1 - recall) / (classes - 1) * share)[:, None].repeat(1, classes)
    cells[range(classes), range(classes)] = recall * share
    return cells


def test_f1_of_one_class_covers():
    cells = cells_of([0.8, 0.2], [0.9, 0.7])
    found = []
    for matrix in draw_matrices(cells, 150, 800, seed=0).tolist():
        (_, false), (miss, hit) = matrix
        found.append((2 * hit / (2 * hit + false + miss), *f1_interval(hit, false + miss)))
    judge(found, f1(cells, positive=1))


CLASSES = [
    ([1.0] * 10, [0.98] * 10, 359),
    ([5.0, 50.0, 300.0], [0.6, 0.8, 0.99], 355),
    ([0.02, 0.1, 0.3, 0.58], [0.95, 0.95, 0.98, 0.99], 300),
    ([1.0, 9.0], [0.7, 0.95], 150),
]


@pytest.mark.parametrize(("share", "recall", "rows"), CLASSES)
def test_balanced_accuracy_covers(share, recall, rows):
    cells = cells_of(share, recall)
    found = []
    for matrix in draw_matrices(cells, rows, 500, seed=1):
        hits, totals = matrix.diagonal(), matrix.sum(1)
        present = totals > 0
        hits, totals = hits[present].tolist(), totals[present].tolist()
        mean = sum(x / n for x, n in zip(hits, totals, strict=True)) / len(hits)
        found.append((mean, *mean_of_proportions(hits, totals)))
    judge(found, sum(recall) / len(recall), widest=1.3)


@pytest.mark.parametrize(("share", "recall", "rows"), CLASSES)
def test_macro_f1_covers(share, recall, rows):
    cells = cells_of(share, recall)
    samples = [macro_f1(matrix) for matrix in draw_matrices(cells, rows, 400, seed=2)]
    judge([(m.value, m.low, m.high) for m in samples], f1(cells), at_least=True, widest=1.45)


@pytest.mark.parametrize(("rows", "widest"), [(30, 1.2), (200, 1.1)])
def test_mean_losses_cover(rows, widest):
    generator = torch.Generator().manual_seed(3)
    found = []
    for _ in range(600):
        loss = -torch.rand(rows, generator=generator, dtype=torch.float64).log()
        found.append((float(loss.mean()), *mean_interval(loss)))
    judge(found, 1.0, widest=widest)


def calibrated(rows, generator, *, distance, share, sure=1.0):
    """Two normal classes `distance` apart, with the logit of the true posterior times `sure`."""
    target = (torch.rand(rows, generator=generator) < share).long()
    x = torch.randn(rows, generator=generator, dtype=torch.float64) + distance * target
    return sure * (distance * x - distance**2 / 2 + math.log(share / (1 - share))), target


def test_binary_measures_cover():
    generator = torch.Generator().manual_seed(4)
    truth = evaluate_outputs(*calibrated(400_000, generator, distance=1.5, share=0.3), kind="binary", replicates=2)
    samples = [
        evaluate_outputs(*calibrated(150, generator, distance=1.5, share=0.3), kind="binary", seed=k, replicates=400)
        for k in range(400)
    ]
    for name, at_least, widest in (
        ("auc", True, 1.15),
        ("average_precision", False, 1.15),
        ("log_loss", False, 1.15),
        ("brier", False, 1.15),
        ("precision", False, 1.15),
        ("recall", False, 1.15),
    ):
        found = [(s[name].value, s[name].low, s[name].high) for s in samples]
        judge(found, truth[name].value, at_least=at_least, widest=widest)


def true_calibration_error(sure, *, distance, share):
    """`E |p(sure * logit) - p(logit)|` over both classes of `calibrated`, by quadrature."""

    def gap(x):
        logit = distance * x - distance**2 / 2 + math.log(share / (1 - share))
        density = share * stats.norm.pdf(x - distance) + (1 - share) * stats.norm.pdf(x)
        return abs(special.expit(sure * logit) - special.expit(logit)) * density

    return integrate.quad(gap, -8, 10, limit=500)[0]


@pytest.mark.parametrize("sure", [1.0, 3.0])
def test_the_calibration_error_is_bounded(sure):
    truth = true_calibration_error(sure, distance=1.5, share=0.3)
    generator = torch.Generator().manual_seed(5)
    covers = 0
    for k in range(400):
        output, target = calibrated(300, generator, distance=1.5, share=0.3, sure=sure)
        table = reliability(output, target, kind="binary", bins=15)
        found = calibration_error(table, seed=k, replicates=500)
        covers += found.low <= truth <= found.high
        assert found.high - found.low < 0.25
    assert covers / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_the_area_over_several_classes_covers():
    generator = torch.Generator().manual_seed(6)

    def draw(rows):
        target = torch.randint(4, (rows,), generator=generator)
        shift = 1.5 * torch.nn.functional.one_hot(target, 4)
        return torch.randn(rows, 4, generator=generator, dtype=torch.float64) + shift, target

    truth = macro_roc_auc(*draw(200_000))
    samples = []
    for _ in range(400):
        output, target = draw(120)
        samples.append(area([(score, one == 1) for _, score, one in one_vs_rest(output, target)], target, ""))
    judge([(m.value, m.low, m.high) for m in samples], truth, at_least=True, widest=1.6)


def test_regression_measures_cover():
    generator = torch.Generator().manual_seed(7)
    samples = []
    for k in range(400):
        true = 10 + 3 * torch.randn(80, generator=generator, dtype=torch.float64)
        output = true + torch.randn(80, generator=generator, dtype=torch.float64)
        samples.append(evaluate_outputs(output, true, kind="regression", seed=k, replicates=500))
    for name, truth in (("r2", 1 - 1 / 9), ("rmse", 1.0), ("mae", math.sqrt(2 / math.pi))):
        judge([(s[name].value, s[name].low, s[name].high) for s in samples], truth, widest=1.15)


@pytest.mark.parametrize(("inside", "outside", "truth"), [(10, 90, 0.98), (100, 900, 0.998), (5, 50, 0.9)])
def test_the_area_covers_where_few_rows_are_ranked_wrongly(inside, outside, truth):
    generator = torch.Generator().manual_seed(8)
    target = torch.tensor([1] * inside + [0] * outside)
    distance = float(stats.norm.ppf(truth)) * math.sqrt(2)
    covers = 0
    for _ in range(400):
        score = torch.randn(len(target), generator=generator, dtype=torch.float64) + distance * target
        found = area([(score, target == 1)], target, "")
        covers += found.low <= truth <= found.high
    assert covers / 400 >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)  # DeLong's logit interval alone: 0.88 to 0.93

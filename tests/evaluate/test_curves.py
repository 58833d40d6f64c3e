import numpy as np
import pytest
import torch
from sklearn import metrics as reference

from thalweg.evaluate.curves import POINTS, corners, predicted_curves, rank_curves
from thalweg.evaluate.measures import evaluate_outputs


def test_corners_are_kept_and_straight_lines_are_not():
    x = torch.linspace(0, 1, 1001, dtype=torch.float64)
    y = (2 * x).clamp_max(1.0)
    assert corners(x, y).tolist() == [0, 500, 1000]


def test_a_vertical_line_and_two_points_pass():
    step = (
        torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=torch.float64),
        torch.tensor([0.0, 0.5, 1.0, 1.0], dtype=torch.float64),
    )
    assert corners(*step).tolist() == [0, 2, 3]
    assert corners(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 1.0])).tolist() == [0, 1]
    assert corners(torch.tensor([0.5]), torch.tensor([0.5])).tolist() == [0]


def test_a_thinned_curve_stays_near_the_whole_one():
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(2, (20_000,), generator=generator)
    score = torch.randn(20_000, generator=generator, dtype=torch.float64) + true
    roc, precision_recall = rank_curves(score, true)
    assert len(roc.x) <= POINTS
    assert (roc.x[0], roc.y[0], roc.x[-1], roc.y[-1]) == (0.0, 0.0, 1.0, 1.0)
    fpr, tpr, _ = reference.roc_curve(true, score)
    assert np.abs(np.interp(fpr, roc.x, roc.y) - tpr).max() < 0.01
    assert np.trapezoid(roc.y, roc.x) == pytest.approx(reference.roc_auc_score(true, score), abs=1e-3)
    assert len(precision_recall.x) <= POINTS
    assert precision_recall.x[-1] == 1.0


def test_a_perfect_network_has_a_corner():
    roc, precision_recall = rank_curves(torch.arange(50.0), (torch.arange(50) >= 30).long(), "7")
    assert (roc.x, roc.y, roc.label) == ((0.0, 0.0, 1.0), (0.0, 1.0, 1.0), "7")
    assert precision_recall.y[0] == 1.0


def test_predicted_against_true_is_a_sample_of_the_rows():
    true = torch.arange(1000.0)
    result = evaluate_outputs(true + 1, true, kind="regression", seed=3)
    (curve,) = result.curves
    assert len(curve.x) == POINTS
    assert all(y == x + 1 for x, y in zip(curve.x, curve.y, strict=True))
    assert max(curve.x) > 900
    several = predicted_curves(torch.zeros(5, 2), torch.ones(5, 2), names=("width", "depth"), seed=0)
    assert [curve.label for curve in several] == ["width", "depth"]

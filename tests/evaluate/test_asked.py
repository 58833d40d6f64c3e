"""Metrics asked for by name or as functions: measured at the threshold, with bootstrap intervals."""

import math

import pytest
import torch
from sklearn import metrics as reference

from thalweg.evaluate.asked import jackknife, measure_metric, members
from thalweg.evaluate.measures import evaluate_outputs
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.by_name import own_metric


def mean_output(output, target):
    return float(output.mean())


def rows(num_rows, seed=0):
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(num_rows, generator=generator) < 0.4).long()
    return torch.randn(num_rows, generator=generator, dtype=torch.float64) + 1.5 * target, target


def test_the_jackknife_of_a_mean_is_its_closed_form():
    output, target = rows(80)
    units = members(80, None)
    found = jackknife(own_metric(mean_output), output, target, units, torch.Generator().manual_seed(0))
    assert float(found.square().sum()) == pytest.approx(float(output.var()) / 80, rel=1e-9)


def test_intervals_of_a_mean_cover():
    """200 samples: the share that covers has a standard deviation of .015 around .95."""
    covered = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        output = torch.rand(40, generator=generator, dtype=torch.float64).square()
        found = measure_metric(own_metric(mean_output), output, output, seed=seed, replicates=300)
        covered += found.low <= 1 / 3 <= found.high
    assert 200 * (0.95 - 3 * 0.015) <= covered <= 200 * (0.95 + 3 * 0.015)


def test_decisions_are_made_at_the_threshold_and_functions_get_the_outputs():
    output, target = rows(300)
    probabilities = output.sigmoid()
    for given, scores, cut in ((output, "logits", 0.75), (probabilities, "probabilities", 0.679)):
        result = evaluate_outputs(
            given,
            target,
            kind="binary",
            scores=scores,
            threshold=cut,
            metrics=["recall", "auc", "accuracy", mean_output],
            replicates=50,
        )
        assert [m.name for m in result.measures].count("recall") == 1  # already among the task's measures
        assert result["mean_output"].value == pytest.approx(float(given.mean()))
        assert result["mean_output"].low < result["mean_output"].value < result["mean_output"].high
    called = (output > 0.75).numpy()
    moved = evaluate_outputs(output, target, kind="binary", threshold=0.75, metrics=[recall_at], replicates=20)
    assert moved["recall"].value == pytest.approx(reference.recall_score(target, called), abs=1e-12)


def recall_at(output, target):
    return float((output[target == 1] > 0.75).double().mean())


def test_asked_by_name_it_is_cut_where_the_result_is():
    """Balanced accuracy is a measure of the task: asked for alone it gives the same at any threshold."""
    output, target = rows(200)
    for threshold in (-math.inf, -1.0, 0.3):
        result = evaluate_outputs(output, target, kind="binary", threshold=threshold, replicates=10)
        shifted = output - (threshold if math.isfinite(threshold) else float(output.min()) - 1)
        assert metric("balanced_accuracy", "binary")(shifted, target) == result["balanced_accuracy"].value


def test_what_is_undefined_says_why_and_one_row_has_no_interval():
    output, target = rows(5)
    auc = metric("auc", "binary")
    found = measure_metric(auc, output, torch.ones_like(target), seed=0, replicates=10)
    assert math.isnan(found.value)
    assert "one class" in found.note or "class" in found.note
    alone = measure_metric(own_metric(mean_output), output[:1], target[:1], seed=0, replicates=10)
    assert (alone.low, alone.high) == (None, None)
    constant = measure_metric(own_metric(mean_output), torch.ones(6), torch.ones(6), seed=0, replicates=10)
    assert "do not vary" in constant.note


def test_many_rows_take_the_jackknife():
    output, target = rows(60_000)
    found = measure_metric(own_metric(mean_output), output, target, seed=0, replicates=1000)
    assert found.method == "jackknife"
    half = 1.984 * float(output.std()) / math.sqrt(60_000)
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.25)

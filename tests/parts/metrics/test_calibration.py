"""Reliability curves and calibration errors, against scikit-learn's curve, simulation and numerical integration."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats
from sklearn.calibration import calibration_curve

from thalweg.errors import UsageError
from thalweg.parts.metrics import Calibration, calibration_error, reliability
from thalweg.parts.metrics.calibration import mean_absolute

rows_of_p = st.lists(
    st.tuples(st.floats(0, 1) | st.integers(0, 10).map(lambda k: k / 10), st.integers(0, 1)), min_size=1, max_size=60
)


@settings(max_examples=150, deadline=None)
@given(rows_of_p, st.integers(1, 12))
def test_bins_of_equal_width_are_scikit_learns(rows, bins):
    p, y = (np.array(column) for column in zip(*rows, strict=True))
    observed, predicted = calibration_curve(y, p, n_bins=bins, strategy="uniform")
    given_rows = torch.tensor(p, dtype=torch.float64), torch.tensor(y)
    table = reliability(*given_rows, kind="binary", scores="probabilities", bins=bins, binning="width")
    np.testing.assert_allclose(table.observed, observed, atol=1e-12)
    np.testing.assert_allclose(table.predicted, predicted, atol=1e-12)
    streamed = Calibration(scores="probabilities", bins=bins, binning="width").update(*given_rows)
    np.testing.assert_allclose(streamed.reliability().observed, observed, atol=1e-12)
    share = table.count.numpy() / len(p)
    for norm, expected in (
        ("l1", (share * abs(observed - predicted)).sum()),
        ("l2", math.sqrt((share * (observed - predicted) ** 2).sum())),
        ("max", abs(observed - predicted).max()),
    ):
        found = calibration_error(
            *given_rows, kind="binary", scores="probabilities", bins=bins, binning="width", norm=norm
        )
        assert found == pytest.approx(expected, abs=1e-12)
        assert streamed.calibration_error(norm=norm).value == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(("norm", "left"), [("l1", 0.65), ("l2", 0.5)])
def test_without_its_bias_the_error_of_a_calibrated_network_is_smaller(norm, left):
    plain, corrected = [], []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        p = torch.rand(600, generator=generator, dtype=torch.float64)
        y = (torch.rand(600, generator=generator, dtype=torch.float64) < p).long()
        rows = {"kind": "binary", "scores": "probabilities", "norm": norm}
        plain.append(calibration_error(p, y, **rows))
        corrected.append(calibration_error(p, y, **rows, debiased=True))
    assert np.mean(corrected) < left * np.mean(plain)


def test_the_debiased_square_is_unbiased_where_the_error_is_known():
    """In one bin of probability 0.3 whose event has 0.5: the squared error is 0.04."""
    found = []
    for seed in range(4000):
        y = (torch.rand(50, generator=torch.Generator().manual_seed(seed)) < 0.5).long()
        observed = float(y.double().mean())
        found.append((observed - 0.3) ** 2 - observed * (1 - observed) / 49)
        if seed < 50:
            p = torch.full((50,), 0.3, dtype=torch.float64)
            error = calibration_error(p, y, kind="binary", scores="probabilities", norm="l2", debiased=True)
            assert error**2 == pytest.approx(max(found[-1], 0.0), abs=1e-12)
    assert np.mean(found) == pytest.approx(0.04, abs=4 * np.std(found) / math.sqrt(len(found)))


@pytest.mark.parametrize(("mean", "spread"), [(0.0, 1.0), (0.5, 0.2), (1.0, 2.0), (0.3, 1e-3), (0.2, 0.0)])
def test_the_mean_of_a_folded_normal_is_its_integral(mean, spread):
    expected = mean
    if spread:
        normal = stats.norm(mean, spread)
        expected = integrate.quad(lambda x: abs(x) * normal.pdf(x), mean - 9 * spread, mean + 9 * spread, points=[0])[0]
    found = float(mean_absolute(torch.tensor(mean, dtype=torch.float64), torch.tensor(spread, dtype=torch.float64)))
    assert found == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("columns", [1, 4])
def test_streamed_bins_of_equal_mass_are_about_equal_and_exact_inside(columns):
    generator = torch.Generator().manual_seed(0)
    true = torch.randint(max(columns, 2), (3000,), generator=generator)
    logits = 4 * torch.randn(3000, columns, generator=generator)
    kind = "binary" if columns == 1 else "multiclass"
    calibration = Calibration(bins=10)
    for rows in (slice(0, 700), slice(700, 3000)):
        calibration.update(logits[rows], true[rows])
    table, exact = calibration.reliability(), reliability(logits, true, kind=kind, bins=10)
    assert float(table.count.sum()) == 3000
    # A fine bin is about a sixteenth of an octave: with some tens of them in use, no bin is far from its tenth.
    assert float((table.count / 300 - 1).abs().max()) < 0.6
    whole = calibration.calibration_error().value
    assert whole == pytest.approx(calibration_error(logits, true, kind=kind, bins=10), abs=0.01)
    total = (table.count * table.predicted).sum()
    assert float(total) == pytest.approx(float((exact.count * exact.predicted).sum()), rel=1e-12)
    again = Calibration(bins=10).update(logits, true).reliability()
    torch.testing.assert_close(again.observed, table.observed, rtol=1e-12, atol=1e-12)


def test_ignored_rows_count_nowhere():
    p, y = torch.tensor([0.2, 0.9, math.nan]), torch.tensor([0, 1, -100])
    found = Calibration(scores="probabilities", ignore_index=-100).update(p, y).compute()["calibration_error"]
    assert found.support == 2
    assert found.value == pytest.approx(0.15, abs=1e-7)


def test_what_does_not_fit_is_refused():
    with pytest.raises(UsageError, match="bins is at least 1"):
        Calibration(bins=0)
    with pytest.raises(UsageError, match="no debiased form"):
        calibration_error(torch.zeros(3), torch.zeros(3), kind="binary", norm="max", debiased=True)
    with pytest.raises(UsageError, match="binning is 'mass' or 'width'"):
        reliability(torch.zeros(3), torch.zeros(3), kind="binary", binning="widht")

import pytest
import torch
from scipy import stats

from thalweg.probes.student import paired, quantile, tail


@pytest.mark.parametrize("freedom", range(1, 32))
def test_tail_and_quantile_are_those_of_scipy(freedom):
    for t in (-4.0, -0.7, 0.0, 0.3, 1.9, 12.0):
        assert tail(t, freedom) == pytest.approx(stats.t.sf(t, freedom), abs=1e-13)
    for probability in (0.4, 0.025, 1e-4):
        assert quantile(probability, freedom) == pytest.approx(stats.t.isf(probability, freedom), rel=1e-9)


def test_one_repeat_is_the_paired_t_test():
    a, b = torch.randn(2, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, expected = paired((a - b)[None]), stats.ttest_rel(a, b)
    interval = expected.confidence_interval()
    assert (found.low, found.high) == (pytest.approx(interval.low), pytest.approx(interval.high))
    assert found.below == pytest.approx(stats.ttest_rel(a, b, alternative="less").pvalue)


def test_repeats_that_disagree_widen_the_interval():
    rows = torch.randn(1, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    alike, apart = paired(rows.repeat(2, 1)), paired(torch.cat([rows - 3, rows + 3]))
    assert apart.high - apart.low > 5 * (alike.high - alike.low)


def test_degenerate_differences():
    assert paired(torch.zeros(1, 8)).below == 1.0
    assert paired(-torch.ones(1, 8)).below == 0.0
    assert paired(torch.full((1, 8), torch.inf)).low == torch.inf
    assert paired(torch.ones(1, 1)).low == -torch.inf

import math

import pytest
import torch

from thalweg.measure.noise_scale import MOST_ENTRIES, NoiseScale, thinned
from thalweg.readings import Readings


def rows(count=4096, *, shift=0.5, width=6, seed=0):
    """Gradients of single rows, with a mean and a covariance of their own."""
    draw = torch.Generator().manual_seed(seed)
    spread = torch.arange(1.0, width + 1)
    return shift + spread * torch.randn(count, width, generator=draw, dtype=torch.float64)


def measured(each, batch, number, seed=0):
    order = torch.randperm(len(each), generator=torch.Generator().manual_seed(seed))
    found = NoiseScale(batch, len(each))
    for part in order[: batch * number].split(batch):
        found.add([each[part].mean(0)])
    return found


def estimates(found):
    each = torch.stack(found.kept).double()
    return found.estimates(len(each), float(each.square().sum()), float(each.sum(0).square().sum()))


def truth(each):
    """tr Σ / |G|² of all rows, in closed form."""
    return float(each.var(0).sum() / each.mean(0).square().sum())


def test_a_whole_pass_gives_the_gradient_exactly_and_the_noise_closely():
    each = rows()
    found = measured(each, 32, 128)
    noise, square = estimates(found)
    assert square == pytest.approx(float(each.mean(0).square().sum()), rel=1e-5)  # nothing is left of the noise
    assert noise == pytest.approx(float(each.var(0).sum()), rel=0.15)
    (scale, count) = found.readings(step=3)
    assert (scale.name, scale.step, scale.count, count.value) == ("noise.scale", 3, 128, 32)


def test_estimates_of_part_of_a_pass_are_unbiased():
    each, found = rows(512), []
    for seed in range(400):
        part = measured(each, 8, 16, seed)
        found.append(estimates(part))
    noise, square = torch.tensor(found, dtype=torch.float64).unbind(1)
    for values, true in ((noise, each.var(0).sum()), (square, each.mean(0).square().sum())):
        error = float(values.std()) / math.sqrt(len(values))
        assert abs(float(values.mean() - true)) < 3.5 * error


@pytest.mark.parametrize("batch", [4, 64])
def test_the_scale_does_not_depend_on_the_batch_size_and_its_interval_covers_the_truth(batch):
    each = rows(2048, shift=2.0)
    inside = 0
    for seed in range(40):
        (scale, _) = measured(each, batch, 16, seed).readings()
        inside += scale.low <= truth(each) <= scale.high
    assert inside >= 34  # 38 expected; 34 at a level of 0.01


def test_where_nothing_but_noise_is_left_the_scale_has_no_upper_end():
    each = rows(2048, shift=0.0)
    each -= each.mean(0)
    (scale, _) = measured(each, 4, 16).readings()
    assert scale.high == math.inf
    assert scale.low > 4


def test_without_noise_the_scale_is_zero():
    found = NoiseScale(rows=4, population=100)
    for _ in range(8):
        found.add([torch.ones(3), None])
    assert Readings(found.readings()).value("noise.scale") == 0


def test_too_few_batches_and_lost_numbers_are_not_read():
    found = NoiseScale(rows=4, population=100)
    for _ in range(7):
        found.add([torch.ones(3)])
    assert found.readings() == []
    found.add([torch.full((3,), math.nan)])
    assert found.readings() == []


def test_large_and_sparse_gradients_keep_their_length():
    large = torch.randn(3, MOST_ENTRIES, generator=torch.Generator().manual_seed(0))
    some = thinned(large)
    assert some.numel() <= MOST_ENTRIES
    assert float(some.norm()) == pytest.approx(float(large.norm()), rel=0.01)
    sparse = torch.diag(torch.tensor([0.0, 3.0])).to_sparse()
    assert float(thinned(sparse).norm()) == 3

"""The noise of batch statistics against closed forms, and the coverage of its intervals."""

import math

import pytest
import torch
from torch import Tensor, nn

from thalweg.errors import UsageError
from thalweg.measure.batch_noise import estimate_noise, reading, spread_of


def rows(count: int, channels: int = 16, seed: int = 0) -> Tensor:
    return torch.randn(count, channels, generator=torch.Generator().manual_seed(seed)) * 3 + 5


@pytest.mark.parametrize("size", [4, 16, 64])
def test_independent_rows_have_the_textbooks_errors(size: int) -> None:
    network = nn.Sequential(nn.BatchNorm1d(16), nn.Linear(16, 2))
    found = estimate_noise(network, [rows(4096)], sizes=[size])[size]
    errors = {"norm.mean_error": 1 / math.sqrt(size), "norm.variance_error": math.sqrt(2 / (size - 1))}
    for name, expected in errors.items():
        value = found.last(name, "0")
        assert value is not None
        assert value.low is not None
        assert value.high is not None
        assert value.low < expected < value.high, name
        assert abs(value.value / expected - 1) < 0.15
        assert value.count == 64


def test_places_that_agree_are_one_value() -> None:
    """An image of one number at all places is as noisy as a row: the errors are measured, not counted."""
    x = rows(2048)[:, :, None, None].expand(-1, -1, 4, 4)
    found = estimate_noise(nn.Sequential(nn.BatchNorm2d(16)), [x], sizes=[16])[16]
    assert abs(found.value("norm.mean_error", "0") * 4 - 1) < 0.15  # type: ignore[operator]


def test_the_gap_of_one_norm_is_its_own() -> None:
    """x̂ differs by the batch's mean and scale: to first order the squared gap is (1 + (κ - 1)/4) / n, κ = 3."""
    size = 64
    found = estimate_noise(nn.Sequential(nn.BatchNorm1d(64)), [rows(8192, 64)], sizes=[size])[size]
    gap = found.value("norm.output_gap")
    assert gap is not None
    assert abs(gap**2 / (1.5 / size) - 1) < 0.1
    assert found.value("norm.gap_share", "0") == 1


def test_shares_name_the_noisy_layer() -> None:
    """Behind a global mean there is one value per row; before it 64 places."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.BatchNorm1d(8), nn.Linear(8, 3),
    )  # fmt: skip
    x = torch.randn(1024, 1, 8, 8)
    found = estimate_noise(network, [(part, None) for part in x.split(100)], sizes=[8, 64])
    shares = {place: found[8].value("norm.gap_share", place) for place in ("1", "5")}
    assert shares["5"] > 2 * shares["1"]  # type: ignore[operator]
    assert sum(shares.values()) == pytest.approx(1)  # type: ignore[arg-type]
    assert found[8].value("norm.output_gap") > 2 * found[64].value("norm.output_gap")  # type: ignore[operator]


def test_the_network_is_left_as_it_was() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8, momentum=None), nn.Dropout(), nn.BatchNorm1d(8).eval())
    network[3].running_mean.fill_(0.25)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = estimate_noise(network, [rows(256)], sizes=[8])
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [module.training for module in network] == [True, True, True, False]
    assert network[1].momentum is None
    assert found[8].places("norm.mean_error") == ["1"]  # a frozen norm has no batch
    again = estimate_noise(network, [rows(256)], sizes=[8])
    assert list(found[8]) == list(again[8])


def test_without_batch_norms_there_is_nothing() -> None:
    assert len(estimate_noise(nn.Linear(16, 2), [rows(64)], sizes=[8])[8]) == 0


@pytest.mark.parametrize(("sizes", "count"), [([1], 64), ([32], 64), ([8], 0), ([2], 5)])
def test_too_few_rows_are_named(sizes: list[int], count: int) -> None:
    batches = [rows(count)] if count else []
    with pytest.raises(UsageError, match=r"allowed: sizes from 2 to 16|no batches|allowed: 8 rows"):
        estimate_noise(nn.BatchNorm1d(16), batches, sizes=sizes)


def test_intervals_hold_what_they_promise() -> None:
    """Over 400 draws the 95 % intervals of a standard deviation cover it in 92 to 98 %, from 12 batches on."""
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        found = reading("x", "", torch.randn(12, 1, generator=generator, dtype=torch.float64) * 2, spread_of)
        assert found.low is not None
        assert found.high is not None
        covered += found.low < 2 < found.high
    assert 0.92 <= covered / 400 <= 0.98

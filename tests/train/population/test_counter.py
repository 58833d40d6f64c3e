"""Counter-based dropout: its masks are fair, independent of each other and of who trains beside."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.counter import CounterNoise, MemberNoise, Workspace, halves, spread, streams, words

SEEDS = list(range(400))  # neighboring seeds are the hardest


def kept(seeds: list[int], step: int, layer: int, count: int, p: float) -> Tensor:
    return CounterNoise.of(seeds, [step] * len(seeds)).kept((count,), p, layer)


def standard(mask: Tensor, p: float) -> Tensor:
    """Zero mean and unit variance, if the mask is what it says."""
    return (mask.double() - (1 - p)) / math.sqrt(p * (1 - p))


@pytest.mark.parametrize("p", [0.01, 0.1, 0.5, 0.9])
def test_the_share_that_is_dropped(p: float) -> None:
    z = standard(kept(SEEDS, 3, 0, 4096, p), p)
    assert abs(z.mean()) * math.sqrt(z.numel()) < 4  # standard errors
    for dim in (0, 1):  # of each element over the members, of each member over its elements
        chi = (z.mean(dim) * math.sqrt(z.shape[dim])).square()
        assert abs(chi.mean() - 1) < 5 * math.sqrt(2 / len(chi))


@pytest.mark.parametrize("p", [0.1, 0.5])
def test_members_elements_steps_and_layers_are_uncorrelated(p: float) -> None:
    members = standard(kept(SEEDS, 3, 0, 4096, p), p)
    steps = standard(torch.cat([kept([5], step, 1, 4096, p) for step in range(300)]), p)
    layers = standard(torch.cat([kept([5], 2, layer, 4096, p) for layer in range(300)]), p)
    for z in (members, members[:, :400].T, steps, layers):
        correlation = (z @ z.T / math.sqrt(z.shape[1])).fill_diagonal_(0)
        pairs = len(z) * (len(z) - 1)
        variance = correlation.square().sum() / pairs
        assert abs(variance - 1) < 6 * math.sqrt(4 / pairs)  # each pair counts twice
        assert correlation.abs().max() < 6.5  # of 160,000 pairs


def test_neighbors_are_independent() -> None:
    """The four outcomes of two neighbors are equally likely at p = 0.5: chi-square of a 2 x 2 table, 3 degrees."""
    mask = kept(SEEDS, 0, 0, 4096, 0.5).long()
    for distance in (1, 2, 64, 2048):  # the last are decided by one word
        outcomes = (2 * mask[:, distance:] + mask[:, :-distance]).flatten().bincount(minlength=4).double()
        chi = ((outcomes - outcomes.mean()).square() / outcomes.mean()).sum()
        assert chi < 25  # 1 in 65,000


def test_three_elements_together_and_two_members_with_two_elements() -> None:
    """Masks that are pairwise independent may still be dependent in threes, as parities are."""
    z = standard(kept(SEEDS, 0, 0, 4096, 0.5), 0.5)
    triples = torch.randint(4096, (2000, 3), generator=torch.Generator().manual_seed(0)).sort(1).values
    triples = triples[(triples.diff() > 0).all(1)]
    products = z[:, triples].prod(2).mean(0) * math.sqrt(len(z))
    assert abs(products.square().mean() - 1) < 5 * math.sqrt(2 / len(products))
    square = (z[:, :400] @ z[:, :400].T / 20).fill_diagonal_(0)
    assert abs(square.pow(4).sum() / (400 * 399) - 3) < 0.3  # that of a normal variable


def drawn(seed: int, step: int, layer: int) -> Tensor:
    left, right = words(*halves(8192), CounterNoise.of([seed], [step]).keys(layer))
    return left.long().flatten() << 16 | right.long().flatten()


@pytest.mark.parametrize("bit", [*range(32), 40, 63])
def test_every_bit_flips_every_other_with_probability_one_half(bit: int) -> None:
    """Of the seed, the step, the layer; and of the element's number."""
    before = drawn(11, 5, 2)
    pairs = [(before, drawn(11 ^ (1 << bit), 5, 2))]
    if bit < 32:
        pairs += [(before, drawn(11, 5 ^ (1 << bit), 2)), (before, drawn(11, 5, 2 ^ (1 << bit)))]
    if bit < 13:
        pairs.append((before, before[torch.arange(8192) ^ (1 << bit)]))
    for one, other in pairs:
        flips = torch.stack([((one ^ other) >> i & 1).double().mean() for i in range(32)])
        assert (flips - 0.5).abs().max() < 0.035  # 6 standard errors


def test_words_fill_their_range() -> None:
    for found in words(*halves(2**16), CounterNoise.of([1], [1]).keys(0)):
        assert found.dtype == torch.int32
        assert found.min() >= 0
        counts = (found.flatten() >> 8).bincount(minlength=256).double()
        assert len(counts) == 256
        assert ((counts - 256).square() / 256).sum() < 255 + 5 * math.sqrt(2 * 255)


def test_nothing_overflows() -> None:
    """The same words with integers of Python, which have no bounds."""
    upper, lower = halves(50)
    keys = [[int(key) for key in column.flatten()] for column in CounterNoise.of([2**63 + 11], [7]).keys(3)]
    state = [spread(spread(word ^ 7) ^ 3) for word in streams(2**63 + 11)]
    assert [key for word in state for key in (word >> 16, word & 0xFFFF)] == [key for (key,) in keys]
    assert all(0 <= spread(value) < 2**32 for value in (0, 1, 2**31, 2**32 - 1))
    expected = []
    for left, right in zip(upper[0].tolist(), lower[0].tolist(), strict=True):
        left, right = left ^ keys[0][0], right ^ keys[1][0]
        for multiplier, (key,) in zip((31153, 28211, 30089, 26699), keys[2:], strict=True):
            assert right * multiplier + key < 2**31
            left, right = right, left ^ ((right * multiplier + key) >> 9 & 0xFFFF)
        expected.append((left, right))
    found = words(upper, lower, CounterNoise.of([2**63 + 11], [7]).keys(3))
    assert list(zip(*(half.flatten().tolist() for half in found), strict=True)) == expected


def test_a_member_drops_the_same_in_any_company() -> None:
    x = torch.randn(7, 5, 3)
    seeds, steps = [9, 4, 4, -1, 0, 2**40, 3], [0, 5, 6, 1, 1, 2, 3]
    rates = [torch.linspace(0, 0.9, 7, dtype=torch.float64)]
    together = CounterNoise.of(seeds, steps, rates).dropout(x, 0.5, layer=0)
    order = [6, 2, 0, 5, 1, 4, 3]
    moved = CounterNoise.of([seeds[i] for i in order], [steps[i] for i in order], [rates[0][order]])
    assert torch.equal(moved.dropout(x[order], 0.5, layer=0), together[order])
    for k, (seed, step) in enumerate(zip(seeds, steps, strict=True)):
        alone = MemberNoise.after(streams(seed), step, Workspace())
        assert torch.equal(alone.dropout(x[k : k + 1], float(rates[0][k]), layer=0)[0], together[k])
    assert not torch.equal(together[1] != 0, together[2] != 0)  # another step, other masks


@pytest.mark.parametrize("block", [1, 10, 64])
@pytest.mark.parametrize("dtype", [torch.bool, torch.float64, torch.bfloat16])
def test_what_is_drawn_in_parts_is_the_same(block: int, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of members and of elements, an odd number of these; from memory that other draws have used."""
    rates = [torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)]
    noise = CounterNoise.of([1, 2, 3], [4, 5, 6], rates)
    whole = noise.kept((7, 5), 0.0, 0, dtype)
    monkeypatch.setattr("thalweg.train.population.counter.BLOCK", block)
    noise.kept((100,), 0.0, 0)
    assert torch.equal(noise.kept((7, 5), 0.0, 0, dtype), whole)
    for k in range(3):
        alone = MemberNoise.after(streams(1 + k), 4 + k, noise.workspace)
        assert torch.equal(alone.kept((7, 5), float(rates[0][k]), 0, dtype)[0], whole[k])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_factors_of_a_member_alone_are_those_in_company(dtype: torch.dtype) -> None:
    """To the bit: the scale is rounded in the same way from a number and from a tensor."""
    rates = torch.rand(200, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    together = CounterNoise.of([3] * 200, [1] * 200, [rates]).factors((50,), 0.0, layer=0, dtype=dtype)
    for own, p in zip(together, rates.tolist(), strict=True):
        alone = MemberNoise.after(streams(3), 1, Workspace())
        assert torch.equal(alone.factors((50,), p, layer=0, dtype=dtype)[0], own)


def test_noise_is_drawn_on_the_device_that_it_is_for() -> None:
    """All of it: the device "meta" takes no tensor of another but for numbers."""
    there = Workspace("meta")
    for noise in (MemberNoise.after(streams(3), 5, there), CounterNoise.of([1, 2], [3, 4], workspace=there)):
        x = torch.ones(len(noise), 4, 6, 3, device="meta")
        for kind in ("elements", "channels", "alpha", "alpha channels"):
            assert noise.dropout(x, 0.5, layer=0, kind=kind).device.type == "meta"
        assert noise.bernoulli((3,), 0.5, layer=0, dtype=torch.float32).device.type == "meta"


def test_nothing_to_draw() -> None:
    assert CounterNoise.of([0, 1], [0, 0]).kept((0, 3), 0.5, 0).shape == (2, 0, 3)


def test_at_takes_other_steps() -> None:
    own = torch.tensor([streams(3), streams(4)]).T.contiguous()
    there = CounterNoise.of([3, 4], [0, 0]).at(own, torch.tensor([8, 9]))
    assert torch.equal(there.kept((20,), 0.5, 2), CounterNoise.of([3, 4], [8, 9]).kept((20,), 0.5, 2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_scaling(dtype: torch.dtype) -> None:
    x = torch.randn(2, 100, dtype=dtype)
    noise = CounterNoise.of([0, 1], [0, 0])
    assert torch.equal(noise.dropout(x, 0.0, layer=0), x)
    assert not noise.dropout(x, 1.0, layer=0).any()
    dropped = noise.dropout(x, 0.25, layer=0)
    assert dropped.dtype == dtype
    assert torch.equal(dropped[dropped != 0], (x * torch.tensor(1 / 0.75, dtype=dtype))[dropped != 0])


def test_channels_are_dropped_whole() -> None:
    dropped = CounterNoise.of([0], [0]).dropout(torch.ones(1, 64, 8, 3, 3), 0.5, layer=0, kind="channels")
    assert (dropped.flatten(3).std(3) == 0).all()
    assert 0.4 < (dropped[0, :, :, 0, 0] == 0).double().mean() < 0.6


@pytest.mark.parametrize(("kind", "theirs"), [("alpha", F.alpha_dropout), ("alpha channels", F.feature_alpha_dropout)])
def test_alpha_dropout_takes_torchs_values(kind: str, theirs: object) -> None:
    """As many different values, the same ones, and mean and variance kept."""
    x = torch.full((1, 500, 8, 2, 2), 0.7, dtype=torch.float64)
    ours = CounterNoise.of([0], [0]).dropout(x, 0.3, layer=0, kind=kind)
    expected = theirs(x[0], 0.3, training=True)  # type: ignore[operator]
    torch.testing.assert_close(ours.unique(), expected.unique(), rtol=1e-12, atol=0)
    normal = torch.randn(1, 500, 500, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    dropped = CounterNoise.of([0], [0]).dropout(normal, 0.3, layer=0, kind=kind)
    assert abs(dropped.mean()) < 0.01
    assert abs(dropped.var() - 1) < 0.02


def test_bernoulli() -> None:
    drawn = CounterNoise.of([0, 1], [0, 0]).bernoulli((10_000,), 0.8, layer=4, dtype=torch.float64)
    assert set(drawn.unique().tolist()) == {0.0, 1.0}
    assert ((drawn.mean(1) - 0.8).abs() < 4 * math.sqrt(0.16 / 10_000)).all()

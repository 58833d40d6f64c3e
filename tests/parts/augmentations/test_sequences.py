"""Augmentations of sequences against NumPy's functions, closed forms and the distributions that they promise."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.augmentations import (
    Compose,
    FrequencyMask,
    Jitter,
    Scaling,
    Shift,
    Speed,
    TimeCrop,
    TimeMask,
    TimeWarp,
)
from thalweg.parts.augmentations.augmentation import Augmentation
from thalweg.parts.augmentations.draws import normals, seeds, spread, words
from thalweg.parts.augmentations.signals import deviation, mean, resampled, total

ALL = [
    Jitter(0.1),
    Scaling(0.2),
    Scaling(0.2, per_channel=True),
    TimeWarp(1.0),
    TimeWarp(0.5, knots=9),
    TimeMask(0.3, count=2),
    TimeMask(0.3, fill=7.0),
    FrequencyMask(0.5),
    FrequencyMask(0.5, fill=-1.0),
    Shift(0.4),
    Shift(0.4, "edge"),
    Shift(0.4, "wrap"),
    TimeCrop(0.3),
    Speed((0.5, 2.0)),
]
EACH = pytest.mark.parametrize("part", ALL, ids=str)


@pytest.fixture
def x() -> Tensor:
    return torch.randn(50, 5, 37) * torch.tensor([1.0, 10.0, 0.1, 3.0, 1.0])[:, None] + 2


def drawn(part: Augmentation, x: Tensor, **keys: Any) -> dict[str, Any]:
    return Compose(part).draw(range(len(x)), shape=tuple(x.shape[1:]), **keys).drawn[0]


# ---------------------------------------------------------------------- what all of them promise


@EACH
@pytest.mark.parametrize("p", [1.0, 0.5])
def test_a_sample_does_not_depend_on_its_batch(part: Any, x: Tensor, p: float) -> None:
    from dataclasses import replace

    part = replace(part, p=p)
    ids = np.arange(50) * 7 + 3
    whole = part(x, ids=ids, epoch=2, seed=5)
    for size in (1, 7):
        parts = [part(x[i : i + size], ids=ids[i : i + size], epoch=2, seed=5) for i in range(0, 50, size)]
        assert torch.equal(torch.cat(parts), whole)
    order = torch.randperm(50)
    assert torch.equal(part(x[order], ids=ids[order], epoch=2, seed=5), whole[order])
    some = order[:11].sort().values
    assert torch.equal(part(x[some], ids=ids[some], epoch=2, seed=5), whole[some])
    for other in ({"epoch": 3, "seed": 5}, {"epoch": 2, "seed": 6}):
        assert not torch.equal(part(x, ids=ids, **other), whole)


@pytest.mark.parametrize("part", [p for p in ALL if not isinstance(p, FrequencyMask)], ids=str)
@pytest.mark.parametrize("length", [1, 2, 15, 5000])
def test_long_and_short_ones_do_not_depend_on_their_batch_either(part: Any, length: int) -> None:
    x = torch.randn(50, length)
    whole = part(x, ids=range(50))
    assert whole.shape == x.shape
    assert bool(whole.isfinite().all())
    for size in (1, 7):
        parts = [part(x[i : i + size], ids=np.arange(50)[i : i + size]) for i in range(0, 50, size)]
        assert torch.equal(torch.cat(parts), whole)


@pytest.mark.parametrize("part", [Jitter(0.1), TimeMask(0.3), TimeWarp(1.0)], ids=str)
def test_the_number_of_threads_changes_nothing(part: Any) -> None:
    x = torch.randn(2, 200_001)
    due = part(x, ids=[4, 9])
    torch.set_num_threads(2)
    try:
        assert torch.equal(part(x, ids=[4, 9]), due)
        assert torch.equal(part(x[1:], ids=[9]), due[1:])
    finally:
        torch.set_num_threads(1)


@EACH
def test_time_may_be_another_dimension(part: Any, x: Tensor) -> None:
    from dataclasses import replace

    due = part(x, ids=range(50))
    for axis in (1, -2):
        found = replace(part, time=axis)(x.transpose(1, 2).contiguous(), ids=range(50))
        assert torch.equal(found, due.transpose(1, 2))
        assert found.is_contiguous()
    assert torch.equal(replace(part, time=2)(x, ids=range(50)), due)


@EACH
def test_types_are_kept_and_the_batch_is_not_changed(part: Any, x: Tensor) -> None:
    due = part(x.double(), ids=range(50))
    for dtype, tolerance in (
        (torch.float64, 0.0),
        (torch.float32, 1e-5),
        (torch.bfloat16, 0.02),
        (torch.float16, 3e-3),
    ):
        before = x.to(dtype)
        given = before.clone()
        found = part(given, ids=range(50))
        assert found.dtype == dtype
        assert torch.equal(given, before)
        assert found.data_ptr() != given.data_ptr()
        assert found.shape == x.shape
        reference = part(before.double(), ids=range(50)) if dtype != torch.float64 else due
        worst = (found.double() - reference).abs().max() / reference.abs().max()
        assert float(worst) <= tolerance


@EACH
def test_a_probability_and_one_draw_for_all(part: Any, x: Tensor) -> None:
    from dataclasses import replace

    ids = np.arange(4000)
    applied = Compose(replace(part, p=0.3)).draw(ids, shape=(5, 37), seed=1).drawn[0]["applied"]
    low, high = stats.binom.interval(1 - 1e-9, len(ids), 0.3)
    assert low <= applied.sum() <= high
    half = replace(part, p=0.3)(x, ids=ids[:50], seed=1)
    assert torch.equal(half[~applied[:50]], x[~applied[:50]])
    assert torch.equal(half[applied[:50]], part(x, ids=ids[:50], seed=1)[applied[:50]])
    same = x[:1].expand(50, -1, -1)
    together = replace(part, per="batch")(same, ids=range(50))
    assert torch.equal(together, together[:1].expand_as(together))
    assert torch.equal(replace(part, p=0.0)(x, ids=range(50)), x)


@EACH
def test_a_draw_is_shown_and_replayed(part: Any, x: Tensor) -> None:
    compose = Compose(part, Scaling(0.1))
    draw = compose.draw(range(50), shape=(5, 37), seed=3)
    assert torch.equal(compose.replay(x, draw), compose(x, ids=range(50), seed=3))
    assert type(part).__name__ in draw.rows()[0]
    assert type(part).__name__ in str(draw)


# ---------------------------------------------------------------------- numbers for each value


def test_spread_is_splitmix64() -> None:
    state, mask = 1234567, 2**64 - 1

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    start = mix((state + golden) & mask)
    due = [mix((start + k * golden) & mask) for k in range(1, 6)]
    assert spread(np.array([0, state]), 5)[1].tolist() == due
    assert start == 6457827717110365317  # the first number that the published splitmix64 gives from 1234567


def test_seeds_keep_all_bits_of_their_numbers() -> None:
    word = words(np.arange(100), seed=0, epoch=0, count=1)[0]
    found = seeds((word >> np.uint64(11)) * 2.0**-53)
    assert (found.astype(np.uint64) == word >> np.uint64(11)).all()


def test_normals_are_normal_and_independent() -> None:
    z = normals(np.arange(1000), 999).astype(np.float64)
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4
    assert stats.kstest(z[:, 0], "norm").pvalue > 1e-4
    n = z.size
    assert abs(z.mean()) < 5 / n**0.5
    assert abs(z.var() - 1) < 5 * (2 / n) ** 0.5
    assert abs((z**4).mean() - 3) < 5 * (96 / n) ** 0.5
    for a, b in ((z[:, :-1], z[:, 1:]), (z[:-1], z[1:]), (z[:, :499], z[:, 500:])):  # the last are r cos a and r sin a
        assert abs((a * b).mean()) < 5 / a.size**0.5
        assert abs((a**2 * b**2).mean() - 1) < 5 * (8 / a.size) ** 0.5


@pytest.mark.parametrize("length", [1, 2, 3, 64, 999, 16000])
def test_sums_in_a_fixed_order(length: int) -> None:
    x = torch.randn(6, 3, length) + 100
    kept = x.clone()
    due = x.double().numpy()
    np.testing.assert_allclose(total(x)[..., 0].numpy(), due.sum(-1), rtol=1e-6)
    np.testing.assert_allclose(mean(x)[..., 0].numpy(), due.mean(-1), rtol=1e-6)
    np.testing.assert_allclose(deviation(x)[..., 0].numpy(), due.std(-1), rtol=2e-5, atol=1e-6)
    assert torch.equal(x, kept)


def test_resampled_is_linear_interpolation() -> None:
    x = torch.randn(4, 3, 20, dtype=torch.float64)
    position = torch.rand(4, 31, dtype=torch.float64) * 25 - 3
    found = resampled(x, position.clone())
    for i in range(4):
        for c in range(3):
            due = np.interp(position[i].numpy(), np.arange(20), x[i, c].numpy())
            np.testing.assert_allclose(found[i, c].numpy(), due, atol=1e-13)


# ---------------------------------------------------------------------- each of them


def test_jitter_adds_noise_in_units_of_each_channel() -> None:
    x = torch.stack([torch.linspace(-1, 1, 400), 100 * torch.linspace(-1, 1, 400) + 5, torch.full((400,), 3.0)])
    x = x.expand(200, -1, -1)
    found = Jitter(0.05)(x, ids=range(200))
    noise = ((found - x)[:, :2] / x[:, :2].std(2, correction=0, keepdim=True) / 0.05).double().numpy()
    assert torch.equal(found[:, 2], x[:, 2])
    for own in (noise[:, 0], noise[:, 1]):
        assert stats.kstest(own.ravel(), "norm").pvalue > 1e-4
    assert abs((noise[:, 0] * noise[:, 1]).mean()) < 5 / noise[:, 0].size ** 0.5
    due = normals(drawn(Jitter(0.05), x)["seed"], 1200).reshape(200, 3, 400)[:, :2]
    np.testing.assert_allclose(noise, due, atol=2e-3)


@pytest.mark.parametrize("per_channel", [False, True])
def test_scaling_multiplies_by_a_normal_factor(per_channel: bool) -> None:
    x = torch.randn(3000, 4, 6)
    found = Scaling(0.2, per_channel=per_channel)(x, ids=range(3000))
    ratio = (found / x).double()
    assert float((ratio - ratio[..., :1]).abs().max()) < 1e-6
    factors = ratio[..., 0]
    assert stats.kstest(((factors[:, 1] - 1) / 0.2).numpy(), "norm").pvalue > 1e-4
    if per_channel:
        assert abs(float(np.corrcoef(factors[:, 0], factors[:, 1])[0, 1])) < 5 / 3000**0.5
    else:
        assert float((factors - factors[:, :1]).abs().max()) < 1e-6


@pytest.mark.parametrize("knots", [2, 4, 7])
@pytest.mark.parametrize("length", [2, 3, 100])
def test_a_warp_of_time_is_the_integral_of_the_speed(knots: int, length: int) -> None:
    part = TimeWarp(1.0, knots)
    ramp = torch.arange(length, dtype=torch.float64).expand(40, 2, -1)
    warp = part(ramp, ids=range(40))  # of the numbers of the steps: where each step comes from
    speed = drawn(part, ramp)["speed"]
    assert speed.shape == (40, knots)
    assert speed.min() >= 0.5
    assert speed.max() <= 2.0
    places = np.linspace(0, knots - 1, length)
    for i in range(40):
        own = np.interp(places, np.arange(knots), speed[i])
        way = np.concatenate([[0], np.cumsum((own[1:] + own[:-1]) / 2)])
        way *= (length - 1) / way[-1]
        np.testing.assert_allclose(warp[i, 0].numpy(), way, atol=1e-9)
        signal = np.random.default_rng(i).normal(size=(2, length))
        found = part(torch.from_numpy(signal)[None], ids=[i])[0].numpy()
        for c in range(2):
            np.testing.assert_allclose(found[c], np.interp(way, np.arange(length), signal[c]), atol=1e-9)
    rise = warp.diff(dim=-1)
    assert float(rise.min()) > 0.2  # of one step: at most four times slower than the mean
    assert float(rise.max()) < 4


def test_speeds_of_a_warp_are_log_uniform() -> None:
    speed = drawn(TimeWarp(1.0), torch.zeros(5000, 10))["speed"]
    assert stats.kstest(np.log2(speed).ravel(), "uniform", (-1, 2)).pvalue > 1e-4


@pytest.mark.parametrize("count", [1, 3])
def test_masks_of_time_are_stretches_of_uniform_length_and_place(count: int) -> None:
    x = torch.randn(6000, 3, 40) + torch.tensor([0.0, 5.0, -5.0])[:, None]
    part = TimeMask(0.25, count)
    found, own = part(x, ids=range(6000)), drawn(part, x)
    assert own["start"].shape == own["length"].shape == (6000, count)
    due = x.clone()
    for i in range(6000):
        for start, length in zip(own["start"][i], own["length"][i], strict=True):
            due[i, :, start : start + length] = x[i].mean(1, keepdim=True)
    torch.testing.assert_close(found, due)
    assert stats.chisquare(np.bincount(own["length"][:, 0], minlength=11)).pvalue > 1e-4
    ten = own["length"][:, 0] == 10
    assert stats.chisquare(np.bincount(own["start"][ten, 0], minlength=31)).pvalue > 1e-4
    assert (own["start"] + own["length"]).max() == 40


def test_masks_are_filled_with_a_number() -> None:
    x = torch.rand(50, 8, 20) + 1
    part = TimeMask(0.5, fill=0.0)
    zeros = part(x, ids=range(50)) == 0
    assert (zeros.sum(2)[:, 0].numpy() == drawn(part, x)["length"][:, 0]).all()
    assert bool((zeros == zeros[:, :1]).all())
    part = FrequencyMask(0.5, fill=0.0)
    zeros = part(x, ids=range(50)) == 0
    assert (zeros.sum(1)[:, 0].numpy() == drawn(part, x)["length"][:, 0]).all()
    assert bool((zeros == zeros[:, :, :1]).all())


def test_masks_of_frequencies_are_bands() -> None:
    x = torch.randn(4000, 16, 5) + 3
    part = FrequencyMask(0.25, 2)
    found, own = part(x, ids=range(4000)), drawn(part, x)
    due = x.clone()
    for i in range(4000):
        for start, length in zip(own["start"][i], own["length"][i], strict=True):
            due[i, start : start + length] = x[i].mean()
    torch.testing.assert_close(found, due)
    assert stats.chisquare(np.bincount(own["length"][:, 0], minlength=5)).pvalue > 1e-4


def test_a_share_of_less_than_a_step_is_one_step() -> None:
    x = torch.zeros(200, 4)
    assert set(drawn(TimeMask(0.1), x)["length"].ravel()) == {0, 1}
    assert set(drawn(TimeMask(0.001), x)["length"].ravel()) == {0, 1}
    assert set(drawn(Shift(0.1), x)["steps"]) == {-1, 0, 1}
    assert set(drawn(TimeMask(0.0), x)["length"].ravel()) == {0}
    assert set(drawn(TimeMask(0.29), torch.zeros(5000, 100))["length"].ravel()) == set(range(30))


@pytest.mark.parametrize(("fill", "mode"), [("zero", "constant"), ("edge", "edge"), ("wrap", "wrap")])
@pytest.mark.parametrize("share", [0.3, 1.0])
def test_shifts_are_those_of_numpy(fill: str, mode: Any, share: float) -> None:
    x = torch.randn(300, 3, 10)
    part = Shift(share, fill)
    found, steps = part(x, ids=range(300)), drawn(part, x)["steps"]
    most = int(10 * share)
    assert set(steps) == set(range(-most, most + 1))
    for i, d in enumerate(steps):
        padded = np.pad(x[i].numpy(), ((0, 0), (max(d, 0), max(-d, 0))), mode=mode)
        due = padded[:, :10] if d >= 0 else padded[:, -10:]
        assert (found[i].numpy() == due).all()
        if fill == "wrap":
            assert (found[i].numpy() == np.roll(x[i].numpy(), d, -1)).all()


def test_crops_are_stretched_to_the_length() -> None:
    x = torch.randn(500, 2, 33)
    part = TimeCrop(0.4)
    found, own = part(x, ids=range(500)), drawn(part, x)
    steps = np.arange(33)
    for i in range(500):
        place = own["start"][i] + own["kept"][i] * steps
        assert place[0] >= 0
        assert place[-1] <= 32 + 1e-9
        for c in range(2):
            np.testing.assert_allclose(found[i, c].numpy(), np.interp(place, steps, x[i, c].numpy()), atol=2e-6)
    assert stats.kstest(own["kept"], "uniform", (0.4, 0.6)).pvalue > 1e-4
    where = own["start"] / ((1 - own["kept"]) * 32)
    assert stats.kstest(where, "uniform").pvalue > 1e-4
    torch.testing.assert_close(TimeCrop(1.0)(x), x)


def test_speed_reads_faster_or_slower() -> None:
    x = torch.randn(500, 2, 33) + 4
    part = Speed((0.5, 2.0))
    found, own = part(x, ids=range(500)), drawn(part, x)
    steps = np.arange(33)
    for i in range(500):
        place = own["start"][i] + own["factor"][i] * steps
        for c in range(2):
            due = np.interp(place, steps, x[i, c].numpy(), left=0, right=0)
            inner = np.abs(place - 32) > 1e-6  # there the last value and 0 meet
            np.testing.assert_allclose(found[i, c].numpy()[inner], due[inner], atol=3e-6)
    slow, fast = own["factor"] < 1, own["factor"] > 1
    assert not bool((found[torch.from_numpy(slow)] == 0).any())
    zeros = (found[torch.from_numpy(fast)][:, 0] == 0).sum(1).numpy()
    due = 33 - 32 / own["factor"][fast]
    assert (np.abs(zeros - due) <= 1).all()  # what the shorter sequence does not fill
    assert torch.equal(Speed((1.0, 1.0))(x), x)
    assert stats.kstest(own["factor"], "uniform", (0.5, 1.5)).pvalue > 1e-4


def test_nothing_is_drawn_at_strength_zero(x: Tensor) -> None:
    for part in (Jitter(0.0), Scaling(0.0), TimeMask(0.0), FrequencyMask(0.0), Shift(0.0), TimeCrop(1.0)):
        assert torch.equal(part(x), x), part
    torch.testing.assert_close(TimeWarp(0.0)(x), x)


# ---------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Jitter(-1.0), r"Jitter got std=-1.0; allowed: a number of at least 0"),
        (lambda: Scaling(float("nan")), r"Scaling got std=nan"),
        (lambda: Scaling(per_channel=1), r"per_channel=1; allowed: True or False"),  # type: ignore[arg-type]
        (lambda: TimeWarp(-0.1), r"strength=-0.1"),
        (lambda: TimeWarp(knots=1), r"knots=1; allowed: an integer of at least 2"),
        (lambda: TimeMask(1.5), r"share=1.5; allowed: a number from 0 to 1"),
        (lambda: TimeMask(count=0), r"count=0"),
        (lambda: TimeMask(fill="median"), r"fill='median'; allowed: 'mean' or a number"),
        (lambda: FrequencyMask(-0.1), r"share=-0.1"),
        (lambda: Shift(fill="reflect"), r"fill='reflect'; allowed: 'zero', 'edge', 'wrap'"),
        (lambda: TimeCrop(0), r"share=0; allowed: a number above 0, at most 1"),
        (lambda: Speed((1.1, 0.9)), r"factors=\(1.1, 0.9\); allowed: \(low, high\)"),
        (lambda: Speed((0.0, 1.0)), r"factors=\(0.0, 1.0\)"),
        (lambda: Jitter(time=0), r"time=0; allowed: a dimension of the batch after the first"),
        (lambda: Jitter(p=2.0), r"p=2.0"),
        (lambda: Jitter(per="row"), r"per='row'"),
    ],
)
def test_bad_arguments_are_named(make: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        make()


def test_bad_batches_are_named() -> None:
    with pytest.raises(DataError, match=r"sequence data got int64 \[2, 5\]"):
        Jitter()(torch.zeros(2, 5, dtype=torch.int64))
    with pytest.raises(DataError, match=r"sequence data got float32 \[2, 5, 3, 3\]"):
        Shift()(torch.zeros(2, 5, 3, 3))
    with pytest.raises(
        DataError, match=r"got sequences \['B', 5\]; give \[B, T\], or \[B, C, T\] with time in dimension 2"
    ):
        Shift(time=2)(torch.zeros(2, 5))
    with pytest.raises(DataError, match=r"of at least one step"):
        Jitter()(torch.zeros(2, 3, 0))
    with pytest.raises(DataError, match=r"FrequencyMask got sequences \[B, 16000\] without channels"):
        FrequencyMask()(torch.zeros(2, 16000))

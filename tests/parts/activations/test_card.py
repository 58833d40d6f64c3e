"""Cards and gains against closed forms, scipy's quadrature and torch's conventions."""

import itertools
import math

import pytest
import torch
from scipy import integrate, optimize, stats
from torch import nn

from thalweg.parts import activations
from thalweg.parts.activations import (
    ELU,
    GELU,
    SELU,
    HardSigmoid,
    Hardswish,
    Identity,
    LeakyReLU,
    Mish,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Softplus,
    Tanh,
)
from thalweg.parts.activations.gain import backward_gain, expectation, gain

PARTS = [getattr(activations, name)() for name in activations.__all__]
PARTS += [LeakyReLU(slope=-0.5), ELU(alpha=2.0), GELU(approximate="tanh"), Softplus(beta=50.0), Softplus(threshold=1.0)]
every_part = pytest.mark.parametrize("part", PARTS, ids=repr)


def second_moment_of_elu(alpha: float) -> float:
    """E[φ²] = 1/2 + α² (e² Φ(−2) − 2 e^½ Φ(−1) + 1/2)."""
    cdf = stats.norm.cdf
    return 0.5 + alpha**2 * (math.exp(2) * cdf(-2) - 2 * math.exp(0.5) * cdf(-1) + 0.5)


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (ReLU(), math.sqrt(2)),
        (LeakyReLU(slope=0.2), math.sqrt(2 / 1.04)),
        (PReLU(slope=0.5), math.sqrt(2 / 1.25)),
        (Identity(), 1.0),
        (SELU(), 1.0),
        (ELU(), second_moment_of_elu(1.0) ** -0.5),
        (ELU(alpha=2.0), second_moment_of_elu(2.0) ** -0.5),
        # E[z² Φ(z)²] = 1/3 + 1/(2π√3): Stein's lemma twice.
        (GELU(), (1 / 3 + 1 / (2 * math.pi * math.sqrt(3))) ** -0.5),
    ],
    ids=repr,
)
def test_gain_is_the_closed_form(part, expected):
    assert gain(part) == pytest.approx(expected, rel=1e-12)


@every_part
def test_gains_and_mean_against_scipys_quadrature(part):
    def phi(z: float) -> float:
        return float(part.function(torch.tensor(z, dtype=torch.float64)))

    def slope(z: float) -> float:
        leaf = torch.tensor(z, dtype=torch.float64, requires_grad=True)
        return float(torch.autograd.grad(part.function(leaf), leaf)[0])

    def mean(f) -> float:
        edges = sorted({-12.0, -0.1, 0.0, 0.1, 12.0, *(k for k in part.kinks if abs(k) < 12)})
        pairs = itertools.pairwise(edges)
        return sum(
            integrate.quad(lambda z: f(z) * stats.norm._pdf(z), a, b, epsabs=1e-11, epsrel=1e-9)[0] for a, b in pairs
        )

    assert gain(part) == pytest.approx(mean(lambda z: phi(z) ** 2) ** -0.5, rel=1e-8)
    assert backward_gain(part) == pytest.approx(mean(lambda z: slope(z) ** 2) ** -0.5, rel=1e-8)
    assert part.card().mean == pytest.approx(mean(phi), abs=1e-8)


def test_gain_takes_any_function():
    assert gain(nn.ReLU6()) == pytest.approx(math.sqrt(2), rel=1e-8)
    assert gain(torch.sin) == pytest.approx(((1 - math.exp(-2)) / 2) ** -0.5, rel=1e-12)
    assert expectation(torch.cos) == pytest.approx(math.exp(-0.5), rel=1e-14)


def test_gain_keeps_the_variance_through_depth():
    generator = torch.Generator().manual_seed(0)
    for part in (Tanh(), GELU(), SELU(), SiLU(), ELU()):
        x = torch.randn(256, 400, generator=generator, dtype=torch.float64)
        x = part.function(x)
        for _ in range(3):
            weight = torch.randn(400, 400, generator=generator, dtype=torch.float64)
            x = part.function(x * gain(part) @ weight.t() / 20)  # mean square of the inputs of a layer stays 1
            assert float((x * gain(part)).pow(2).mean()) == pytest.approx(1, rel=0.08)


def test_torchs_convention():
    assert Tanh().card().torch_gain == pytest.approx(5 / 3)
    assert Sigmoid().card().torch_gain == 1
    assert SELU().card().torch_gain == 0.75
    assert LeakyReLU(slope=0.2).card().torch_gain == pytest.approx(gain(LeakyReLU(slope=0.2)))
    assert ReLU().card().torch_gain == pytest.approx(gain(ReLU()))
    assert GELU().card().torch_gain is None


VALLEY = {  # the lowest value, by scipy on the formula
    GELU(): lambda x: x * stats.norm.cdf(x),
    SiLU(): lambda x: x / (1 + math.exp(-x)),
    Mish(): lambda x: x * math.tanh(math.log1p(math.exp(x))),
    Hardswish(): lambda x: x * min(max(x + 3, 0), 6) / 6,
}


@pytest.mark.parametrize("part", VALLEY, ids=repr)
def test_valleys(part):
    lowest = optimize.minimize_scalar(VALLEY[part], bounds=(-3, 0), method="bounded", options={"xatol": 1e-12}).fun
    card = part.card()
    assert card.range == (pytest.approx(lowest, abs=1e-9), math.inf)
    assert not card.monotone
    assert not card.zero_centered
    (_, first), (low, high) = card.saturation
    assert first < low < high < 0


@pytest.mark.parametrize(
    ("part", "range_", "slopes"),
    [
        (Sigmoid(), (0, 1), (0, 0.25)),
        (Tanh(), (-1, 1), (0, 1)),
        (ReLU(), (0, math.inf), (0, 1)),
        (LeakyReLU(slope=-0.5), (0, math.inf), (-0.5, 1)),
        (ELU(alpha=2.0), (-2, math.inf), (0, 2)),
        (SELU(), (-1.7580993408473766, math.inf), (0, 1.7580993408473766)),
        (Softplus(), (0, math.inf), (0, 1)),
        (HardSigmoid(), (0, 1), (0, torch.tensor(1 / 6).item())),  # torch's backward has it in float32
        (Hardswish(), (-0.375, math.inf), (-0.5, 1.5)),
        (Identity(), (-math.inf, math.inf), (1, 1)),
    ],
    ids=repr,
)
def test_ranges(part, range_, slopes):
    assert part.card().range == pytest.approx(range_, abs=1e-9)
    assert part.card().derivative_range == pytest.approx(slopes, abs=1e-9)


def test_saturation_is_where_the_derivative_is_below_a_hundredth_of_its_maximum():
    end = math.log((1 + math.sqrt(0.99)) / (1 - math.sqrt(0.99)))  # s (1 − s) = 0.01/4
    (_, low), (high, _) = Sigmoid().card().saturation
    assert (low, high) == pytest.approx((-end, end), rel=1e-10)
    assert Sigmoid().card().saturated_share == pytest.approx(2 * stats.norm.sf(end), rel=1e-6)
    end = math.atanh(math.sqrt(0.99))
    assert Tanh().card().saturation[1] == (pytest.approx(end, rel=1e-10), math.inf)
    assert ELU().card().saturation == ((-math.inf, pytest.approx(math.log(0.01))),)
    assert ReLU().card().saturation == ((-math.inf, pytest.approx(0, abs=1e-9)),)
    assert ReLU().card().saturated_share == pytest.approx(0.5)
    assert LeakyReLU().card().saturation == ()
    assert LeakyReLU(slope=0.001).card().saturated_share == pytest.approx(0.5)
    assert HardSigmoid().card().saturated_share == pytest.approx(2 * stats.norm.sf(3))


@every_part
def test_share_that_saturates_against_drawn_numbers(part):
    z = torch.randn(200_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).requires_grad_()
    slope = torch.autograd.grad(part.function(z).sum(), z)[0].abs()
    card = part.card()
    most = max(map(abs, card.derivative_range))
    assert float((slope < 0.01 * most).double().mean()) == pytest.approx(card.saturated_share, abs=4e-3)


def test_prints_and_measures():
    card = ReLU().card(measure=True)
    assert 0.5 < card.forward_cost < 2  # against itself
    assert 0.5 < card.backward_cost < 2
    assert "forward" in str(card).splitlines()[-1]
    assert str(GELU().card()).startswith("GELU(approximate='none')\n  range ")
    html = GELU().card()._repr_html_()
    assert "derivative's range" in html or "derivative&#x27;s range" in html
    assert "1 % of its maximum" in html.replace("\N{NO-BREAK SPACE}", " ")

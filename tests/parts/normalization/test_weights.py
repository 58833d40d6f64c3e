"""Weight standardization against its formula, spectral norm against torch's and the singular values."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.parametrize import remove_parametrizations

from thalweg.errors import UsageError
from thalweg.parts.normalization import SpectralNorm, WeightStandardization
from thalweg.parts.normalization.modules.weights import fan_in

LAYERS = [
    (lambda: nn.Linear(6, 5), (4, 6)),
    (lambda: nn.Conv1d(6, 4, 3, groups=2), (4, 6, 7)),
    (lambda: nn.Conv2d(4, 4, 3, groups=4, bias=False), (2, 4, 5, 5)),
    (lambda: nn.Conv3d(2, 3, 2), (2, 2, 3, 3, 3)),
    (lambda: nn.ConvTranspose1d(6, 4, 3), (4, 6, 7)),
    (lambda: nn.ConvTranspose2d(6, 4, 3, groups=2), (2, 6, 4, 4)),
    (lambda: nn.ConvTranspose2d(6, 6, (2, 3), groups=3), (2, 6, 4, 4)),
]
every_layer = pytest.mark.parametrize(("make", "shape"), LAYERS)


def response(layer: nn.Module, shape: tuple[int, ...], unit: int) -> Tensor:
    """The weights that lead to one output unit, found by what the unit's output changes with; no layouts assumed."""
    weight: Any = layer.weight
    bare = weight.detach().clone().requires_grad_()
    x = torch.randn(shape, dtype=torch.float64)
    output = torch.func.functional_call(layer, {"weight": bare}, (x,))
    (gradient,) = torch.autograd.grad(output[:, unit].sum(), bare)
    return bare.detach()[gradient != 0]


@every_layer
@pytest.mark.parametrize("scaled", [True, False])
def test_every_unit_is_standardized(make: Any, shape: tuple[int, ...], scaled: bool) -> None:
    torch.manual_seed(0)
    layer, plain = make().double(), make().double()
    plain.load_state_dict(layer.state_dict())
    WeightStandardization(eps=1e-6, scaled=scaled).apply(layer)
    baked = make().double()
    with torch.no_grad():
        baked.weight.copy_(layer.weight)
    units = plain.weight.shape[0] if isinstance(plain, nn.Linear) else plain.out_channels
    for unit in range(units):
        before, after = response(plain, shape, unit), response(baked, shape, unit)
        assert len(before) == fan_in(plain)
        expected = (before - before.mean()) / (before.var(correction=0) + 1e-6).sqrt()
        expected = expected / math.sqrt(len(before)) if scaled else expected
        torch.testing.assert_close(after, expected, rtol=1e-10, atol=1e-12)


@every_layer
def test_it_trains_and_comes_back(make: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = WeightStandardization().apply(make().double())
    x = torch.randn(shape, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda v: torch.func.functional_call(layer, {WEIGHT: v}, (x,)), trained(layer))
    layer.weight = torch.ones_like(layer.weight)  # what is trained
    assert bool((trained(layer) == 1).all())
    assert bool((layer.weight == 0).all())
    assert sorted(name for name, _ in layer.named_parameters() if name != "bias") == [WEIGHT]
    remove_parametrizations(layer, "weight")


WEIGHT = "parametrizations.weight.original"


def trained(layer: nn.Module) -> Tensor:
    return layer.get_parameter(WEIGHT)


def test_scaled_keeps_the_scale_of_the_inputs() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(*[WeightStandardization().apply(nn.Linear(256, 256, bias=False)) for _ in range(20)])
    assert 0.7 < float(network(torch.randn(64, 256)).detach().std()) < 1.4


def test_before_a_norm_the_factor_is_forgotten() -> None:
    torch.manual_seed(0)
    x, norm = torch.randn(8, 4, 6, 6), nn.BatchNorm2d(16, eps=1e-12)
    outputs = []
    for scaled in (True, False):
        torch.manual_seed(1)
        outputs.append(norm(WeightStandardization(scaled=scaled).apply(nn.Conv2d(4, 16, 3))(x)))
    torch.testing.assert_close(*outputs, rtol=1e-4, atol=1e-5)


def test_bfloat16_weights_have_float32_statistics() -> None:
    torch.manual_seed(0)
    layer = nn.Linear(512, 8).bfloat16()
    with torch.no_grad():
        layer.weight.add_(4)
    exact = layer.weight.detach().double()
    exact = (exact - exact.mean(1, keepdim=True)) / exact.std(1, correction=0, keepdim=True)
    found = WeightStandardization(scaled=False).apply(layer).weight.detach()
    assert float((found.double() - exact).abs().max() / exact.abs().max()) < 2**-7


@every_layer
def test_spectral_norm_is_torchs(make: Any, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    layer = make()
    theirs = make()
    theirs.load_state_dict(layer.state_dict())
    state = torch.get_rng_state()
    SpectralNorm(power_iterations=2, eps=1e-10).apply(layer)
    assert torch.equal(state, torch.get_rng_state())
    torch.manual_seed(0)
    spectral_norm(theirs, n_power_iterations=2, eps=1e-10)
    x = torch.randn(shape)
    for training in (True, True, False):
        assert torch.equal(layer.train(training)(x), theirs.train(training)(x))


def test_spectral_norm_is_the_largest_singular_value() -> None:
    torch.manual_seed(0)
    layer = SpectralNorm().apply(nn.Linear(20, 30).double())
    for _ in range(300):
        layer.weight  # noqa: B018 - each reading in training is a step of power iteration
    assert abs(float(torch.linalg.matrix_norm(layer.eval().weight.detach(), 2)) - 1) < 1e-6


@pytest.mark.parametrize(
    ("part", "layer", "message"),
    [
        (WeightStandardization(), nn.BatchNorm1d(3), "BatchNorm1d: it is neither linear nor convolutional"),
        (WeightStandardization(), nn.Conv2d(3, 3, 1, groups=3), "each of its units has one weight"),
        (WeightStandardization(), nn.LazyLinear(3), "known only after a first call"),
        (SpectralNorm(), spectral_norm(nn.Linear(3, 3)), "parametrized already"),
        (SpectralNorm(), nn.Embedding(3, 3), "neither linear"),
    ],
)
def test_what_cannot_be_is_said(part: Any, layer: nn.Module, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        part.apply(layer)


def test_a_weight_of_zeros_is_refused() -> None:
    layer = nn.Linear(3, 3)
    nn.init.zeros_(layer.weight)
    with pytest.raises(UsageError, match="its weights are all 0"):
        SpectralNorm().apply(layer)

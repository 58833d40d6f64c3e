import pytest
import torch
from torch import nn

from thalweg.parts.activations import GELU, SELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
from thalweg.parts.activations.gain import gain
from thalweg.parts.initializers.gain import gain_before


@pytest.mark.parametrize("activation", [ReLU(), LeakyReLU(slope=0.2), SELU(), GELU(), SiLU(), nn.ReLU6()], ids=str)
def test_mean_square_after_the_activation_is_one(activation):
    z = torch.randn(4_000_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    function = activation if isinstance(activation, nn.Module) else activation.function
    assert float(function(gain_before(activation) * z).square().mean()) == pytest.approx(1, rel=5e-3)


def test_closed_forms_and_bounded_functions():
    assert gain_before(ReLU()) == pytest.approx(2**0.5, rel=1e-9)
    assert gain_before(LeakyReLU(slope=0.2)) == pytest.approx((2 / 1.04) ** 0.5, rel=1e-9)
    assert gain_before(SELU()) == pytest.approx(1, rel=1e-6)
    for activation in (Tanh(), Sigmoid()):
        assert gain_before(activation) == gain(activation)

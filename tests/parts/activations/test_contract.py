"""Every activation through the same cases."""

import dataclasses
import functools
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.parts import activations
from thalweg.parts.activations import (
    ELU,
    GELU,
    SELU,
    Activation,
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
from thalweg.parts.activations.gain import derivative
from thalweg.parts.activations.recognize import activation_of
from thalweg.plan import Plan

# Each part, torch's module with the same settings, and φ written out from its definition.
CASES: list[tuple[Activation, nn.Module, object]] = [
    (Sigmoid(), nn.Sigmoid(), lambda x: 1 / (1 + torch.exp(-x))),
    (Tanh(), nn.Tanh(), lambda x: (torch.exp(x) - torch.exp(-x)) / (torch.exp(x) + torch.exp(-x))),
    (ReLU(), nn.ReLU(), lambda x: x * (x > 0)),
    (LeakyReLU(), nn.LeakyReLU(), lambda x: torch.where(x > 0, x, 0.01 * x)),
    (LeakyReLU(slope=0.3), nn.LeakyReLU(0.3), lambda x: torch.where(x > 0, x, 0.3 * x)),
    (PReLU(), nn.PReLU(), lambda x: torch.where(x > 0, x, 0.25 * x)),
    (PReLU(slope=0.125, shared=False), nn.PReLU(4, init=0.125), lambda x: torch.where(x > 0, x, x / 8)),
    (ELU(), nn.ELU(), lambda x: torch.where(x > 0, x, x.exp() - 1)),
    (ELU(alpha=0.5), nn.ELU(0.5), lambda x: torch.where(x > 0, x, 0.5 * (x.exp() - 1))),
    (
        SELU(),
        nn.SELU(),
        lambda x: 1.0507009873554805 * torch.where(x > 0, x, 1.6732632423543772 * (x.exp() - 1)),
    ),
    (GELU(), nn.GELU(), lambda x: x * (1 + torch.erf(x / 2**0.5)) / 2),
    (
        GELU(approximate="tanh"),
        nn.GELU("tanh"),
        lambda x: x / 2 * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x**3))),
    ),
    (SiLU(), nn.SiLU(), lambda x: x / (1 + torch.exp(-x))),
    (Mish(), nn.Mish(), lambda x: x * torch.tanh(torch.log(1 + x.exp()))),
    (Softplus(), nn.Softplus(), lambda x: torch.log(1 + x.exp())),
    (Softplus(beta=3.0, threshold=30.0), nn.Softplus(3, 30), lambda x: torch.log(1 + (3 * x).exp()) / 3),
    (Hardswish(), nn.Hardswish(), lambda x: x * (x + 3).clamp(0, 6) / 6),
    (HardSigmoid(), nn.Hardsigmoid(), lambda x: (x + 3).clamp(0, 6) / 6),
    (Identity(), nn.Identity(), lambda x: x),
]
every_case = pytest.mark.parametrize(("part", "torchs", "formula"), CASES, ids=[repr(part) for part, _, _ in CASES])
SHAPE = (3, 4, 5, 6)  # [N, C, H, W]


def numbers(*shape: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return (2 * torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).to(dtype)


@every_case
def test_function_and_module_are_torchs_and_the_formulas(part, torchs, formula):
    x = numbers(*SHAPE)
    assert torch.equal(part.build(channels=4).double()(x), torchs.double()(x))
    torch.testing.assert_close(part.function(x), torchs(x), rtol=1e-15, atol=1e-15)
    torch.testing.assert_close(part.function(x), formula(x), rtol=1e-11, atol=1e-12)


@every_case
def test_derivative_against_finite_differences(part, torchs, formula):
    x = numbers(500)
    x = x[(x[:, None] - torch.tensor([0.0, *part.kinks], dtype=torch.float64)).abs().min(1).values > 1e-3]
    step = 1e-5
    central = (formula(x + step) - formula(x - step)) / (2 * step)
    torch.testing.assert_close(derivative(part, x), central, rtol=1e-8, atol=1e-8)


@every_case
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_dtypes_stay_and_are_as_near_as_they_can_be(part, torchs, formula, dtype):
    x = numbers(*SHAPE, dtype=dtype).requires_grad_()
    y = part.build(channels=4).to(dtype)(x)
    assert y.dtype == dtype
    y.sum().backward()
    exact = part.function(x.detach().double())
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(y.double(), exact, rtol=8 * eps, atol=8 * eps)
    assert x.grad is not None
    assert x.grad.dtype == dtype
    torch.testing.assert_close(x.grad.double(), derivative(part, x.detach().double()), rtol=8 * eps, atol=8 * eps)


@every_case
def test_layouts_and_empty_batches(part, torchs, formula):
    x, module = numbers(*SHAPE), part.build(channels=4).double()
    expected = module(x)
    images = x.to(memory_format=torch.channels_last)
    assert module(images).is_contiguous(memory_format=torch.channels_last)
    # torch's vector code and what it does with the rest of a row differ in the last digit.
    close = functools.partial(torch.testing.assert_close, rtol=1e-14, atol=1e-15)
    close(module(images), expected)
    close(module(x.transpose(2, 3)), expected.transpose(2, 3))
    close(part.function(x[:, :, ::2]), part.function(x)[:, :, ::2])
    assert module(x[:0]).shape == (0, 4, 5, 6)


@every_case
def test_compiled_vmapped_exported(part, torchs, formula):
    x, module = numbers(*SHAPE, dtype=torch.float32), part.build(channels=4)
    expected = module(x)
    torch._dynamo.reset()  # else nineteen of one class count as recompilations
    torch.testing.assert_close(torch.compile(module, backend="aot_eager", fullgraph=True)(x), expected)
    torch.testing.assert_close(torch.func.vmap(module)(x.unsqueeze(0)), expected.unsqueeze(0))
    torch.testing.assert_close(torch.func.vmap(part.function)(x), part.function(x))
    exported = torch.export.export(module, (x,), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    torch.testing.assert_close(exported.module()(torch.cat([x, x])), torch.cat([expected, expected]))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method`:DeprecationWarning")  # inductor's own
def test_one_is_compiled_to_code():
    x = numbers(100, dtype=torch.float32)
    torch.testing.assert_close(torch.compile(GELU().function, fullgraph=True)(x), F.gelu(x))


@every_case
def test_a_plan_keeps_it(part, torchs, formula):
    plan = Plan(activation=part)
    assert Plan.from_json(plan.to_json()) == plan
    assert Plan().replace(activation=type(part).__name__.lower()).activation == type(part)()


@every_case
def test_its_module_is_recognized(part, torchs, formula):
    expected = None if part == Identity() else part  # an nn.Identity is a placeholder
    assert activation_of(torchs) == expected
    assert activation_of(part.build(channels=4)) == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@every_case
def test_cuda(part, torchs, formula):
    x = numbers(*SHAPE)
    torch.testing.assert_close(part.build(channels=4).double().cuda()(x.cuda()).cpu(), part.function(x))


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (LeakyReLU, {"slope": 1}, r"LeakyReLU got slope=1; allowed: a finite number other than 1"),
        (LeakyReLU, {"slope": float("nan")}, r"slope=nan"),
        (LeakyReLU, {"slope": True}, r"slope=True"),
        (PReLU, {"slope": "0.2"}, r"PReLU got slope='0.2'; allowed: a finite number"),
        (PReLU, {"shared": 1}, r"shared=1; allowed: True"),
        (ELU, {"alpha": 0}, r"ELU got alpha=0; allowed: a number above 0"),
        (ELU, {"alpha": float("inf")}, r"alpha=inf"),
        (GELU, {"approximate": "erf"}, r"GELU got approximate='erf'; allowed: 'none' or 'tanh'"),
        (Softplus, {"beta": 0}, r"Softplus got beta=0"),
        (Softplus, {"threshold": -1.0}, r"threshold=-1.0"),
    ],
)
def test_wrong_values_are_named(kind, values, message):
    with pytest.raises(UsageError, match=message):
        kind(**values)


def test_slopes_per_channel_need_their_number():
    with pytest.raises(UsageError, match=r"build\(channels=64\)"):
        PReLU(shared=False).build()


def test_names_of_the_family():
    assert set(activations.__all__) == {type(part).__name__ for part, _, _ in CASES}
    for name in activations.__all__:
        part = getattr(activations, name)()
        assert isinstance(part, Activation)
        assert dataclasses.is_dataclass(part)
        assert hash(part) == hash(getattr(activations, name)())


def test_import_and_specs_need_no_torch():
    program = (
        "import sys; from thalweg.parts import activations\n"
        "for name in activations.__all__: getattr(activations, name)()\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

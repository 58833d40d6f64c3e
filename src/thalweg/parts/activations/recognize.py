"""Which part the activation of someone's network is: a module, one of torch's functions, a library's own class."""

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.parts.activations.activation import Activation
from thalweg.parts.activations.elu import ELU
from thalweg.parts.activations.gelu import GELU
from thalweg.parts.activations.hard_sigmoid import HardSigmoid
from thalweg.parts.activations.hardswish import Hardswish
from thalweg.parts.activations.last_prelu import LastPReLU
from thalweg.parts.activations.leaky_relu import LeakyReLU
from thalweg.parts.activations.mish import Mish
from thalweg.parts.activations.prelu import PReLU
from thalweg.parts.activations.relu import ReLU
from thalweg.parts.activations.selu import SELU
from thalweg.parts.activations.sigmoid import Sigmoid
from thalweg.parts.activations.silu import SiLU
from thalweg.parts.activations.softplus import Softplus
from thalweg.parts.activations.tanh import Tanh

MODULES: dict[type[nn.Module], Callable[[Any], Activation]] = {
    nn.ReLU: lambda m: ReLU(),
    nn.LeakyReLU: lambda m: LeakyReLU(slope=m.negative_slope),
    nn.PReLU: lambda m: prelu_of(m),
    LastPReLU: lambda m: prelu_of(m),
    nn.ELU: lambda m: ELU(alpha=m.alpha),
    nn.SELU: lambda m: SELU(),
    nn.GELU: lambda m: GELU(approximate=m.approximate),
    nn.SiLU: lambda m: SiLU(),
    nn.Mish: lambda m: Mish(),
    nn.Softplus: lambda m: Softplus(beta=m.beta, threshold=m.threshold),
    nn.Hardswish: lambda m: Hardswish(),
    nn.Hardsigmoid: lambda m: HardSigmoid(),
    nn.Sigmoid: lambda m: Sigmoid(),
    nn.Tanh: lambda m: Tanh(),
}
# torch's other functions of each number: no parts here, but activations all the same, which a part may replace.
OTHERS = (nn.ReLU6, nn.RReLU, nn.CELU, nn.Softsign, nn.LogSigmoid, nn.Hardtanh, nn.Tanhshrink)
OTHER_FUNCTIONS = (F.relu6, F.rrelu, F.celu, F.softsign, F.logsigmoid, F.hardtanh, F.tanhshrink)
Parameters = dict[str, str]  # torch's name of an argument -> the part's
FUNCTIONS: tuple[tuple[type[Activation], Parameters, tuple[Callable[..., Any], ...]], ...] = (
    (ReLU, {}, (F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_)),
    (LeakyReLU, {"negative_slope": "slope"}, (F.leaky_relu, F.leaky_relu_)),
    (ELU, {"alpha": "alpha"}, (F.elu, F.elu_)),
    (SELU, {}, (F.selu, F.selu_, torch.selu, torch.selu_)),
    (GELU, {"approximate": "approximate"}, (F.gelu,)),
    (SiLU, {}, (F.silu,)),
    (Mish, {}, (F.mish,)),
    (Softplus, {"beta": "beta", "threshold": "threshold"}, (F.softplus,)),
    (Hardswish, {}, (F.hardswish,)),
    (HardSigmoid, {}, (F.hardsigmoid,)),
    (Sigmoid, {}, (F.sigmoid, torch.sigmoid, torch.sigmoid_, Tensor.sigmoid, Tensor.sigmoid_)),
    (Tanh, {}, (F.tanh, torch.tanh, torch.tanh_, Tensor.tanh, Tensor.tanh_)),
)
# Those that a class of a library's own may compute: GPT-2's GELU, Transformers' `SiLUActivation`, timm's `Mish`.
FIXED: tuple[Activation, ...] = (ReLU(), GELU(), GELU(approximate="tanh"), SiLU(), Mish(), Tanh(), Sigmoid(), SELU())
FIXED += (ELU(), Softplus(), Hardswish(), HardSigmoid(), LeakyReLU())
NEAR = 0.03  # a class within this of a part is one of its approximations: x sigmoid(1.702 x) is within 0.021 of GELU


def prelu_of(module: nn.PReLU) -> PReLU:
    """At the mean of its slopes."""
    slopes = module.weight.detach().double()
    return PReLU(slope=float(slopes.mean()), shared=slopes.numel() == 1)


def activation_of(thing: object) -> Activation | None:
    """The part that a module or a function is, with its settings; None for anything else.

    Args:
        thing: a module; one of torch's functions, or a `functools.partial` of one with its settings by name. A module
            of another class, without parameters and children, is tried on a few numbers: one that computes what a part
            computes is that part. An `nn.Identity` is a placeholder, no activation.

    >>> activation_of(nn.LeakyReLU(0.2)), activation_of(F.gelu), activation_of(partial(F.elu, alpha=0.5))
    (LeakyReLU(slope=0.2), GELU(approximate='none'), ELU(alpha=0.5))
    >>> activation_of(nn.Linear(2, 2)) is None
    True
    """
    try:
        if isinstance(thing, nn.Module):
            read = MODULES.get(type(thing))
            return read(thing) if read else part_computed_by(thing)
        return part_of_function(thing)
    except UsageError:  # with settings that no part takes, such as a slope of 1
        return None


def is_activation(thing: object) -> bool:
    """Whether it is an activation: a part's, another of torch's, or a class of its own that computes nearly a part's.

    >>> is_activation(nn.ReLU6()), is_activation(nn.Softmax(1)), is_activation(nn.Dropout())
    (True, False, False)
    """
    if activation_of(thing) is not None:
        return True
    if isinstance(thing, nn.Module):
        return isinstance(thing, (*MODULES, *OTHERS)) or part_computed_by(thing, within=NEAR) is not None
    function = thing.func if isinstance(thing, partial) else thing
    return any(function is other for other in OTHER_FUNCTIONS)


def part_of_function(thing: object) -> Activation | None:
    function, settings = (thing.func, thing.keywords) if isinstance(thing, partial) else (thing, {})
    for part, names, functions in FUNCTIONS:
        if any(function is known for known in functions):
            return part(**{names[name]: value for name, value in settings.items() if name in names})
    return None


def part_computed_by(module: nn.Module, within: float = 1e-9) -> Activation | None:
    """The first part whose function a module without parameters, buffers and children computes.

    A copy of it is called, in evaluation mode, on numbers in a row and in a column.
    """
    if any(True for _ in module.children()) or any(True for _ in module.state_dict()):
        return None
    inputs = torch.linspace(-25.1, 25.3, 201, dtype=torch.float64)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            tried = copy.deepcopy(module).eval()
            row, column = tried(inputs.clone()), tried(inputs.clone().view(-1, 1))
    except Exception:  # whatever it is, it is no function of each number
        return None
    if not all(isinstance(found, Tensor) and found.dtype == inputs.dtype for found in (row, column)):
        return None
    if row.shape != inputs.shape or column.shape != (201, 1):
        return None
    found = torch.stack((row, column.view(-1)))
    distances = {part: float((found - part.function(inputs)).abs().max()) for part in FIXED}
    return next((part for part, distance in distances.items() if distance <= within), None)

"""Activation functions as an observer knows them: where they are flat, and which of them can die."""

from dataclasses import dataclass
from math import inf

from torch import nn


@dataclass(frozen=True)
class Shape:
    """Where an activation is flat.

    Args:
        low: below this input, |φ'(z)| is under 1 % of its maximum.
        high: above this input, the same.
        dies: whether the output is exactly 0, with a gradient of exactly 0, for every negative input.
    """

    low: float = -inf
    high: float = inf
    dies: bool = False

    @property
    def saturates(self) -> bool:
        return (self.low, self.high) != (-inf, inf)


# The tails only: the zero crossings of φ' inside GELU, SiLU, Mish and Hardswish are points, not flat ends.
SHAPES: dict[str, Shape] = {
    "relu": Shape(dies=True),
    "relu6": Shape(dies=True),
    "sigmoid": Shape(-5.98644, 5.98644),
    "logsigmoid": Shape(high=4.59512),
    "tanh": Shape(-2.99322, 2.99322),
    "softsign": Shape(-9.0, 9.0),
    "hardsigmoid": Shape(-3.0, 3.0),
    "hardtanh": Shape(-1.0, 1.0),
    "hardswish": Shape(low=-3.0),
    "elu": Shape(low=-4.60517),
    "selu": Shape(low=-4.60517),
    "celu": Shape(low=-4.60517),
    "softplus": Shape(low=-4.59512),
    "silu": Shape(low=-6.14291),
    "gelu": Shape(low=-3.02166),
    "mish": Shape(low=-6.15874),
    "leaky_relu": Shape(),
    "prelu": Shape(),
}
MODULES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Sigmoid: "sigmoid",
    nn.LogSigmoid: "logsigmoid",
    nn.Tanh: "tanh",
    nn.Softsign: "softsign",
    nn.Hardsigmoid: "hardsigmoid",
    nn.Hardtanh: "hardtanh",
    nn.Hardswish: "hardswish",
    nn.ELU: "elu",
    nn.SELU: "selu",
    nn.CELU: "celu",
    nn.Softplus: "softplus",
    nn.SiLU: "silu",
    nn.GELU: "gelu",
    nn.Mish: "mish",
    nn.LeakyReLU: "leaky_relu",
    nn.PReLU: "prelu",
}
FUNCTIONS = frozenset({"relu", "relu_", "relu6", "sigmoid", "sigmoid_", "tanh", "tanh_", "silu", "gelu", "hardswish"})


def shape_of(module: nn.Module) -> Shape | None:
    """The shape of an activation module, or None where the module is something else.

    >>> shape_of(nn.Hardtanh(-2.0, 2.0))
    Shape(low=-2.0, high=2.0, dies=False)
    >>> shape_of(nn.Linear(2, 2)) is None
    True
    """
    name = MODULES.get(type(module))
    if name is None:
        return None
    if name == "hardtanh":
        return Shape(float(module.min_val), float(module.max_val))  # type: ignore[arg-type]
    if getattr(module, "alpha", 1.0) != 1.0 or getattr(module, "beta", 1.0) != 1.0:
        return Shape()  # its flat end depends on the constant; not judged
    return SHAPES[name]

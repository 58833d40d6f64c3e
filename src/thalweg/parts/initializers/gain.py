"""The gain that an activation asks of the layer before it."""

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING

from thalweg.parts.activations.activation import Activation
from thalweg.parts.activations.gain import expectation, function_of, gain, kinks_of, values

if TYPE_CHECKING:
    from torch import Tensor

LOW, HIGH = 0.05, 20.0  # gains that are looked at


def gain_before(activation: "Activation | Callable[[Tensor], Tensor]") -> float:
    """The gain g with E[φ(g z)²] = 1, z standard normal: inputs of mean square 1 leave the activation so again.

    Where no g does so, as for tanh and sigmoid, which stay below 1, it is `gain`, 1/√E[φ(z)²]: outputs before the
    activation then tend to variance 1. For ReLU and LeakyReLU the two agree. For SiLU they are 1.559 and 1.677: a layer
    that begins at variance 1.677² is no longer where that factor holds, and 30 such layers grow by 90, not by about 5.

    Args:
        activation: a part, or any function of each number.

    >>> from thalweg.parts.activations import ReLU, SiLU, Tanh
    >>> round(gain_before(ReLU()), 6), round(gain_before(SiLU()), 3), round(gain_before(Tanh()), 3)
    (1.414214, 1.559, 1.593)
    """
    return cached(activation) if isinstance(activation, Activation) else solve(activation)


@lru_cache
def cached(activation: Activation) -> float:
    return solve(activation)


def solve(activation: "Activation | Callable[[Tensor], Tensor]") -> float:
    """The g by bisection; as exact as float64 after 60 halvings."""
    function, kinks = function_of(activation), kinks_of(activation)

    def mean_square(g: float) -> float:
        return expectation(lambda z: values(function, g * z) ** 2, [k / g for k in kinks])

    low, high = LOW, HIGH
    if not mean_square(low) < 1 < mean_square(high):
        return gain(activation)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if mean_square(middle) < 1 else (low, middle)
    return high

"""The gain of an activation: how a layer's weights must be scaled so that its outputs keep their variance (L09)."""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch

from thalweg.parts.activations.activation import Activation

if TYPE_CHECKING:
    from torch import Tensor

FAR = 12.0  # beyond it a standard-normal number has probability 4e-33
NODES = 24  # of Gauss-Legendre in each panel
Elementwise = Callable[["Tensor"], "Tensor"]


def gain(activation: Activation | Elementwise) -> float:
    r"""1 / √E[φ(z)²], z standard normal: the factor of the weights' deviation that keeps the forward variance.

    Weights of deviation gain / √fan_in turn inputs with mean square 1 into such again, after the activation. √2 for
    ReLU, √(2 / (1 + α²)) for LeakyReLU, 1 for SELU.

    Args:
        activation: a part, or any function of each number, such as `nn.ReLU6()`. PReLU counts at its first slope.

    Raises:
        ZeroDivisionError: for a function that is 0 everywhere.

    >>> from thalweg.parts.activations import ReLU
    >>> round(gain(ReLU()), 12), round(gain(torch.nn.Tanh()), 4)
    (1.414213562373, 1.5925)

    Source: He et al. 2015, "Delving deep into rectifiers", for ReLU; here for any function by float64 quadrature.
    torch's `nn.init.calculate_gain` knows six names and differs for three: 1 for sigmoid, 5/3 for tanh, 3/4 for SELU.
    """
    return float(expectation(lambda z: values(activation, z) ** 2, kinks_of(activation)) ** -0.5)


def backward_gain(activation: Activation | Elementwise) -> float:
    """1 / √E[φ′(z)²]: the factor of the weights' deviation, beside 1 / √fan_out, that keeps a gradient's variance.

    >>> from thalweg.parts.activations import Sigmoid
    >>> round(backward_gain(Sigmoid()), 2)
    4.72
    """
    return float(expectation(lambda z: derivative(activation, z) ** 2, kinks_of(activation)) ** -0.5)


def kinks_of(activation: Activation | Elementwise) -> tuple[float, ...]:
    return activation.kinks if isinstance(activation, Activation) else ()


def values(activation: Activation | Elementwise, x: "Tensor") -> "Tensor":
    """φ(x) without a graph."""
    with torch.no_grad():
        return function_of(activation)(x)


def derivative(activation: Activation | Elementwise, x: "Tensor") -> "Tensor":
    """φ′(x), by autograd."""
    with torch.enable_grad():
        leaf = x.detach().clone().requires_grad_()
        return torch.autograd.grad(function_of(activation)(leaf).sum(), leaf)[0]


def function_of(activation: Activation | Elementwise) -> Elementwise:
    return activation.function if isinstance(activation, Activation) else activation


def expectation(function: Elementwise, kinks: Sequence[float] = ()) -> float:
    """E[f(z)] for standard-normal z, by Gauss-Legendre between kinks, finer toward 0: exact to about 1e-14.

    >>> round(expectation(lambda z: z**4), 12)
    3.0
    """
    nodes, weights = rule(tuple(kinks))
    return float((function(nodes) * weights).sum())


@lru_cache
def rule(kinks: tuple[float, ...]) -> "tuple[Tensor, Tensor]":
    """Nodes from -12 to 12 and their weights times the normal density."""
    fine = 2.0 ** -np.arange(1, 13)  # a function that bends within 1e-3 of 0 is resolved too
    half = np.concatenate([np.arange(0, FAR + 0.5, 0.5), fine])
    edges = np.unique(np.concatenate([half, -half, [k for k in kinks if abs(k) < FAR]]))
    x, w = np.polynomial.legendre.leggauss(NODES)
    centers, radii = (edges[1:] + edges[:-1]) / 2, np.diff(edges) / 2
    nodes = (centers[:, None] + radii[:, None] * x).ravel()
    weights = (radii[:, None] * w).ravel() * np.exp(-(nodes**2) / 2) / np.sqrt(2 * np.pi)
    return torch.from_numpy(nodes), torch.from_numpy(weights)

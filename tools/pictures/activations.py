"""Each activation with its derivative."""

import torch
from pictures.plot import curves

from thalweg.parts import activations
from thalweg.parts.activations import Activation
from thalweg.parts.activations.gain import derivative, values

REACH, TALL = 6.0, 4.0  # of x; of φ, so that a bend is not lost beside a long rise


def draw() -> dict[str, str]:
    """By the name of the part's file."""
    parts = [getattr(activations, name)() for name in activations.__all__]
    return {type(part).__module__.rsplit(".", 1)[1]: curve(part) for part in parts}


def curve(part: Activation) -> str:
    sides = [kink + side for kink in part.kinks for side in (-1e-9, 1e-9)]  # a jump is drawn upright
    x = (
        torch.cat([torch.linspace(-REACH, REACH, 241, dtype=torch.float64), torch.tensor(sides, dtype=torch.float64)])
        .sort()
        .values
    )
    x = x[(values(part, x).abs() <= TALL) & (x.abs() <= REACH)]
    name = type(part).__name__
    series = [(name, x, values(part, x)), ("its derivative", x, derivative(part, x))]
    return curves(series, f"{name} and its derivative", "x")

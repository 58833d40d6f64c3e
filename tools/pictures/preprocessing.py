"""Pictures of the parts of preprocessing: correlated, skewed points before and after each."""

import numpy as np
import pandas as pd
import torch
from pictures.plot import heat, points, row
from torch import Tensor

from thalweg.data.rows import Rows
from thalweg.parts.preprocessing import (
    PCA,
    ZCA,
    Chain,
    Log,
    MinMax,
    Power,
    Preparation,
    Robust,
    Standardize,
    Table,
)
from thalweg.parts.preprocessing.encoder import TableEncoder

NUM_POINTS = 160


def draw() -> dict[str, str]:
    """One picture per part."""
    skewed, oval = skewed_points(), oval_points()
    return {
        "standardize": before_and_after(Standardize(), oval),
        "min_max": before_and_after(MinMax(), oval),
        "robust": row(panel(outliers(), "before, three outliers"), *map(near_zero, (Standardize(), Robust()))),
        "log": before_and_after(Log(), skewed),
        "power": before_and_after(Power(), skewed),
        "pca": before_and_after(PCA(), oval),
        "zca": before_and_after(ZCA(), oval),
        "chain": row(
            panel(skewed, "before"),
            panel(after(Log(), skewed), "after Log"),
            panel(after(Chain(Log(), Standardize()), skewed), "... and Standardize"),
            panel(after(Chain(Log(), Standardize(), ZCA()), skewed), "... and ZCA"),
        ),
        "table": table(),
    }


def skewed_points() -> Tensor:
    """Log-normal in both columns, correlated by 0.8."""
    return (oval_points() - torch.tensor([3.0, 1.0])).div(torch.tensor([1.5, 0.5])).exp() * torch.tensor([2.0, 1.0])


def oval_points() -> Tensor:
    """Normal with deviations 1.5 and 0.5, correlated by 0.8, around (3, 1)."""
    z = torch.as_tensor(np.random.default_rng(0).normal(size=(NUM_POINTS, 2)), dtype=torch.float32)
    y = 0.8 * z[:, 0] + 0.6 * z[:, 1]
    return torch.stack([3 + 1.5 * z[:, 0], 1 + 0.5 * y], 1)


def outliers() -> Tensor:
    """The same with three far points."""
    return torch.cat([oval_points(), torch.tensor([[40.0, 1.0], [42.0, 12.0], [3.0, 11.0]])])


def after(part: Preparation, x: Tensor) -> Tensor:
    y = part.fit(Rows(x, torch.zeros(len(x)), torch.arange(len(x)), "train"))(x)
    assert isinstance(y, Tensor)
    return y


def before_and_after(part: Preparation, x: Tensor) -> str:
    return row(panel(x, "before"), panel(after(part, x), f"after {type(part).__name__}"))


def panel(x: Tensor, title: str) -> str:
    """The points in a square with one unit on both axes, so that a scale is seen."""
    middle, reach = (x.amax(0) + x.amin(0)) / 2, float((x.amax(0) - x.amin(0)).max()) / 2 * 1.05
    ranges = [(float(m) - reach, float(m) + reach) for m in middle]
    names = "column 0", "column 1"
    return points([("", x[:, 0], x[:, 1])], title, *names, x_range=ranges[0], y_range=ranges[1])


def near_zero(part: Preparation) -> str:
    """Where most points come to lie."""
    y = after(part, outliers())
    near = y[(y.abs() < 3).all(1)]
    names, title = ("column 0", "column 1"), f"after {type(part).__name__}, around 0"
    return points([("", near[:, 0], near[:, 1])], title, *names, x_range=(-3, 3), y_range=(-3, 3))


def table() -> str:
    """The features of eight rows, of which two miss a value and one has a rare level."""
    frame = pd.DataFrame(
        {
            "age": [25, 47, None, 33, 61, 52, 29, 38],
            "job": ["cook", "clerk", "cook", "cook", None, "clerk", "pilot", "cook"],
        }
    )
    encoder = TableEncoder.fit(frame)
    x = encoder.encode(frame)
    part = Table(numbers=MinMax(), min_rows=2)
    module = part.fit_table(Rows(x, torch.zeros(8), torch.arange(8), "train"), encoder)
    return heat(module.names, range(8), module(x).T.tolist(), "Features of eight rows", "row", "value")

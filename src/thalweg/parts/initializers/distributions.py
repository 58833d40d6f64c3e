"""Random numbers of mean 0 and a wanted deviation, in place."""

from statistics import NormalDist
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Distribution = Literal["normal", "uniform", "truncated_normal"]
DISTRIBUTIONS: tuple[str, ...] = get_args(Distribution)
NORMAL = NormalDist()


def draw_(tensor: "Tensor", distribution: Distribution, std: float, generator: "torch.Generator | None") -> None:
    """Fills `tensor` with mean 0 and deviation `std`, whatever the distribution."""
    if distribution == "uniform":
        bound = 3**0.5 * std
        tensor.uniform_(-bound, bound, generator=generator)
    elif distribution == "normal":
        tensor.normal_(0.0, std, generator=generator)
    else:
        draw_truncated_(tensor, 0.0, std, -2.0, 2.0, generator)


def draw_truncated_(
    tensor: "Tensor", mean: float, std: float, low: float, high: float, generator: "torch.Generator | None"
) -> None:
    """A normal distribution cut off at `low` and `high` of its deviations, with mean and deviation as wanted after."""
    from torch import nn

    center, spread = truncated_moments(low, high)
    nn.init.trunc_normal_(tensor, 0.0, 1.0, low, high, generator=generator)
    tensor.sub_(center).mul_(std / spread).add_(mean)


def truncated_moments(low: float, high: float) -> tuple[float, float]:
    """Mean and deviation of a standard-normal number given that it lies between `low` and `high`.

    >>> [round(moment, 6) + 0 for moment in truncated_moments(-2, 2)]
    [0.0, 0.879626]
    """
    inside = NORMAL.cdf(high) - NORMAL.cdf(low)
    mean = (NORMAL.pdf(low) - NORMAL.pdf(high)) / inside
    edges = (low * NORMAL.pdf(low) - high * NORMAL.pdf(high)) / inside
    return mean, (1 + edges - mean**2) ** 0.5

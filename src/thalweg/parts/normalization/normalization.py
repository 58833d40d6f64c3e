"""What every normalization is, as plain data: of what passes between layers, or of the weights of layers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import UsageError
from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch import nn

RANKS = (None, 0, 1, 2, 3)  # dimensions of places that a module is built for; None is any


@dataclass(frozen=True, kw_only=True)
class Normalization(Part):
    """What a plan takes: an `OutputNormalization`, or a `WeightNormalization`."""

    def _check_flags(self, *names: str) -> None:
        for name in names:
            self._check(name, isinstance(getattr(self, name), bool), "True or False")

    def _check_eps(self, eps: object) -> None:
        self._check("eps", in_range(eps, 0) and eps != 0, "a number above 0, such as 1e-5")


@dataclass(frozen=True, kw_only=True)
class OutputNormalization(Normalization, ABC):
    """A layer that normalizes what passes through it."""

    @abstractmethod
    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        """The module for `[N, num_features, ...]`.

        Args:
            num_features: channels, in dimension 1.
            dims: dimensions of places after the channels, 0 to 3: 0 for `[N, C]`, 2 for images. None gives a module
                that takes any number of them.

        Raises:
            UsageError: for a number out of range.
        """

    def _check_size(self, num_features: int, dims: int | None) -> None:
        whole = isinstance(num_features, int) and not isinstance(num_features, bool)
        if not whole or num_features < 1:
            raise UsageError(f"{type(self).__name__} got num_features={num_features!r}; allowed: an integer above 0.")
        if dims not in RANKS or isinstance(dims, bool):
            raise UsageError(f"{type(self).__name__} got dims={dims!r}; allowed: 0, 1, 2, 3, or None for any number.")


@dataclass(frozen=True, kw_only=True)
class WeightNormalization(Normalization, ABC):
    """A parametrization of a layer's weight: the layer computes with a function of what is trained.

    Args:
        norm: a part that takes the place of the network's own norms besides; None keeps those.
    """

    norm: OutputNormalization | None = None

    def __post_init__(self) -> None:
        self._check(
            "norm",
            self.norm is None or isinstance(self.norm, OutputNormalization),
            "None or a normalization of outputs, such as GroupNorm()",
        )

    @abstractmethod
    def apply(self, layer: "nn.Module") -> "nn.Module":
        """Parametrizes the weight of a linear or convolutional layer, in place; returns the layer.

        Raises:
            UsageError: for a layer that has none to normalize, with the reason.
        """

    @abstractmethod
    def obstacle(self, layer: "nn.Module") -> str:
        """Why the layer's weight cannot be normalized; empty where it can."""


def check_momentum(part: Normalization, momentum: object) -> None:
    good = momentum is None or (in_range(momentum, 0) and momentum <= 1)  # type: ignore[operator]
    part._check("momentum", good, "None (a plain mean over all batches) or a share from 0 to 1")

"""What every initializer is: a distribution of weights given their fans and gain, as plain data (L08 to L11)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, Literal

from thalweg.errors import UsageError
from thalweg.parts.part import Part

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Role = Literal["weight", "recurrent", "embedding"]
TOO_FLAT = (
    "{} needs the fans of a tensor of shape {}, which has fewer than 2 dimensions. Give fan_in= and fan_out=, or leave "
    "biases and scales at their constants."
)


@dataclass(frozen=True, kw_only=True)
class Initializer(Part, ABC):
    """How the weights of a layer are drawn before the first step. `tw.initialize` draws those of a whole network.

    >>> import torch
    >>> from thalweg.parts.initializers import Normal
    >>> weight = Normal(std=0.1).fill_(torch.empty(3, 1000), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)
    0.1
    """

    def fill_(
        self,
        tensor: "Tensor",
        *,
        fan_in: float | None = None,
        fan_out: float | None = None,
        gain: float | None = None,
        groups: int = 1,
        generator: "torch.Generator | None" = None,
    ) -> "Tensor":
        """Draws the entries of `tensor` in place, without a history, and returns it.

        Args:
            tensor: `[outputs, inputs, *kernel]`, of any float type and layout. Half precision is drawn as float32.
            fan_in: independent inputs that each output sums over; None reads it off the shape, as torch does.
            fan_out: outputs that each input reaches; None reads it off the shape, for `groups`.
            gain: factor of the deviation for the activation that comes next; None takes the part's own.
            groups: maps that lie one below the other along dimension 0: groups of a convolution, gates of an LSTM, the
                queries, keys and values of attention.
            generator: of the tensor's device; None draws from torch's global one.

        Raises:
            UsageError: for a tensor of fewer than 2 dimensions without fans, where the part needs them; for rows that
                cannot be divided into groups.
        """
        import torch

        if tensor.shape and tensor.shape[0] % groups:
            raise UsageError(f"groups={groups} does not divide dimension 0 of a tensor of shape {list(tensor.shape)}.")
        if self.scales and (fan_in is None or fan_out is None):
            read = fans_of(tuple(tensor.shape), groups, type(self).__name__)
            fan_in, fan_out = read[0] if fan_in is None else fan_in, read[1] if fan_out is None else fan_out
        with torch.no_grad():
            if tensor.numel() == 0:
                return tensor
            wide = tensor if tensor.element_size() >= 4 else torch.empty_like(tensor, dtype=torch.float32)
            self._fill(wide, Scale(fan_in or 1.0, fan_out or 1.0, gain), groups, generator)
            return tensor if wide is tensor else tensor.copy_(wide)

    @abstractmethod
    def _fill(self, tensor: "Tensor", scale: "Scale", groups: int, generator: "torch.Generator | None") -> None:
        """Fills a tensor of float32 or float64 that is not empty."""

    @abstractmethod
    def deviation(self, scale: "Scale", shape: tuple[int, ...], groups: int = 1) -> float:
        """The deviation that the entries of such a tensor are to have."""

    @property
    def scales(self) -> bool:
        """Whether the deviation follows from fans and gain; a fixed distribution's does not."""
        return True

    def for_role(self, role: Role) -> "Initializer":
        """What takes its place for recurrent weights and embeddings."""
        return self


@dataclass(frozen=True, slots=True)
class Scale:
    """Fans and gain of one map; the gain is None where nobody says which."""

    fan_in: float
    fan_out: float
    gain: float | None = None


@dataclass(frozen=True, kw_only=True)
class Wrapper(Initializer):
    """An initializer that draws by another one and does something besides.

    Args:
        then: the initializer that draws.
    """

    then: Initializer

    def __post_init__(self) -> None:
        self._check("then", isinstance(self.then, Initializer), "an initializer, such as tw.initializers.He()")

    def _fill(self, tensor: "Tensor", scale: Scale, groups: int, generator: Any) -> None:
        self.then._fill(tensor, scale, groups, generator)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return self.then.deviation(scale, shape, groups)

    @property
    def scales(self) -> bool:
        return self.then.scales

    def for_role(self, role: Role) -> Initializer:
        return self.then.for_role(role)


def fans_of(shape: tuple[int, ...], groups: int = 1, who: str = "An initializer") -> tuple[float, float]:
    """Fan-in and fan-out of `[groups · outputs, inputs, *kernel]`, as of a convolution with stride 1.

    >>> fans_of((64, 3, 5, 5)), fans_of((64, 1, 3, 3), groups=64)
    ((75.0, 1600.0), (9.0, 9.0))
    """
    if len(shape) < 2:
        raise UsageError(TOO_FLAT.format(who, list(shape)))
    return float(prod(shape[1:])), float(shape[0] // groups * prod(shape[2:]))

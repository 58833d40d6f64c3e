"""What is seen of one step of a loop."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.dropout import _DropoutNd

from thalweg.measure.tape import Link


@dataclass
class Pass:
    """One call of the network with gradients, and the tensor it returned."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    output: Any


@dataclass
class Sample:
    """One watched step.

    Args:
        step: optimizer steps before it.
        full: whether activations and updates were measured too.
        passes: calls of the network with gradients, of which the last is held; emptied once the loss is read.
        links: the loss and what `backward` was called on.
        reason: why no loss could be read.
        backwards: how often `backward` was called.
        late: by which factor gradients had been changed since the step before; 1 where they had not.
        scale: what the loss was multiplied by before `backward`, where it was read.
        raw: norm of the gradients after `backward`, under a scale of mixed precision.
        stepped: the same when the optimizer stepped.
        stale: whether the gradient of an earlier step was still there when `backward` added to it.
        graded: whether any parameter of the optimizer had a gradient other than 0 when it stepped.
        modes: of each pass, whether network, batch norms and dropouts were in training mode.
        missed: squared gradient norm of parameters that the optimizer does not hold.
        squared: squared gradient norm of all.
        rates: of the optimizer's groups.
        value: the loss.
        descent: name of torch's loss function, and by which factor of it `backward` went down.
    """

    step: int
    full: bool
    passes: list[Pass | None] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    reason: str = ""
    backwards: int = 0
    late: float | None = None
    scale: float = 1.0
    raw: float | None = None
    stepped: float | None = None
    stale: bool | None = None
    graded: bool | None = None
    modes: list["Modes"] = field(default_factory=list)
    missed: float | None = None
    squared: float | None = None
    rates: tuple[float, ...] = ()
    value: Tensor | None = None
    descent: tuple[str, float] | None = None


@dataclass(frozen=True)
class Modes:
    """Which modes a pass ran in; a kind of layer that is not there is None.

    Args:
        network: of the whole network.
        norms: share of batch norms with running estimates in training mode.
        dropouts: share of dropout layers in training mode.
    """

    network: bool
    norms: float | None
    dropouts: float | None


class ModeReader:
    """Reads the modes of a network's batch norms and dropout layers."""

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_mean is not None]
        self.dropouts = [m for m in network.modules() if isinstance(m, _DropoutNd) and m.p > 0]

    @property
    def matters(self) -> bool:
        """Whether the mode changes anything, as far as layers tell."""
        return bool(self.norms or self.dropouts)

    def read(self) -> Modes:
        return Modes(self.network.training, share_training(self.norms), share_training(self.dropouts))

    def fresh(self) -> bool:
        """Whether the running estimates of all batch norms are as they were made: mean 0, variance 1."""
        values: Any = [(m.running_mean, m.running_var) for m in self.norms]
        return all(bool((mean == 0).all()) and bool((var == 1).all()) for mean, var in values)  # synchronizes


def share_training(modules: list[Any]) -> float | None:
    return sum(m.training for m in modules) / len(modules) if modules else None

"""The weights that an optimizer is evaluated by, where they are others than those it trains: schedule-free learning."""

from collections.abc import Iterable

from torch import Tensor, nn

from thalweg.data.rows import Inputs
from thalweg.errors import UsageError
from thalweg.plan import Plan
from thalweg.train.average import Average
from thalweg.train.clone import clone, set_tensors
from thalweg.train.step import Step


class Evaluated(Average):
    """A copy of the network that holds the optimizer's own weights for evaluation.

    Args:
        network: the network that is trained; it is read, and the optimizer puts its bits back.
        stepper: trains it.
    """

    def __init__(self, network: nn.Module, stepper: Step) -> None:
        self.source, self.stepper, self.network = network, stepper, clone(network)

    def update(self, update: int, num_steps: int) -> None:
        """Nothing: the optimizer keeps its average itself."""

    def settle(self, batches: Iterable[tuple[Inputs, Tensor]]) -> nn.Module:
        """The network with these weights, batch norm's estimates measured for it on training batches."""
        set_tensors(self.network, self.stepper.evaluation_weights())
        return super().settle(batches)


def average_of(plan: Plan, network: nn.Module, stepper: Step) -> Average | None:
    """What is validated and kept in the place of the network itself; None where that is it."""
    own = bool(stepper.evaluation_weights())
    if own and plan.averaging is not None:
        raise UsageError(
            f"{type(plan.optimizer).__name__} averages the weights itself, and the plan has averaging="
            f"{plan.averaging!r} besides. Leave averaging out."
        )
    if own:
        return Evaluated(network, stepper)
    return None if plan.averaging is None else Average(network, plan.averaging)

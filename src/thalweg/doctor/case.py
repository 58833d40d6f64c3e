"""A training that is over, as its diagnosis has it: weights before and after, plan, data, and what may be spent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.doctor.bench import Bench
from thalweg.plan import Plan
from thalweg.probes.budget import Budget


@dataclass(frozen=True)
class Case:
    """Everything an experiment after the training may want. Networks are clones it must clone again to train.

    Args:
        bench: the start as the check saw it: network, loss, sample, head, task.
        last: the network after the last step.
        kept: the network that the run ended with, of the best epoch under `keep="best"`.
        optimizer_state: the step's state dict after the last step; empty where it is not known.
        plan: resolved.
        num_steps: updates that the plan asks for.
        steps: updates that were made.
        train: feeder of the training batches, `epoch(k)` as in the training.
        validation: feeder of the validation rows, in their order.
        seconds: what the training took.
        budget: what all experiments together may spend.
        rebuild: makes the network from another seed; None where only this one start is known.
    """

    bench: Bench
    last: nn.Module
    kept: nn.Module
    optimizer_state: Mapping[str, Tensor]
    plan: Plan
    num_steps: int
    steps: int
    train: Feeder
    validation: Feeder
    seconds: float
    budget: Budget
    rebuild: Callable[[int], nn.Module] | None = None

    @property
    def start(self) -> nn.Module:
        """The network before the first step."""
        return self.bench.network

    @property
    def step_seconds(self) -> float:
        """What one update took, evaluation included."""
        return self.seconds / max(self.steps, 1)

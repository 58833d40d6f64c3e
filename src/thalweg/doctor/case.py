"""A training that is over, as its diagnosis has it: weights before and after, plan, data, and what may be spent."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.doctor.bench import Bench
from thalweg.measure.score import Score
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.harm import harm
from thalweg.probes.twin import Twin, score_of
from thalweg.readings import Reading


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
    def networks(self) -> list[nn.Module]:
        """Those whose outcome counts: after the last step, and as kept where it is another."""
        return [self.last] if self.plan.keep == "last" else [self.last, self.kept]

    @cached_property
    def twin(self) -> Twin:
        """The training as it was, to be repeated or changed."""
        start = self.bench
        return Twin(
            start.network, start.loss, self.plan, self.num_steps, self.train, self.validation, start.task, start.head
        )

    @cached_property
    def reached(self) -> Score | None:
        """The better score of its networks on the validation rows; None where outputs cannot be scored."""
        return self.reached_on(None)

    def reached_on(self, rows: int | None) -> Score | None:
        """The same on the batches that have the first so many rows."""
        found = [score_of(self.twin, network, rows=rows) for network in self.networks]
        return max((score for score in found if score is not None), key=lambda score: score.value, default=None)

    def cost(self, name: str, changed: Twin) -> list[Reading]:
        """What the training lost beside its twin with a remedy; readings as of `probes.harm.harm`."""
        return harm(
            name,
            self.reached,
            self.twin,
            changed,
            steps=self.steps,
            step_seconds=self.step_seconds,
            budget=self.budget,
        )

    @property
    def step_seconds(self) -> float:
        """What one update took, evaluation included."""
        return self.seconds / max(self.steps, 1)

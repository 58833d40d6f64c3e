"""Parameters that one rule moves: with hyper-parameters and state of their own, or by an optimizer of torch's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from thalweg.parts.optimizers import Optimizer
from thalweg.parts.optimizers.foreign import Foreign
from thalweg.parts.optimizers.optimizer import State
from thalweg.train.foreign_optimizer import ForeignOptimizer

Gradients = list[Tensor | None]


@dataclass
class Group:
    """Parameters that share hyper-parameters: their positions among all trainable ones, and their optimizer state."""

    optimizer: Optimizer
    positions: list[int]
    parameters: list[Tensor]
    state: State
    spared: bool  # whether decay and regularizers leave them alone

    def apply(self, gradients: Gradients, *, rate: float, momentum: float | None) -> None:
        """Updates the parameters that have one of the gradients, which are those of all trainable parameters."""
        optimizer = self.optimizer if momentum is None else self.optimizer.with_momentum(momentum)
        own = [gradients[i] for i in self.positions]
        present = [g for g in own if g is not None]
        if len(present) == len(own):
            optimizer.apply_(self.parameters, present, self.state, lr=rate)
        elif present:
            kept = [k for k, g in enumerate(own) if g is not None]
            state = {slot: [values[k] for k in kept] for slot, values in self.state.items()}
            optimizer.apply_([self.parameters[k] for k in kept], present, state, lr=rate)

    def state_dict(self, names: Sequence[str]) -> dict[str, Tensor]:
        """The live state, a tensor per slot and parameter; `names` are those of all trainable parameters."""
        return {
            f"{slot}.{names[i]}": value
            for slot, values in self.state.items()
            for i, value in zip(self.positions, values, strict=True)
        }

    def load(self, entries: Mapping[str, Tensor]) -> None:
        """Makes room for a saved state: nothing to do where all entries are there from the start."""


@dataclass
class ForeignGroup(Group):
    """Parameters in a group of a `torch.optim.Optimizer`, which steps when the last of its groups has its gradients."""

    foreign: ForeignOptimizer
    members: list[nn.Parameter]
    is_last: bool

    def apply(self, gradients: Gradients, *, rate: float, momentum: float | None) -> None:
        if momentum is not None:
            self.optimizer.momentum_field(momentum)  # says that there is none to cycle
        for parameter, i in zip(self.members, self.positions, strict=True):
            parameter.grad = gradients[i]
        if self.is_last:
            self.foreign.step(rate=rate)

    def state_dict(self, names: Sequence[str]) -> dict[str, Tensor]:
        return self.foreign.state_dict() if self.is_last else {}

    def load(self, entries: Mapping[str, Tensor]) -> None:
        if self.is_last:
            self.foreign.load(entries)


def groups_of(
    optimizer: Optimizer, network: nn.Module, named: Mapping[str, nn.Parameter], spared: set[int]
) -> list[Group]:
    """The groups of a network's trainable parameters: as the optimizer routes them, each with decay and without.

    Args:
        optimizer: the plan's.
        network: whose parameters they are.
        named: the trainable parameters, in order.
        spared: ids of those that decay leaves alone.
    """
    groups: list[Group] = []
    positions = {id(p): i for i, p in enumerate(named.values())}
    names = {id(p): name for name, p in named.items()}
    for part, members in optimizer.route(network, list(named.values())):
        split = [(k, [p for p in members if (id(p) in spared) == k]) for k in (False, True)]
        split = [(is_spared, chosen) for is_spared, chosen in split if chosen]
        foreign = None
        if isinstance(part, Foreign):
            foreign = ForeignOptimizer(
                part, [[(names[id(p)], p) for p in chosen] for _, chosen in split], spared=[k for k, _ in split]
            )
        for is_spared, chosen in split:
            own = replace(part, weight_decay=0.0) if is_spared else part
            values = [p.detach() for p in chosen]
            places = [positions[id(p)] for p in chosen]
            if foreign is not None:
                is_last = is_spared == split[-1][0]
                groups.append(ForeignGroup(own, places, values, {}, is_spared, foreign, chosen, is_last))
            else:
                groups.append(Group(own, places, values, own.init(values), is_spared))
    return groups

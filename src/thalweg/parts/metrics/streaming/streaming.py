"""What all streaming metrics share: a state of plain tensors that is added to, merged, saved and loaded."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics.values import Value


@dataclass(eq=False)
class Streaming(ABC):
    """A metric over batches, whose answer is that of all rows at once, in any split, order and merging.

    The state are float64 sums on the device of the first batch (on the CPU for a device without float64). `update`
    never waits for the device: what is wrong with values (a NaN, a label out of range) is counted, and raised by
    `compute`, the only synchronization. What is wrong with shapes is raised at once.
    """

    STATE: ClassVar[tuple[str, ...]] = ("sums",)  # names of the tensors

    @abstractmethod
    def update(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Self:
        """Adds a batch; returns self."""

    @abstractmethod
    def compute(self) -> dict[str, Value]:
        """The measures of all batches so far, by name. Synchronizes the device."""

    @abstractmethod
    def reset(self) -> Self:
        """Forgets all batches; returns self."""

    def merge(self, other: Self) -> Self:
        """Adds the batches of another one with the same settings; returns self.

        Raises:
            UsageError: where the settings differ.
        """
        if type(other) is not type(self) or other.settings() != self.settings():
            raise UsageError(f"Only metrics with the same settings merge; received {other!r} for {self!r}.")
        self._add(other)
        return self

    def _add(self, other: Self) -> None:
        for name in self.STATE:
            own = getattr(self, name)
            setattr(self, name, own + getattr(other, name).to(own.device))

    def merge_ranks(self, group: Any = None) -> Self:
        """A new metric with the batches of all ranks of torch.distributed (`group`: of some), the same on each rank."""
        from torch import distributed

        states: list[Any] = [None] * distributed.get_world_size(group)
        distributed.all_gather_object(states, self.state_dict(), group=group)  # small, and of our own processes
        whole = self.fresh()
        for state in states:
            whole.merge(self.fresh().load_state_dict(state))
        return whole

    def settings(self) -> dict[str, Any]:
        """What it was made with."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.init}

    def fresh(self) -> Self:
        """One with the same settings, before any batch."""
        return type(self)(**self.settings())

    def state_dict(self) -> dict[str, Tensor]:
        """Copies of the state's tensors on the CPU, for a checkpoint. Synchronizes the device."""
        return {name: getattr(self, name).detach().cpu().clone() for name in self.STATE}

    def load_state_dict(self, state: dict[str, Tensor]) -> Self:
        """Takes a state over, in the place of its own; returns self.

        Raises:
            UsageError: for other names or shapes than those of a metric with these settings.
        """
        own = {name: getattr(self, name).shape for name in self.STATE}
        given = {name: tensor.shape for name, tensor in state.items()}
        if own != given:
            shown = {name: list(shape) for name, shape in given.items()}
            raise UsageError(f"The state is not one of {self!r}: it has the tensors {shown}.")
        for name, tensor in state.items():
            setattr(self, name, tensor.clone())
        return self

    def _move(self, output: Tensor) -> None:
        """The state to where the batches are; at the first one, and free of cost afterwards."""
        device = torch.device("cpu") if output.device.type == "mps" else output.device
        for name in self.STATE:
            if (own := getattr(self, name)).device != device:
                setattr(self, name, own.to(device))


def row_weights(weight: Tensor, target: Tensor) -> Tensor:
    """`[N]` float64 weights of rows, on the device of the target. Raises `DataError` for another number of them."""
    if weight.numel() != len(target):
        raise DataError(f"There is one weight for each of {len(target)} rows; received shape {list(weight.shape)}.")
    return weight.detach().to(target.device, torch.float64).reshape(-1)


def flat_weight(weight: Tensor | None, target: Tensor) -> Tensor | None:
    """Float64 weights of all positions of a target `[N, ...]`, flat, of `[N]` weights of rows or one for each position.

    Raises:
        DataError: for another number of them.
    """
    if weight is None:
        return None
    if weight.shape == target.shape:
        return row_weights(weight, target.reshape(-1))
    rows = row_weights(weight, target)
    return rows.reshape(-1, *(1 for _ in target.shape[1:])).expand_as(target).reshape(-1)


def add_at(sums: Tensor, index: Tensor, weight: Tensor | None) -> Tensor:
    """`sums` `[K]` with 1, or each weight, added at the indices; int64 counts become float64 with the first weights."""
    if weight is None:
        ones = torch.ones((), dtype=sums.dtype, device=sums.device).expand(index.shape)
        return sums.index_add_(0, index, ones)
    return (sums if sums.is_floating_point() else sums.double()).index_add_(0, index, weight)


def refuse_counted(nan: float, wrong_label: float, num_classes: int | None) -> None:
    """Raises `DataError` for what `update` has counted: rows with NaN, or with labels out of range."""
    if nan:
        raise DataError(
            f"Rows whose output had NaN, or was no probability: {nan:g}, so nothing can be measured. "
            "Call reset(), and look at the outputs of the batches."
        )
    if wrong_label:
        most = "C - 1" if num_classes is None else num_classes - 1
        raise DataError(
            f"A label is a whole number from 0 to {most}; rows whose label was not: {wrong_label:g}. "
            "Say ignore_index= for labels that count nowhere."
        )


def refuse_weights(sums: Tensor) -> None:
    """Raises `DataError` where weights were negative, NaN or infinite."""
    if not bool(((sums >= 0) & sums.isfinite()).all()):
        raise DataError("The weight of a row is a finite number of at least 0, and one was not. Call reset().")

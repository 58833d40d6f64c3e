"""What optimizers are that run as the `torch.optim.Optimizer` they are: no rule of ours stands beside it."""

import inspect
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError, did_you_mean
from thalweg.parts.optimizers.optimizer import Optimizer, Slots

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Foreign(Optimizer):
    """An optimizer that only `build` gives. Its step is taken eagerly, and nothing of it is known but its state.

    A training hands it the gradients and the rate of each step, and saves what its `state_dict` holds.
    """

    @property
    def slots(self) -> tuple[str, ...]:
        return ()

    @abstractmethod
    def build(self, params: Iterable[Any]) -> "torch.optim.Optimizer":
        """The optimizer itself.

        Args:
            params: parameters, named parameters or parameter groups, as torch takes them.

        Raises:
            UsageError: when `lr` is `"auto"`, or the optimizer cannot be had.
        """

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        """Refused: there is no pure rule of it."""
        raise UsageError(
            f"{type(self).__name__} is run as it is, by its own step; it has no rule to compute an update with. Use "
            "build(params)."
        )

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        self.update(parameters[0], {}, 1, parameters[0])


def require_arguments(kind: type, given: Iterable[str]) -> None:
    """Raises `UsageError` where a class of optimizers does not take an argument, with those that it takes."""
    taken = inspect.signature(kind).parameters
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in taken.values()):
        return
    known = [name for name in taken if name != "params"]
    for name in given:
        if name not in known:
            raise UsageError(
                f"{kind.__name__} takes no {name!r}.{did_you_mean(name, known)} It takes: {', '.join(known)}."
            )


def refuse_closure(kind: type) -> None:
    """Raises `UsageError` for a class whose step computes the loss itself."""
    step = inspect.signature(kind.step).parameters  # type: ignore[attr-defined]
    closure = step.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            f"{kind.__name__} computes the loss several times in a step, by a closure, and a training gives each step "
            "one gradient of one batch. Keep your own loop for it, or take another optimizer: AdamW(), Muon()."
        )

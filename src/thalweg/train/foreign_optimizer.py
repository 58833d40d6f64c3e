"""Parameters that a `torch.optim.Optimizer` moves, and its state as tensors by name."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.errors import ModelError
from thalweg.parts.optimizers.foreign import Foreign

Entries = Mapping[str, Tensor]


class ForeignOptimizer:
    """One `torch.optim.Optimizer` of a training, for all its groups.

    Of its state, entries are named `<slot>.<parameter>`; a number is a tensor under `<slot>:number.<parameter>`, an
    absent value under `<slot>:none.<parameter>`, and a number of a group under `<name>:group<k>`. A number of Python's
    is an int, a float or a bool as the tensor's dtype is one, so that it comes back as it was.

    Args:
        part: says which; its rate may be "auto", because each step brings its own.
        groups: lists of names and parameters; the second, where there is one, has no decay.
    """

    def __init__(
        self, part: Foreign, groups: Sequence[Sequence[tuple[str, nn.Parameter]]], *, spared: Sequence[bool]
    ) -> None:
        self.part = part
        self.members = [member for group in groups for member in group]
        params: list[dict[str, Any]] = []
        for group, is_spared in zip(groups, spared, strict=True):
            params.append({"params": [p for _, p in group]} | ({"weight_decay": 0.0} if is_spared else {}))
        self.built = (replace(part, lr=1.0) if part.lr == "auto" else part).build(params)
        self.swaps = all(callable(getattr(self.built, name, None)) for name in ("train", "eval"))  # schedule-free
        if self.swaps:
            self.built.train()  # type: ignore[attr-defined]
        self.looked = False  # whether all that it keeps can be saved

    def step(self, *, rate: float) -> None:
        """One step with the gradients that the parameters hold, which are then let go."""
        for group in self.built.param_groups:
            group["lr"] = rate
        self.built.step()
        for _, parameter in self.members:
            parameter.grad = None
        if not self.looked:
            self.looked = True
            self.state_dict()

    def state_dict(self) -> dict[str, Tensor]:
        """Its state as it is now: tensors live, numbers copied."""
        entries: dict[str, Tensor] = {}
        for name, parameter in self.members:
            for slot, value in self.built.state.get(parameter, {}).items():
                form = form_of(value, slot, self.part)
                entries[f"{slot}{form}.{name}"] = as_tensor(value)
        for k, group in enumerate(self.built.param_groups):
            numbers = {key: value for key, value in group.items() if isinstance(value, int | float) and key != "lr"}
            entries |= {f"{key}:group{k}": as_tensor(value) for key, value in numbers.items()}
        return entries

    def load(self, entries: Entries) -> None:
        """Takes over a state of `state_dict`; of a parameter without entries it forgets all."""
        parameters = dict(self.members)
        found: dict[str, dict[str, Any]] = {}
        for entry, value in entries.items():
            head, _, name = entry.partition(".")
            slot, _, form = head.partition(":")
            if name in parameters:
                found.setdefault(name, {})[slot] = from_tensor(value, form)
            elif not name and form.startswith("group") and int(form[5:]) < len(self.built.param_groups):
                self.built.param_groups[int(form[5:])][slot] = value.item()
        for name, parameter in self.members:
            own = self.built.state.get(parameter, {})
            kept = dict(found.get(name, {}))
            for slot, value in kept.items():
                if isinstance(value, Tensor):
                    kept[slot] = like(value, own.get(slot), parameter)
            self.built.state.pop(parameter, None)
            if kept:
                self.built.state[parameter] = kept

    def evaluation_weights(self) -> dict[str, Tensor]:
        """Copies of the weights that it is evaluated by, or nothing; its own stay as they are, bit by bit."""
        if not self.swaps:
            return {}
        with torch.no_grad():
            kept = [p.detach().clone() for _, p in self.members]
            self.built.eval()  # type: ignore[attr-defined]
            found = {name: p.detach().clone() for name, p in self.members}
            self.built.train()  # type: ignore[attr-defined]
            for (_, parameter), value in zip(self.members, kept, strict=True):
                parameter.copy_(value)
        return found


def form_of(value: object, slot: object, part: Foreign) -> str:
    """How a value is named in a checkpoint. Raises `ModelError` for one that a checkpoint has no word for."""
    if isinstance(value, Tensor):
        return ""
    if value is None:
        return ":none"
    if isinstance(value, int | float):
        return ":number"
    name = getattr(part, "kind", type(part).__name__)
    raise ModelError(
        f"{name} keeps a {type(value).__name__} under {slot!r} of a parameter, and a checkpoint of tensors and "
        "numbers cannot hold it. Take an optimizer without it, or keep your own loop."
    )


def as_tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    if value is None:
        return torch.zeros(0)
    if isinstance(value, bool):
        return torch.tensor(value)
    return torch.tensor(value, dtype=torch.int64 if isinstance(value, int) else torch.float64)


def from_tensor(value: Tensor, form: str) -> Any:
    return value.item() if form == "number" else None if form == "none" else value


def like(value: Tensor, former: Any, parameter: Tensor) -> Tensor:
    """The saved tensor as one of the optimizer's own: in the place of the one there was, or where torch puts such.

    A single number lies on the CPU, others beside the parameter, laid out as it where they have its shape.
    """
    if isinstance(former, Tensor) and former.shape == value.shape and former.dtype == value.dtype:
        return former.copy_(value)
    if value.shape == parameter.shape:
        return torch.empty_like(parameter, dtype=value.dtype).copy_(value)
    return value.to("cpu" if value.dim() == 0 else parameter.device, copy=True)

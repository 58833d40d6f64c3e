"""Optimizer state from and to the `state_dict` of torch's optimizers."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor, zeros

from thalweg.errors import UsageError

if TYPE_CHECKING:
    from thalweg.parts.optimizers.optimizer import Optimizer, State


def from_torch(optimizer: "Optimizer", saved: Mapping[str, Any], parameters: Sequence[Tensor]) -> "State":
    """The state that `optimizer.apply_` goes on with; the rates and other values of the groups are not read."""
    order = [i for group in saved["param_groups"] for i in group["params"]]
    if len(order) != len(parameters):
        raise UsageError(
            f"The state_dict is of {len(order)} parameters, and {len(parameters)} are given. Give those of its groups, "
            "in their order."
        )
    state = optimizer.init(parameters)
    for k, i in enumerate(order):
        entry = {name: value for name, value in saved["state"].get(i, {}).items() if value is not None}
        if not entry:  # a parameter that has made no step
            continue
        if "step" in optimizer.slots and "step" not in entry:
            entry["step"] = 1.0  # SGD: torch counts no steps, but a buffer says that there was one
        for name in optimizer.slots:
            own = state[name][k]
            if name not in entry or getattr(entry[name], "shape", own.shape) != own.shape:
                raise UsageError(
                    f"The state_dict has {sorted(entry)} for parameter {i}, whose shape is "
                    f"{tuple(parameters[k].shape)}; {optimizer!r} needs {name!r} of shape {tuple(own.shape)}. Give the "
                    "optimizer the options that the state was made with."
                )
            own.copy_(entry[name]) if isinstance(entry[name], Tensor) else own.fill_(entry[name])
    return state


def to_torch(optimizer: "Optimizer", state: "State", parameters: Sequence[Tensor]) -> dict[str, Any]:
    """The `state_dict` of what `optimizer.build(parameters)` gives, with this state: its tensors, not copies."""
    built = optimizer.build(parameters)
    kind = type(optimizer).__name__
    kept = [name for name in optimizer.slots if name != "step" or kind != "SGD"]  # torch's SGD counts no steps
    counted = {"step": zeros(())} if kind == "RMSprop" else {}  # and its RMSprop does, though nothing depends on them
    for k, parameter in enumerate(parameters):
        if kept and ("step" not in state or float(state["step"][k]) or built.state.get(parameter)):
            built.state[parameter] = {name: state[name][k] for name in kept} | counted
    return built.state_dict()

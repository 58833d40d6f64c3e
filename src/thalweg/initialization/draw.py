"""Draws every weight once and sets everything else to its constant; one row of the table per tensor."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from thalweg.data.seeds import INIT, mix
from thalweg.initialization.result import Row
from thalweg.initialization.tensors import is_frozen, key_of, put, spread, widest
from thalweg.initialization.users import User
from thalweg.measure.following import Course
from thalweg.measure.weights import constants_of
from thalweg.parts.initializers import Initializer
from thalweg.parts.initializers.initializer import Scale, Wrapper

UNKNOWN = "left: a parameter of {} whose role is unknown"


def draw(
    network: nn.Module, users: list[User], course: Course, initializer: Initializer, seed: int, forget: float
) -> list[Row]:
    """Draws every weight and sets everything else, the biases of forget gates to `forget`.

    Returns:
        One row per tensor, in the order of the forward pass; what did not run comes last.
    """
    rows: dict[int, Row] = {}  # by the identity of the parameter, or of the first one behind a parametrized tensor
    sharing: dict[int, list[User]] = {}
    for user in users:
        sharing.setdefault(key_of(user.module, user.weight.name), []).append(user)
    for key, group in sharing.items():
        rows[key] = draw_weight(group, initializer, seed)
    modules = dict(network.named_modules())
    order = dict.fromkeys([*course.order, *modules])
    for place in order:
        if "parametrizations" not in place.split("."):
            rows.update(other_rows(place, modules[place], course, rows, forget))
    rank = {place: i for i, place in enumerate(order)}
    return sorted(rows.values(), key=lambda row: rank[row.name.rpartition(".")[0]])


def draw_weight(group: list[User], initializer: Initializer, seed: int) -> Row:
    """Draws one tensor for that of its users that wants the smallest deviation."""
    wants = [wanted(user, initializer) for user in group]
    chosen = min(range(len(group)), key=lambda i: wants[i][2])
    user, (part, scale, deviation) = group[chosen], wants[chosen]
    tensor: Tensor = getattr(user.module, user.weight.name)
    row = Row(
        group[0].name,
        tuple(tensor.shape),
        user.weight.called,
        user.followed,
        scale.fan_in,
        scale.fan_out,
        scale.gain if part.scales else None,
        deviation,
    )
    if is_frozen(user.module, user.weight.name):
        return replace(row, drawn=spread(tensor), done="left: frozen", changed=False)
    values = torch.empty(user.weight.shape(tensor), dtype=widest(tensor.dtype))
    generator = torch.Generator().manual_seed(mix(INIT, seed, *group[0].name.encode()))
    part.fill_(
        values,
        fan_in=scale.fan_in,
        fan_out=scale.fan_out,
        gain=scale.gain,
        groups=user.weight.groups,
        generator=generator,
    )
    values = user.weight.stored(values)
    padding = next((u.weight.padding for u in group if u.weight.padding is not None), None)
    if padding is not None:
        values[padding] = 0
    said = put(user.module, user.weight.name, values)
    if said.startswith("left"):
        return replace(row, drawn=spread(tensor), done=said, changed=False)
    words = [f"drawn by {type(part).__name__}", said, *remarks(user, group, part, padding)]
    drawn = getattr(user.module, user.weight.name)
    return replace(row, drawn=spread(drawn), done="; ".join(word for word in words if word))


def wanted(user: User, initializer: Initializer) -> tuple[Initializer, Scale, float]:
    """Who draws the tensor for this user, at which fans and gain, and the deviation that makes."""
    part = initializer.for_role(user.weight.role)
    while isinstance(part, Wrapper):
        part = part.then.for_role(user.weight.role)
    scale = Scale(user.weight.fan_in, user.weight.fan_out, user.gain)
    tensor = getattr(user.module, user.weight.name)
    return part, scale, part.deviation(scale, user.weight.shape(tensor), user.weight.groups)


def remarks(user: User, group: list[User], part: Initializer, padding: int | None) -> Iterator[str]:
    """What to know about a tensor that was drawn."""
    if padding is not None:
        yield f"row {padding} (padding) 0"
    if len(group) > 1:
        yield f"shared by {', '.join(u.name for u in group)}; drawn once, for {user.name}"
    if user.follower is None and not user.weight.inside:
        yield "did not run on these inputs, gain 1"
    elif user.follower is not None and user.follower.normalized and part.scales:
        yield f"its scale is lost in {user.follower.through or 'the normalization after it'}"


def other_rows(
    place: str, module: nn.Module, course: Course, rows: dict[int, Row], forget: float
) -> Iterator[tuple[int, Row]]:
    """Biases, scales and shifts, set to their constants; the rest, left."""
    names = [name for name, _ in module.named_parameters(recurse=False)]
    constants = constants_of(module)
    if place in course.weights:
        constants = dict.fromkeys(names, ("bias", 0.0))
    elif place in course.scales:
        constants = {course.scales[place]: ("scale", 1.0)}
    names += list(getattr(module, "parametrizations", {})) if is_parametrized(module) else []
    for name in names:
        key = key_of(module, name)
        if key in rows:
            continue
        tensor: Tensor = getattr(module, name)
        role, value = constants.get(name, ("unknown", 0.0))
        row = Row(f"{place}.{name}" if place else name, tuple(tensor.shape), role, drawn=spread(tensor), changed=False)
        if role == "unknown":
            yield key, replace(row, done=UNKNOWN.format(type(module).__name__))
        elif is_frozen(module, name):
            yield key, replace(row, done="left: frozen")
        else:
            done, values = constant(module, name, tensor, value, forget)
            said = put(module, name, values)
            done = said if said.startswith("left") else "; ".join(filter(None, (done, said)))
            yield key, replace(row, drawn=spread(values), done=done, changed=not said.startswith("left"))


def constant(module: nn.Module, name: str, tensor: Tensor, value: float, forget: float) -> tuple[str, Tensor]:
    """The tensor full of a number; of an LSTM's input bias, with the forget gates' own."""
    values = torch.full_like(tensor, value)
    if forget and isinstance(module, nn.LSTM | nn.LSTMCell) and name.startswith("bias_ih"):
        size = len(values) // 4
        values[size : 2 * size] = forget  # torch's order: input, forget, cell, output
        return f"set to 0, forget gates to {forget:g}", values
    return f"set to {value:g}", values

"""The optimizer's update of K members at once: their parameters as `[K, P]` matrices, one per group of the optimizer.

`Optimizer.update` is the definition, so that every optimizer with a rule of its own comes along: it is mapped over the
members, whose hyper-parameters and step counts are numbers to it, in float64 as in a single training.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import vmap
from torch.nn.modules.conv import _ConvTransposeNd
from torch.utils._pytree import tree_map

from thalweg.errors import UsageError
from thalweg.parts.optimizers import SGD, Adagrad, Adam, AdamW, Lion, Muon, NAdam, Optimizer, RAdam, RMSprop
from thalweg.parts.optimizers.muon import adjustment, mix, orthogonal
from thalweg.parts.optimizers.optimizer import shrinkage
from thalweg.train.groups import Group, groups_of
from thalweg.train.population.limits import Limits, blocks
from thalweg.train.population.members import Member, numbers_of, parts_of
from thalweg.train.step import undecayed

AT_ONCE = (SGD, Adagrad, RMSprop, Lion)  # rules that numbers `[K, 1]` of the parameters' dtype are exact enough for
BY_ELEMENT = (*AT_ONCE, Adam, AdamW, NAdam, RAdam)  # rules that do not look at a parameter's shape
OFF = ("momentum", "dampening")  # left out of the rule where no member has them, with what they would keep
Numbers = dict[str, Any]  # of each field `[K]`, or a tuple of such


@dataclass
class Block:
    """The parameters of K members that one rule moves.

    Args:
        rule: whose `update` is the same for all; the numbers in it are not used.
        names, shapes: of the parameters, in the order of the columns.
        transposed: of each the groups of the transposed convolution that it is the weight of, else 0.
        spared: whether decay and regularizers leave them alone.
        matrix: `[K, P]`.
        state: `[K, P]` by slot; `[K]` where a slot is one number for each parameter.
        counts: `[K]` float64, updates made.
        slots: what each member's own optimizer keeps; the state has room for all of it.
        numbers: hyper-parameters, float64.
        off: names of those that are 0 for good.
    """

    rule: Optimizer
    names: list[str]
    shapes: list[torch.Size]
    transposed: list[int]
    spared: bool
    matrix: Tensor
    state: dict[str, Tensor]
    counts: Tensor
    slots: list[tuple[str, ...]]
    numbers: Numbers
    off: tuple[str, ...]

    def views(self, matrix: Tensor) -> dict[str, Tensor]:
        """`[K, *shape]` of each parameter, as views of the matrix."""
        return dict(zip(self.names, blocks(matrix, self.shapes), strict=True))

    def change(self, gradient: Tensor, matrix: Tensor, hyper: Numbers) -> tuple[Tensor, dict[str, Tensor]]:
        """What the rule adds to the parameters, and the next state."""
        count = self.counts + 1
        if isinstance(self.rule, AT_ONCE):
            hyper = tree_map(lambda v: v[:, None].to(matrix.dtype) if isinstance(v, Tensor) else v, hyper)
            return self.rule.update(gradient, self.state, count[:, None].to(matrix.dtype), matrix, hyper)
        placed = tree_map(lambda v: 0 if isinstance(v, Tensor) else None, hyper)
        mapped = vmap(self.rule.update, in_dims=(0, 0, 0, 0, placed))
        if isinstance(self.rule, BY_ELEMENT):
            return mapped(gradient, self.state, count, matrix, hyper)
        slots = [dict(zip(self.state, pieces, strict=True)) for pieces in zip(*self._pieces(), strict=True)]
        move = partial(muons, self.rule) if isinstance(self.rule, Muon) else mapped
        found = [
            move(g, own, count, p, hyper)
            for g, own, p in zip(blocks(gradient, self.shapes), slots, blocks(matrix, self.shapes), strict=True)
        ]
        following = {name: torch.cat([new[name].flatten(1) for _, new in found], 1) for name in self.state}
        return torch.cat([change.flatten(1) for change, _ in found], 1), following

    def _pieces(self) -> list[list[Tensor]]:
        return [list(blocks(value, self.shapes)) for value in self.state.values()]

    def hyper(self, rates: Tensor, momenta: Tensor | None) -> Numbers:
        """The numbers of a step at rates `[K]` and, where a schedule cycles them, momenta `[K]`."""
        found = {**self.numbers, "lr": rates} | dict.fromkeys(self.off, 0.0)
        for name, value in ({} if momenta is None else self.rule.momentum_field(momenta)).items():
            own = self.numbers[name]
            found[name] = (momenta, *own[1:]) if isinstance(value, tuple) else momenta
        return found


def update_(
    parts: Sequence[Block], gradients: list[Tensor], limits: Limits, rates: Tensor, momenta: Tensor | None
) -> None:
    """Regularizes and clips the gradients, updates the parameters in place and counts the step.

    Args:
        parts: the blocks.
        gradients: of each its `[K, P]`.
        limits: what is clipped and regularized.
        rates: `[K]` float64.
        momenta: `[K]` float64, where a schedule cycles them.
    """
    matrices = [part.matrix for part in parts]
    gradients = [g if b.spared else limits.add(g, b.matrix) for b, g in zip(parts, gradients, strict=True)]
    gradients = limits.clip(gradients, matrices, [part.shapes for part in parts])
    for part, gradient in zip(parts, gradients, strict=True):
        rate = rates[:, None].to(part.matrix.dtype)
        before = part.matrix if part.spared else limits.decay(part.matrix, rate)
        change, following = part.change(gradient, before, part.hyper(rates, momenta))
        after = before + change
        part.matrix.copy_(after if part.spared else limits.constrain(after, rate, part.shapes, part.transposed))
        for name, value in following.items():
            part.state[name].copy_(value)
        part.counts.add_(1)


def muons(
    rule: Muon, gradient: Tensor, slots: dict[str, Tensor], _count: Tensor, parameter: Tensor, hyper: Numbers
) -> tuple[Tensor, dict[str, Tensor]]:
    """The rule of `Muon` for `[K, *shape]`, whose matrices are made orthogonal one by one.

    Batched products round some entries to bfloat16 otherwise than single ones, and all that follows starts from there.
    """
    ones = [1] * (parameter.dim() - 1)
    lr, decay, momentum = (hyper[n].to(parameter.dtype).view(-1, *ones) for n in ("lr", "weight_decay", "momentum"))
    start = (1 - hyper["momentum"]).to(parameter.dtype).view(-1, *ones)
    buffer = mix(slots["momentum_buffer"], gradient, start)
    direction = mix(gradient, buffer, momentum) if rule.nesterov else buffer
    matrices = direction.flatten(2)
    pairs = zip(matrices.unbind(), hyper["eps"].to(torch.bfloat16).unbind(), strict=True)
    made = [orthogonal(matrix, rule.ns_coefficients, rule.ns_steps, eps) for matrix, eps in pairs]
    update = torch.stack(made).to(parameter.dtype)
    change = -lr * adjustment(matrices.shape[1:], rule.adjust_lr_fn) * update.reshape(parameter.shape)
    return change + shrinkage(parameter, lr, decay), {"momentum_buffer": buffer}


def stacked(members: Sequence[Member], lacking: set[str]) -> list[Block]:
    """The blocks of members that share a bucket.

    Args:
        members: at least one.
        lacking: names of parameters that get no gradient, which are left out.
    """
    groups = [own_groups(member, lacking) for member in members]
    return [block_of(members, each) for each in zip(*groups, strict=True)]


def own_groups(member: Member, lacking: set[str]) -> list[tuple[Group, list[str], list[int]]]:
    """A member's groups, with the names of their parameters and the groups of transposed convolutions."""
    network = member.network
    named = {n: p for n, p in network.named_parameters() if p.requires_grad and n not in lacking}
    spared = set() if member.plan.decay_all else undecayed(network)
    cut = {id(m.weight): m.groups for m in network.modules() if isinstance(m, _ConvTransposeNd)}
    names, parameters = list(named), list(named.values())
    return [
        (group, [names[i] for i in group.positions], [cut.get(id(parameters[i]), 0) for i in group.positions])
        for group in groups_of(member.optimizer, network, named, spared)
    ]


def block_of(members: Sequence[Member], own: Sequence[tuple[Group, list[str], list[int]]]) -> Block:
    group, names, transposed = own[0]
    slots = list(dict.fromkeys(slot for each, _, _ in own for slot in each.optimizer.slots if slot != "step"))
    rows = [row_of(member, each, names, slots) for member, (each, _, _) in zip(members, own, strict=True)]
    off = [name for name in OFF if name in rows[0][3] and not any(row[3][name] for row in rows)]
    return Block(
        rule=group.optimizer,
        names=names,
        shapes=[p.shape for p in group.parameters],
        transposed=transposed,
        spared=group.spared,
        matrix=torch.stack([row[0] for row in rows]),
        state={slot: torch.stack([row[1][slot] for row in rows]) for slot in slots},
        counts=torch.tensor([row[2] for row in rows], dtype=torch.float64, device=group.parameters[0].device),
        slots=[each.optimizer.slots for each, _, _ in own],
        numbers=numbers_stacked([row[3] for row in rows], group.parameters[0].device),
        off=(*off, "weight_decay") if group.spared else tuple(off),
    )


Row = tuple[Tensor, dict[str, Tensor], float, dict[str, Any]]  # a member's parameters, state, count and numbers


def require_room(part: Block, optimizer: Optimizer) -> None:
    """Raises `UsageError` where an optimizer uses what the members of a block have left out."""
    numbers = numbers_of(optimizer)
    if more := [name for name in part.off if numbers.get(name) and not (part.spared and name == "weight_decay")]:
        raise UsageError(
            f"{type(optimizer).__name__} of the new member has {more[0]}={numbers[more[0]]!r}, and the population has "
            "no room for it: it was 0 for all members when it was made. Make a new population."
        )


def row_of(member: Member, group: Group, names: Sequence[str], slots: Sequence[str]) -> Row:
    """One member's row of a block."""
    state = {}
    for slot in slots:
        zeros = [torch.zeros_like(p) for p in group.parameters]
        values = [member.state.get(f"{slot}.{n}", v) for n, v in zip(names, group.state.get(slot, zeros), strict=True)]
        single = values[0].dim() == 0 and group.parameters[0].dim() > 0
        state[slot] = values[0].clone() if single else torch.cat([value.flatten() for value in values])
    count = float(member.state.get(f"step.{names[0]}", member.step))
    flat = torch.cat([p.detach().flatten() for p in group.parameters])
    return flat, state, count, numbers_of(group.optimizer)


def numbers_stacked(rows: Sequence[Mapping[str, Any]], device: torch.device) -> Numbers:
    def column(values: Sequence[Any]) -> Any:
        if isinstance(values[0], tuple):
            return tuple(column(each) for each in zip(*values, strict=True))
        return torch.tensor(values, dtype=torch.float64, device=device)

    return {name: column([row[name] for row in rows]) for name in rows[0]}


def limits_of(members: Sequence[Member], dtype: torch.dtype, device: torch.device) -> Limits:
    """What members clip, and their regularizers."""

    def column(values: Sequence[float | None]) -> Tensor | None:
        if all(value is None for value in values):
            return None
        filled = [torch.inf if value is None else value for value in values]
        return torch.tensor(filled, dtype=dtype, device=device)[:, None]

    plans = [member.plan for member in members]
    regularizers = []
    for parts in zip(*(parts_of(plan.regularizer) for plan in plans), strict=True):
        rows = [numbers_of(part) for part in parts]
        numbers = {n: torch.tensor([r[n] for r in rows], dtype=dtype, device=device)[:, None] for n in rows[0]}
        regularizers.append((type(parts[0]), bool(getattr(parts[0], "proximal", False)), numbers))
    norms = [None if plan.clip_norm == "auto" else plan.clip_norm for plan in plans]
    return Limits(
        norm=column(norms),
        value=column([plan.clip_value for plan in plans]),
        adaptive=column([plan.clip_adaptive for plan in plans]),
        regularizers=regularizers,
    )

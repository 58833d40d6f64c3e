"""K trainings as one program: their parameters in matrices, their batches shared, their noise their own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, map_inputs, tensors_of
from thalweg.errors import UsageError
from thalweg.measure.untouched import untouched
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.losses import LossFunction
from thalweg.train.population.counter import CounterNoise, Workspace, streams
from thalweg.train.population.criterion import as_weights, chosen_rows, criterion_of
from thalweg.train.population.dropping import dropout_rates
from thalweg.train.population.members import (
    RATES_OF_DROPOUT,
    Member,
    bucket_of,
    refused,
    require_rows_apart,
)
from thalweg.train.population.steps import train_step
from thalweg.train.population.tape import NotBatched
from thalweg.train.population.update import (
    limits_of,
    numbers_stacked,
    own_groups,
    require_room,
    row_of,
    stacked,
)
from thalweg.train.step import Window, stepper_of

Make = Callable[..., Any]  # batched or vmapped: (network, inputs, *, training) -> forward


class Population:
    """Members trained as one program.

    A member whose loss is no longer finite goes on in its own row and disturbs none of the others.

    Args:
        members: of one bucket.
        loss: `(output, target) -> scalar`, that of the labels as they are.
        window: an example: one batch, `(inputs, target)` or with the rows' weights as a third.
        make: the forward pass for all members: `batched` or `vmapped`.
        own: whether each member has batches of its own, `[K, B, ...]`.

    Raises:
        UsageError: for members that cannot be one program.
        NotBatched: where the network's forward pass cannot be run for all members at once.
        ModelError: for a fold with a norm over the batch.
    """

    def __init__(
        self, members: Sequence[Member], loss: LossFunction, window: Window, *, make: Make, own: bool = False
    ) -> None:
        require_one_program(members, own)
        self.members, self.loss, self.make, self.own = list(members), loss, make, own
        inputs = window[0][0]
        first = one_of(window, own)
        self.device = next(members[0].network.parameters()).device
        self.lacking = without_gradient(members[0], loss, first)
        self.parts = stacked(members, self.lacking)
        dtype = self.parts[0].matrix.dtype
        moved = {name for part in self.parts for name in part.names}
        values = [tensors(member.network) for member in members]
        names = dict(members[0].network.named_parameters())
        self.fixed = {n: torch.stack([v[n] for v in values]) for n in names if n not in moved}
        self.buffers = {n: torch.stack([v[n] for v in values]) for n in values[0] if n not in names}
        self.limits = limits_of(members, dtype, self.device)
        shares = [member.plan.label_smoothing for member in members]
        self.smoothing = torch.tensor(shares, dtype=torch.float64, device=self.device) if any(shares) else None
        self.criterion = criterion_of(loss, self.smoothing, own=own)
        self.rows = masks_of(members, self.device)
        self.steps = torch.tensor([member.step for member in members], device=self.device)
        self.streams = torch.tensor([streams(m.seed) for m in members], device=self.device).T.contiguous()
        self.example = first[0][0]
        self.noise = self._noise([self._rates(member) for member in members])
        self.forwards: dict[Any, Any] = {}
        self.compiled: Any = None  # a graph of the whole step, which `candidates` makes where it is worth it
        self.forward_of(inputs, training=True)

    def __len__(self) -> int:
        return len(self.members)

    def _rates(self, member: Member) -> list[float]:
        key = rates_of_modules(member.network)
        if not hasattr(self, "_known"):
            self._known: dict[Any, list[float]] = {}
        if key not in self._known:
            self._known[key] = dropout_rates(member.network, self.example)
        return self._known[key]

    def _noise(self, rates: Sequence[Sequence[float]]) -> CounterNoise | None:
        """The members' noise; None where nothing is dropped."""
        if len({len(own) for own in rates}) > 1:
            raise NotBatched("some members drop where others do not: dropout inside attention or recurrent layers")
        columns = [torch.tensor(p, dtype=torch.float64, device=self.device) for p in zip(*rates, strict=True)]
        return CounterNoise(self.streams, columns, Workspace(self.device)) if columns else None

    def forward_of(self, inputs: Inputs, *, training: bool) -> Any:
        """The forward pass for inputs of this shape."""
        key = (training, tuple((v.shape, v.dtype) for v in tensors_of(inputs)))
        if key not in self.forwards:
            single = first_of(inputs) if self.own else inputs
            self.forwards[key] = self.make(self.members[0].network, single, training=training)
        return self.forwards[key]

    def named(self, matrices: Sequence[Tensor]) -> dict[str, Tensor]:
        """`[K, *shape]` of every parameter, by name."""
        found = dict(self.fixed)
        for part, matrix in zip(self.parts, matrices, strict=True):
            found |= part.views(matrix)
        return found

    def step(
        self,
        batch: tuple[Any, ...],
        rates: Sequence[float] | Tensor,
        *,
        momenta: Sequence[float] | Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """One update of every member; returns the losses `[K]` before it, detached. Does not synchronize.

        Args:
            batch: `(inputs, target)`, or with the rows' weights `[B]` as a third.
            rates: `[K]` learning rates.
            momenta: `[K]`, where a schedule cycles them.
            positions: `[B]` the batch's rows among the training rows; needed where members have `rows`.
        """
        inputs, target, *weight = batch
        chosen = None if self.rows is None else chosen_rows(self.rows, required(positions))
        weights = as_weights(self._spread(weight), chosen, self.parts[0].matrix.dtype)
        cycled = self._numbers(momenta)
        arguments = (inputs, target, weights, self._numbers(rates), cycled)
        if self.compiled is not None and self.compiled.takes(batch, cycled):
            return self.compiled(self, *arguments)  # type: ignore[no-any-return]
        return train_step(self, self.forward_of(inputs, training=True), *arguments)

    def live(self) -> list[Tensor]:
        """All that a step changes."""
        found = [*self.buffers.values(), self.steps]
        for part in self.parts:
            found += [part.matrix, part.counts, *part.state.values()]
        return found

    def _numbers(self, values: Sequence[float] | Tensor | None) -> Any:
        return None if values is None else torch.as_tensor(values, dtype=torch.float64, device=self.device)

    def _spread(self, weight: list[Tensor]) -> Tensor | None:
        return weight[0].expand(len(self), *weight[0].shape[int(self.own) :]) if weight else None

    @torch.no_grad()
    def outputs(self, inputs: Inputs) -> Any:
        """What every member makes of the inputs, `[K, B, ...]`, in evaluation mode."""
        forward = self.forward_of(inputs, training=False)
        return forward(self.named([part.matrix for part in self.parts]), self.buffers, inputs, own=self.own)

    def network(self, slot: int) -> nn.Module:
        """An ordinary network with the weights and buffers that a member has now."""
        found = clone(self.members[slot].network)
        set_tensors(found, self._values(slot))
        return found

    def _values(self, slot: int) -> dict[str, Tensor]:
        named = self.named([part.matrix for part in self.parts]) | self.buffers
        return {name: value[slot] for name, value in named.items()}

    def state(self, slot: int) -> dict[str, Tensor]:
        """The optimizer's state of a member, as `Step.state_dict` names it; copies."""
        found: dict[str, Tensor] = {}
        for part in self.parts:
            sizes = [shape.numel() for shape in part.shapes]
            for name, value in part.state.items():
                if name not in part.slots[slot]:
                    continue
                pieces = torch.split(value[slot], sizes) if value.dim() > 1 else [value[slot]] * len(sizes)
                for own, shape, piece in zip(part.names, part.shapes, pieces, strict=True):
                    found[f"{name}.{own}"] = (piece.view(shape) if value.dim() > 1 else piece).clone()
            if "step" in part.slots[slot]:
                found |= {f"step.{own}": part.counts[slot].float() for own in part.names}
        return found

    @torch.no_grad()
    def replace(self, slot: int, member: Member) -> None:
        """Puts another member into a slot, in place: the others stay bit by bit, and nothing is compiled again.

        Raises:
            UsageError: for a member of another bucket, or that needs what no member had when the population was made.
        """
        require_one_program([self.members[0], member], self.own)
        groups = own_groups(member, self.lacking)
        for part, (group, _, _) in zip(self.parts, groups, strict=True):
            require_room(part, group.optimizer)
        rows = [row_of(member, g, n, list(p.state)) for p, (g, n, _) in zip(self.parts, groups, strict=True)]
        self._replace_limits(slot, member)
        for part, (group, _, _), (flat, state, count, numbers) in zip(self.parts, groups, rows, strict=True):
            part.slots[slot] = group.optimizer.slots
            part.matrix[slot] = flat
            part.counts[slot] = count
            for name, value in state.items():
                part.state[name][slot] = value
            put(part.numbers, numbers_stacked([numbers], self.device), slot)
        values = tensors(member.network)
        for name, value in (self.fixed | self.buffers).items():
            value[slot] = values[name]
        self.streams[:, slot] = torch.tensor(streams(member.seed), device=self.device)
        self.steps[slot] = member.step
        for column, rate in zip(() if self.noise is None else self.noise.rates, self._rates(member), strict=True):
            column[slot] = rate
        self.members[slot] = member

    def _replace_limits(self, slot: int, member: Member) -> None:
        new = limits_of([member], self.parts[0].matrix.dtype, self.device)
        pairs = [(name, getattr(self.limits, name), getattr(new, name)) for name in ("norm", "value", "adaptive")]
        smoothing = torch.tensor([member.plan.label_smoothing], dtype=torch.float64, device=self.device)
        pairs.append(("smoothing", self.smoothing, smoothing if member.plan.label_smoothing else None))
        masks = masks_of([member], self.device)
        pairs.append(("rows", self.rows, masks))
        if missing := [name for name, old, own in pairs if old is None and own is not None]:
            raise UsageError(
                f"The new member has a {missing[0]} (of clipping, of labels or of a fold) and no member had one when "
                "the population was made. Make a new population."
            )
        empty = {"smoothing": 0.0, "rows": True}
        for name, old, own in pairs:
            if old is not None:
                old[slot] = empty.get(name, torch.inf) if own is None else own[0]
        for (_, _, old), (_, _, own) in zip(self.limits.regularizers, new.regularizers, strict=True):
            put(old, own, slot)


def require_one_program(members: Sequence[Member], own: bool) -> None:
    if not members:
        raise UsageError("A population got no member; give it one at least.")
    for member in members:
        if why := refused(member):
            raise UsageError(f"Not one program: {why}. Train such members with Loop.")
        if not own:
            require_rows_apart(member)
    if len({bucket_of(member) for member in members}) > 1:
        raise UsageError(
            "Members of one program share architecture, kinds of optimizer and regularizer and batch size, and these "
            "do not. Split them: buckets(members) gives the positions of those that do."
        )


def without_gradient(member: Member, loss: LossFunction, window: Window) -> set[str]:
    """Names of the trainable parameters that the loss does not reach."""
    trial = stepper_of(member.seeded, clone(member.network).train(), loss)
    with untouched(trial.network, training=True):
        _, gradients = trial.loss_and_gradients(window, step=0)
    return {name for name, gradient in zip(trial.names, gradients, strict=True) if gradient is None}


def masks_of(members: Sequence[Member], device: torch.device) -> Tensor | None:
    """`[K, N]` booleans; None where every member trains on all rows."""
    sizes = {len(member.rows) for member in members if member.rows is not None}
    if not sizes:
        return None
    if len(sizes) > 1:
        raise UsageError(f"Members have masks over {sorted(sizes)} rows; all are over the same training rows.")
    whole = torch.ones(sizes.pop(), dtype=torch.bool)
    return torch.stack([whole if m.rows is None else m.rows for m in members]).to(device)


def rates_of_modules(network: nn.Module) -> tuple[Any, ...]:
    found = []
    for module in network.modules():
        values = vars(module)
        found += [values[name] for name in RATES_OF_DROPOUT if isinstance(values.get(name), float | int)]
    return tuple(found)


def one_of(window: Window, own: bool) -> Window:
    """The window of the first member."""
    if not own:
        return window
    inputs, *rest = window[0]
    return [(first_of(inputs), *(value[0] for value in rest))]


def first_of(inputs: Inputs) -> Inputs:
    return map_inputs(lambda value: value[0], inputs)


def required(positions: Tensor | None) -> Tensor:
    if positions is None:
        raise UsageError("Members have rows of their own: give step(...) the positions [B] of the batch's rows.")
    return positions


def put(old: Mapping[str, Any], new: Mapping[str, Any], slot: int) -> None:
    """Writes the one row of `new` into a slot of `old`, by name."""
    for name, value in new.items():
        pairs = zip(old[name], value, strict=True) if isinstance(value, tuple) else [(old[name], value)]
        for target, own in pairs:
            target[slot] = own[0]

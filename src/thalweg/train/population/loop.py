"""Members trained one after the other, by ordinary steps, with the noise that they have in a population."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Inputs, call, map_inputs
from thalweg.errors import UsageError
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating
from thalweg.train.losses import LossFunction
from thalweg.train.population.counter import CounterNoise, Workspace
from thalweg.train.population.dropping import CounterDropout
from thalweg.train.population.members import Member
from thalweg.train.step import Step, stepper_of

TOGETHER = 2**19  # elements of a layer that are drawn at once: 2 MiB of factors, for 1 / 30 of a layer's own work


class Alone:
    """One member, trained by `Step`.

    Args:
        member: its network is copied.
        loss: `(output, target) -> scalar`, that of the labels as they are.
        workspace: that its noise is drawn in.
    """

    def __init__(self, member: Member, loss: LossFunction, workspace: Workspace) -> None:
        self.member, self.done = member, member.step
        self.network = clone(member.network).train()
        self.stepper: Step = stepper_of(member.seeded, self.network, loss)
        self.noise = CounterDropout(member.seed, workspace)
        self.load()

    def load(self) -> None:
        if not self.member.state:
            return
        self.stepper.load(self.member.state)
        own = self.stepper.state_dict()
        with torch.no_grad():
            for name, value in self.member.state.items():
                own[name].copy_(value)

    @contextmanager
    def dropping(self) -> Iterator[None]:
        """Inside, a forward pass of the network drops as the counter says."""
        own, forward = self.network.__dict__, self.network.forward
        before = own.get("forward")

        def dropped(*args: Any, **kwargs: Any) -> Any:
            with self.noise:
                return forward(*args, **kwargs)

        own["forward"] = dropped
        try:
            yield
        finally:
            del own["forward"]
            if before is not None:
                own["forward"] = before

    def step(self, batch: tuple[Any, ...], rate: float, momentum: float | None) -> Tensor:
        quiet = self.done > self.member.step and not self.noise.draws
        recomputed = bool(self.stepper.blocks)  # by torch, outside of the forward pass: it draws from torch's generator
        self.noise.at(self.done)
        with nullcontext() if quiet or recomputed else self.dropping():
            loss = self.stepper([batch], step=self.done, rate=rate, momentum=momentum)
        self.noise.ahead = []
        self.done += 1
        return loss


def draw_ahead(alone: Sequence[Alone], workspace: Workspace) -> None:
    """Draws the factors of the first one, as they were drawn in the step before, and of others that draw alike.

    Between a member's layers a draw finds none of its memory in the cache and takes three times as long; and for small
    layers its 25 operations cost more than the layer's own.
    """
    draws = alone[0].noise.draws
    if not draws or any(draw.kind not in ("elements", "channels") for draw in draws):
        return
    most = TOGETHER // max(1, *(math.prod(draw.shape) for draw in draws))
    alike = (each for each in alone if [draw[1:] for draw in each.noise.draws] == [draw[1:] for draw in draws])
    few = list(islice(alike, most))
    if len(few) < 2:
        return
    columns = zip(*([draw.p for draw in each.noise.draws] for each in few), strict=True)
    rates = [torch.tensor(column, dtype=torch.float64, device=workspace.device) for column in columns]
    noise = CounterNoise.of([each.member.seed for each in few], [each.done for each in few], rates, workspace)
    for layer, draw in enumerate(draws):
        drawn = noise.factors(draw.shape, draw.p, layer=layer, dtype=draw.dtype)
        for each, own in zip(few, drawn, strict=True):
            each.noise.ahead.append((each.noise.draws[layer], own))


class Loop:
    """What `Population` is, one member after the other: for members of any kind, whatever their networks do.

    Args:
        members: any.
        loss: `(output, target) -> scalar`, that of the labels as they are.
        own: whether each member has batches of its own, `[K, B, ...]`.
    """

    def __init__(self, members: Sequence[Member], loss: LossFunction, *, own: bool = False) -> None:
        self.members, self.loss, self.own = list(members), loss, own
        self.workspace = Workspace(next(members[0].network.parameters()).device)
        self.alone = [Alone(member, loss, self.workspace) for member in members]

    def __len__(self) -> int:
        return len(self.members)

    def step(
        self,
        batch: tuple[Any, ...],
        rates: Sequence[float] | Tensor,
        *,
        momenta: Sequence[float] | Tensor | None = None,
        positions: Tensor | None = None,
    ) -> Tensor:
        """As `Population.step`; the rates are read in Python, which synchronizes where they are on another device."""
        numbers = [float(rate) for rate in rates]
        cycled = [None] * len(self) if momenta is None else [float(momentum) for momentum in momenta]
        losses = []
        with global_rng_kept():
            for slot, member in enumerate(self.alone):
                if not member.noise.ahead:
                    draw_ahead(self.alone[slot:], self.workspace)
                own = self._batch(batch, slot, positions)
                losses.append(member.step(own, numbers[slot], cycled[slot]).reshape(()))
        return torch.stack(losses)

    def _batch(self, batch: tuple[Any, ...], slot: int, positions: Tensor | None) -> tuple[Any, ...]:
        """The batch that a member sees."""
        if self.own:
            inputs, *rest = batch
            batch = (map_inputs(lambda value: value[slot], inputs), *(value[slot] for value in rest))
        rows = self.members[slot].rows
        if rows is None:
            return batch
        if positions is None:
            raise UsageError("Members have rows of their own: give step(...) the positions [B] of the batch's rows.")
        chosen = rows.to(positions.device)[positions]
        weight = chosen * batch[2] if len(batch) > 2 else chosen.to(self.alone[slot].stepper.parameters[0].dtype)
        return (*batch[:2], weight)

    def outputs(self, inputs: Inputs) -> Any:
        """What every member makes of the inputs, `[K, B, ...]`, in evaluation mode."""
        found = []
        for slot, member in enumerate(self.alone):
            own = map_inputs(lambda value, slot=slot: value[slot], inputs) if self.own else inputs  # type: ignore[misc]
            with evaluating(member.network), global_rng_kept():
                found.append(call(member.network, own))
        return tree_map(lambda *each: torch.stack(each), *found)

    def network(self, slot: int) -> nn.Module:
        """A copy of a member's network as it is now."""
        return clone(self.alone[slot].network)

    def state(self, slot: int) -> dict[str, Tensor]:
        """Copies of the optimizer's state of a member, as `Step.state_dict` names it."""
        return {name: value.clone() for name, value in self.alone[slot].stepper.state_dict().items()}

    def replace(self, slot: int, member: Member) -> None:
        """Puts another member into a slot; the others are as they were."""
        self.alone[slot], self.members[slot] = Alone(member, self.loss, self.workspace), member

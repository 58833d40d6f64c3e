"""Members trained one after the other, by ordinary steps, with the noise that they have in a population."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
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
from thalweg.train.population.counter import CounterNoise
from thalweg.train.population.dropping import CounterDropout
from thalweg.train.population.members import Member
from thalweg.train.step import Step, stepper_of

CACHED = 2**16  # elements whose words are drawn at once: beyond, a draw takes as long as it has elements


class Alone:
    """One member, trained by `Step`.

    Args:
        member: its network is copied.
        loss: `(output, target) -> scalar`, that of the labels as they are.
    """

    def __init__(self, member: Member, loss: LossFunction) -> None:
        self.member, self.done = member, member.step
        self.network = clone(member.network).train()
        self.stepper: Step = stepper_of(member.seeded, self.network, loss)
        self.noise = CounterDropout(member.seed)
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

        def enter(*_: Any) -> None:
            self.noise.at(self.done).__enter__()  # type: ignore[no-untyped-call]

        def leave(*_: Any) -> None:
            self.noise.__exit__(None, None, None)  # type: ignore[no-untyped-call]

        before = self.network.register_forward_pre_hook(enter)
        after = self.network.register_forward_hook(leave, always_call=True)
        try:
            yield
        finally:
            before.remove()
            after.remove()

    def step(self, batch: tuple[Any, ...], rate: float, momentum: float | None) -> Tensor:
        quiet = self.done > self.member.step and not self.noise.draws
        with nullcontext() if quiet else self.dropping():
            loss = self.stepper([batch], step=self.done, rate=rate, momentum=momentum)
        self.done += 1
        return loss


def draw_ahead(alone: Sequence[Alone]) -> None:
    """Draws the factors of small layers for several members at once, as they were drawn in the step before.

    One by one, the 25 operations of a draw cost more than those of the layer.
    """
    alike: dict[Any, list[Alone]] = {}
    for each in alone:
        each.noise.ahead = []
        draws = each.noise.draws
        if draws and all(draw.kind in ("elements", "channels") for draw in draws):
            alike.setdefault(tuple(draw[1:] for draw in draws), []).append(each)
    for members in alike.values():
        draws = members[0].noise.draws
        most = CACHED // max(math.prod(draw.shape) for draw in draws)
        for start in range(0, len(members) if most > 1 else 0, max(most, 1)):
            few = members[start : start + most]
            columns = zip(*([draw.p for draw in each.noise.draws] for each in few), strict=True)
            rates = [torch.tensor(column, dtype=torch.float64) for column in columns]
            noise = CounterNoise.of([each.member.seed for each in few], [each.done for each in few], rates)
            noise.tables, noise.scratch = few[0].noise.noise.tables, few[0].noise.noise.scratch
            for layer, draw in enumerate(draws):
                drawn = noise.factors(draw.shape, draw.p, layer=layer, dtype=draw.dtype)
                for each, own in zip(few, drawn, strict=True):
                    each.noise.ahead.append(own)


class Loop:
    """What `Population` is, one member after the other: for members of any kind, whatever their networks do.

    Args:
        members: any.
        loss: `(output, target) -> scalar`, that of the labels as they are.
        own: whether each member has batches of its own, `[K, B, ...]`.
    """

    def __init__(self, members: Sequence[Member], loss: LossFunction, *, own: bool = False) -> None:
        self.members, self.loss, self.own = list(members), loss, own
        self.alone = [Alone(member, loss) for member in members]

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
        draw_ahead(self.alone)
        with global_rng_kept():
            for slot, member in enumerate(self.alone):
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
        self.alone[slot], self.members[slot] = Alone(member, self.loss), member

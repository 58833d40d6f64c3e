"""Twins that go on together: those that are one program as a population, the others one after the other."""

import math
import time
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from thalweg.data.noise import global_rng_kept
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.twin import DIVERGED, LOOK, Lane, Twin, score_of, windows
from thalweg.train.population.candidates import Choice, choose
from thalweg.train.population.members import Member, bucket_of, refused


class Lanes:
    """Several twins on their way, with what `Lane` tells of each.

    Those that share architecture, kind of optimizer and rows train as one population, in the form that is the fastest
    for so many steps; where their orders of the rows differ each has batches of its own. The others, and those that
    accumulate or change their inputs, are lanes. In a population dropout draws from the counter, and not what a lane
    would draw: compare those that went together.

    Args:
        twins: their networks are copied.
        steps: updates that each is to make, at most; decides whether a population is compiled.
    """

    def __init__(self, twins: Sequence[Twin], *, steps: int) -> None:
        places: dict[Hashable, list[int]] = {}
        for place, twin in enumerate(twins):
            places.setdefault(key_of(twin, place), []).append(place)
        self.parts: list[Together | Lane] = []
        self.places: dict[int, tuple[int, int]] = {}  # of each twin its part, and its slot there
        for own in places.values():
            for slot, place in enumerate(own):
                self.places[place] = len(self.parts), slot
            several = [twins[place] for place in own]
            self.parts.append(Together(several, steps=steps) if len(own) > 1 else Lane(several[0]))

    def __len__(self) -> int:
        return len(self.places)

    def advance(self, steps: int, *, budget: Budget) -> None:
        """So many updates more of each; fewer where the budget runs out or a loss is lost."""
        for part in self.parts:
            if budget.left:
                part.advance(steps, budget=budget)

    def network(self, place: int) -> nn.Module:
        """A twin's network as it is now."""
        part, slot = self._find(place)
        return part.network if isinstance(part, Lane) else part.choice.form.network(slot)

    def done(self, place: int) -> int:
        """Updates that a twin has made."""
        return self._find(place)[0].done

    def loss(self, place: int) -> float:
        """Mean over the steps between the last two looks; NaN before the first."""
        part, slot = self._find(place)
        return part.loss if isinstance(part, Lane) else part.losses[slot]

    def lost(self, place: int) -> bool:
        """Whether the loss is not finite or a thousand times its start."""
        part, slot = self._find(place)
        return part.lost if isinstance(part, Lane) else part.lost[slot]

    def score(self, place: int, *, rows: int | None = None) -> Score | None:
        """Of a twin's weights as they are now."""
        part, slot = self._find(place)
        if isinstance(part, Lane):
            return part.score(rows=rows)
        return score_of(part.twins[slot], part.choice.form.network(slot), rows=rows)

    def _find(self, place: int) -> tuple["Together | Lane", int]:
        number, slot = self.places[place]
        return self.parts[number], slot


class Together:
    """Twins of one bucket as a population.

    Args:
        twins: at least two.
        steps: updates that each is to make, at most.
    """

    def __init__(self, twins: Sequence[Twin], *, steps: int) -> None:
        self.twins, self.done, self.seconds = list(twins), 0, 0.0
        self.own = len({twin.train.seed for twin in twins}) > 1
        feeds = [windows(twin.train, 1, twin.first_step) for twin in (twins if self.own else twins[:1])]
        first = [next(feed)[0] for feed in feeds]
        self.batches = joined(feeds, first)
        members = [member_of(twin) for twin in twins]
        with global_rng_kept():
            self.choice: Choice = choose(members, twins[0].loss, [together(first)], num_steps=steps, own=self.own)
        self.losses, self.firsts = [math.nan] * len(twins), [math.nan] * len(twins)
        self.lost = [False] * len(twins)

    def advance(self, steps: int, *, budget: Budget) -> None:
        """So many updates more of all; fewer where the budget runs out or all losses are lost."""
        found: list[Tensor] = []
        started, last = time.thread_time(), self.done + steps
        with global_rng_kept():
            while self.done < last and not all(self.lost):
                found.append(self._step(next(self.batches)))
                self.done += 1
                if self.done % LOOK == 0 or self.done == last:
                    self._look(found)
                    if not budget.left:
                        break
        self.seconds += time.thread_time() - started

    def _step(self, batch: tuple[Any, ...]) -> Tensor:
        rates, momenta = [], []
        for twin in self.twins:
            length = max(twin.num_steps, 1)
            at = min(twin.first_step + self.done, length - 1)
            assert twin.plan.optimizer != "auto"
            assert twin.plan.schedule != "auto"
            rates.append(float(twin.plan.optimizer.lr) * twin.plan.schedule.factor(at, length))
            momenta.append(twin.plan.schedule.momentum(at, length))
        cycled = [momentum for momentum in momenta if momentum is not None]
        return self.choice.form.step(batch, rates, momenta=cycled or None)

    def _look(self, found: list[Tensor]) -> None:
        self.losses = torch.stack(found).mean(0).tolist()  # synchronizes
        found.clear()
        for slot, loss in enumerate(self.losses):
            first = self.firsts[slot] = loss if math.isnan(self.firsts[slot]) else self.firsts[slot]
            self.lost[slot] |= not loss <= first + DIVERGED * abs(first)


def member_of(twin: Twin) -> Member:
    seed = twin.plan.seed
    assert isinstance(seed, int)
    return Member(twin.network, twin.plan, seed, step=twin.first_step, state=twin.state)


def key_of(twin: Twin, place: int) -> Hashable:
    """What twins of one population share; one's own where a twin trains by itself."""
    member = member_of(twin)
    feeder = twin.train
    mixes = feeder.augment is not None and feeder.augment.late is not None  # targets between the classes
    if refused(member) or mixes or twin.transform is not None or feeder.rows.step is not None:
        return place
    assert twin.plan.schedule != "auto"
    cycles = twin.plan.schedule.momentum(0, max(twin.num_steps, 1)) is not None
    fed = id(feeder.rows), feeder.batch_size, feeder.shuffle, id(feeder.transform), id(feeder.target_transform)
    return bucket_of(member), fed, id(feeder.augment), twin.loss, twin.first_step, cycles


def together(batches: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """One batch for all as it is; batches of each stacked `[K, B, ...]`."""
    if len(batches) == 1:
        return batches[0]
    return tuple(tree_map(lambda *each: torch.stack(each), *values) for values in zip(*batches, strict=True))


def joined(feeds: Sequence[Iterator[Any]], first: Sequence[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    """The batches of all, from the first on, which were read already."""
    yield together(first)
    for each in zip(*feeds, strict=True):
        yield together([window[0] for window in each])

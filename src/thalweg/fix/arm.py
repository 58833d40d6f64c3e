"""One way of training on several seeds at once, each advanced only as far as it must be to be compared."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING

from thalweg.data.feeder import Feeder
from thalweg.data.sample import spaced, spread
from thalweg.doctor.before import outputs_of
from thalweg.doctor.bench import Bench
from thalweg.examination import num_steps_of
from thalweg.fix.change import ROWS, Change, carried_out
from thalweg.measure.head import Head
from thalweg.measure.score import Score
from thalweg.parts.regularizers.recognize import noises
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.twin import Lane, Twin, score_of
from thalweg.train.clone import clone

if TYPE_CHECKING:
    from torch import nn

    from thalweg.experiment import Experiment

FEWEST = 5  # steps to a look
HEAD_ROWS = 256  # that show what the last operation is


class Crew:
    """Trainings that go on together, with the time that they take.

    Args:
        twins: on seeds of their own.
        steps: updates that each is to make, at most.
    """

    def __init__(self, twins: Sequence[Twin], *, steps: int) -> None:
        from thalweg.probes.lanes import Lanes  # it imports torch's compiler, which takes two seconds

        self.twins = list(twins)
        self.lanes: Lanes = Lanes(twins, steps=steps)
        self.seconds = 0.0

    def advance(self, steps: int, *, budget: Budget) -> None:
        started = time.thread_time()
        self.lanes.advance(steps, budget=budget)
        self.seconds += time.thread_time() - started


@dataclass
class Seat:
    """One training of a crew, told like a `Lane`."""

    crew: Crew
    place: int

    @property
    def done(self) -> int:
        return self.crew.lanes.done(self.place)

    @property
    def lost(self) -> bool:
        return self.crew.lanes.lost(self.place)

    @property
    def twin(self) -> Twin:
        return self.crew.twins[self.place]

    @property
    def network(self) -> "nn.Module":
        return self.crew.lanes.network(self.place)

    @property
    def pace(self) -> float:
        """Seconds of a step of one of them."""
        return self.crew.seconds / max(self.done, 1) / len(self.crew.lanes)

    def advance(self, steps: int, *, budget: Budget) -> None:
        """Takes all of them so many steps further."""
        self.crew.advance(steps, budget=budget)


@dataclass
class Arm:
    """A training with some changes, or with none.

    Args:
        experiment: as it was given.
        plan: resolved; its seed is set anew for each training.
        changes: made to both.
        bench: of the run's own training: rows as they enter the network, and loss.
        rows: validation rows to score on; None for all.
        few: of them that a quick score is of, evenly spaced; None where it is of all.
        budget: of all arms together.
    """

    experiment: "Experiment"
    plan: Plan
    changes: tuple[Change, ...]
    bench: Bench
    rows: int | None
    budget: Budget
    few: int | None = None
    lanes: "dict[int, Lane | Seat]" = field(default_factory=dict)
    feeders: tuple[Feeder, Feeder] | None = None  # of training and validation rows
    scores: dict[tuple[int, int, bool], Score | None] = field(default_factory=dict)  # by seed, steps and whether quick
    head: Head | None = None
    balanced: bool = False  # whether classes count alike in the score
    constant: Score | None = None  # what one that diverged answers

    @property
    def num_steps(self) -> int:
        """Updates of the whole training."""
        return num_steps_of(self.carried[1], len(self.experiment.data.train))

    @cached_property
    def carried(self) -> "tuple[Experiment, Plan]":
        """The experiment and the plan with the changes."""
        return carried_out(self.experiment, self.plan, self.changes, self.bench.first(ROWS)[0])

    def twin(self, seed: int) -> Twin:
        """The training as it would be: set up by the same code."""
        experiment, plan = self.carried
        setup = experiment._set_up(plan.replace(seed=seed, memory_format=self.plan.memory_format, workers=0))
        data, plan = experiment.data, setup.plan
        assert isinstance(plan.batch_size, int)
        if self.head is None:
            inputs, target = self.bench.first(HEAD_ROWS)
            network = clone(setup.network)
            own = replace(self.bench, network=network, loss=experiment.loss, inputs=inputs, target=target)
            self.head = outputs_of(own)[1]
        if self.feeders is None:  # what prepares the rows is fitted on the same ones under every seed
            train = setup.feeder(data.train, batch_size=plan.batch_size, seed=seed)
            self.feeders = train, setup.held_out(data.validation, plan.batch_size)
        return Twin(
            network=setup.network,
            loss=experiment.loss,
            plan=plan,
            num_steps=self.num_steps,
            train=self.feeders[0].like(seed=seed),
            validation=self.feeders[1],
            task=data.task,
            head=self.head,
        )

    def seat(self, seeds: Sequence[int], share: float) -> None:
        """Begins the trainings of some seeds as one population."""
        crew = Crew([self.twin(seed) for seed in seeds], steps=self.steps_at(share))
        self.lanes |= {seed: Seat(crew, place) for place, seed in enumerate(seeds)}

    def steps_at(self, share: float) -> int:
        """Updates to a share of the training."""
        return min(max(round(share * self.num_steps), FEWEST), self.num_steps)

    def seconds_to(self, share: float, seed: int, pace: float) -> float:
        """What it takes to get there, by its own pace or, before it has one, by that of another."""
        if any((seed, self.steps_at(share), quick) in self.scores for quick in (False, True)):
            return 0.0
        lane = self.lanes.get(seed)
        left = self.steps_at(share) - (0 if lane is None else lane.done)
        return max(left, 0) * (pace if lane is None or lane.done < FEWEST else lane.pace)

    def score(self, share: float, *, seed: int, quick: bool = False) -> Score | None:
        """After a share of the training on a seed; None where it cannot be scored or the time is up.

        A training that diverged answers as the best constant does.

        Args:
            share: of its steps.
            seed: of the training.
            quick: on a few of the validation rows, where scoring takes as long as training does.
        """
        steps, quick = self.steps_at(share), quick and self.few is not None
        if (seed, steps, quick) not in self.scores:
            lane = self.lanes[seed] = self.lanes.get(seed) or Lane(self.twin(seed))
            lane.advance(steps - lane.done, budget=self.budget)
            if lane.done < steps and not lane.lost:
                return None
            self.scores[seed, steps, quick] = self.judged(lane, quick)
        return self.scores[seed, steps, quick]

    def judged(self, lane: "Lane | Seat", quick: bool) -> Score | None:
        """The score of a training as it is now."""
        twin, constant = lane.twin, self.constant
        if quick:
            assert self.few is not None
            rows = twin.validation.rows
            twin = replace(twin, validation=twin.validation.like(rows=spread(rows, self.few)))
            constant = None if constant is None else constant.at(spaced(len(rows), self.few))
        found = None if lane.lost else score_of(twin, lane.network, rows=self.rows)
        if found is None:
            return constant
        return found.balanced() if self.balanced else found

    @property
    def drops(self) -> bool:
        """Whether the network drops something in training."""
        return any(noise.p > 0 for noise in noises(self.bench.network))

    def knows(self, seed: int) -> bool:
        """Whether it was begun on a seed."""
        return seed in self.lanes or any(own == seed for own, *_ in self.scores)

    def with_changes(self, changes: Sequence[Change]) -> "Arm":
        """Another arm with these changes besides."""
        head = None if any(change.network is not None or change.loss is not None for change in changes) else self.head
        made = (*self.changes, *changes)
        return replace(self, changes=made, lanes={}, scores={}, feeders=None, head=head)

    def forget(self) -> None:
        """Frees the memory of its trainings; what they scored stays known."""
        self.lanes.clear()

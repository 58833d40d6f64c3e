"""The search for changes, on trainings whose course is known."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
import torch

from thalweg.fix.change import Change, joined
from thalweg.fix.search import MARKS, Search, wanted_of
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget

ROWS = 500
STEPS = 1000


@dataclass
class Course:
    """A training that ends at a score and is half-way there after a share of its steps, with luck that a seed has."""

    end: float
    half: float = 0.05
    luck: float = 0.0

    def at(self, share: float, seed: int) -> float:
        draw = torch.Generator().manual_seed(seed % 2**31)
        return self.end * share / (share + self.half) + self.luck * float(torch.randn(1, generator=draw))


def score(value: float, seed: int) -> Score:
    draw = torch.Generator().manual_seed(7)
    return Score("accuracy", (torch.rand(ROWS, generator=draw) < value).double(), 0.1)


@dataclass
class Arm:
    """As `thalweg.fix.arm.Arm`, of such a course."""

    courses: dict[tuple[str, ...], Course]
    budget: Budget
    changes: tuple[Change, ...] = ()
    spent: dict[tuple[tuple[str, ...], int], float] = field(default_factory=dict)
    num_steps: int = STEPS
    drops: bool = False

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(sorted(change.name for change in self.changes))

    def seconds_to(self, share: float, seed: int, pace: float) -> float:
        return max(share - self.spent.get((self.names, seed), 0.0), 0.0) * STEPS * pace

    def score(self, share: float, *, seed: int, quick: bool = False) -> Score:
        self.spent[self.names, seed] = max(share, self.spent.get((self.names, seed), 0.0))
        return score(self.courses[self.names].at(share, seed), seed)

    def with_changes(self, changes: list[Change]) -> "Arm":
        return replace(self, changes=(*self.changes, *changes))

    def knows(self, seed: int) -> bool:
        return (self.names, seed) in self.spent

    def seat(self, seeds: list[int], share: float) -> None:
        """They go one by one here."""

    def forget(self, **_: Any) -> None:
        """Nothing is kept."""


def changes(*names: str, causes: tuple[str, ...] = ()) -> list[Change]:
    return [Change(name, name, {f"{name}": 1}, causes=causes) for name in names]


def search(courses: dict[tuple[str, ...], Course], *, alarms: tuple[str, ...] = (), seconds: float = 100.0) -> Search:
    control = Arm({(): Course(0.3, luck=0.01), **courses}, Budget(seconds))
    return Search(control, score(0.3, 0), 0.8, seed=0, pace=0.01, alarms=alarms)  # type: ignore[arg-type]


def test_a_good_first_change_is_taken_at_once():
    at = search({("a",): Course(0.9, luck=0.01), ("b",): Course(0.95)})
    best, effect = at.run(changes("a", "b"))
    assert best.names == ("a",)  # type: ignore[attr-defined]
    assert effect is not None
    assert effect.real
    spent = at.control.spent  # type: ignore[attr-defined]
    assert not any(names == ("b",) for names, _ in spent)
    assert sum(spent.values()) < 1.0  # trainings, the fresh seeds of both arms included


def test_the_best_of_several_is_found():
    courses = {(name,): Course(end) for name, end in (("a", 0.3), ("b", 0.25), ("c", 0.75), ("d", 0.5), ("e", 0.2))}
    best, _ = search(courses).run(changes("a", "b", "c", "d", "e"))
    assert best.names == ("c",)  # type: ignore[attr-defined]


def test_a_second_cause_is_mended_on_top_of_the_first():
    courses = {("a",): Course(0.5), ("b",): Course(0.3), ("a", "b"): Course(0.9)}
    at = search(courses, alarms=("input_scale", "lr_too_low"))
    best, effect = at.run([*changes("a", causes=("input_scale",)), *changes("b", causes=("lr_too_low",))])
    assert best.names == ("a", "b")  # type: ignore[attr-defined]
    assert effect is not None
    assert effect.low > 0


def test_a_quick_start_alone_is_no_gain():
    """At first far above the control at the same step, and never above what the control reached in the end."""
    courses = {("quick",): Course(0.29, half=0.001)}
    at = search(courses)
    at.control.courses[()] = Course(0.3, half=5.0)  # type: ignore[attr-defined]
    best, effect = at.run(changes("quick"))
    assert best is at.control
    assert effect is None


def test_a_gain_by_luck_of_the_seed_is_not_accepted():
    at = search({("lucky",): Course(0.3, luck=0.0)})
    lucky = at.control.courses["lucky",]  # type: ignore[attr-defined]
    plain = lucky.at
    lucky.at = lambda share, seed: 0.9 if seed == 0 else plain(share, seed)  # type: ignore[method-assign]
    best, effect = at.run(changes("lucky"))
    assert best is at.control
    assert effect is None
    assert "not shown on other seeds" in at.tried[0].reason


@pytest.mark.parametrize("seconds", [0.01, 1.0])
def test_without_time_nothing_is_accepted_and_it_is_said(seconds: float):
    at = search({("a",): Course(0.9)}, seconds=seconds)
    best, _ = at.run(changes("a"))
    assert best is at.control
    assert "no time was left" in at.tried[0].reason


def test_a_slow_change_is_followed_to_the_end():
    """Nothing is to be seen of it in the first quarter."""
    at = search({("slow",): Course(0.3)})
    course = at.control.courses["slow",]  # type: ignore[attr-defined]
    course.at = lambda share, seed: 0.1 if share <= MARKS[-1] else 0.9  # type: ignore[method-assign]
    best, _ = at.run(changes("slow"))
    assert best.names == ("slow",)  # type: ignore[attr-defined]


def test_what_is_wanted():
    own = score(0.3, 0)
    assert wanted_of(own, None) == pytest.approx(0.1 + 0.8 * 0.9)
    assert wanted_of(own, 0.6) == 0.6
    assert wanted_of(own, 0.99) == wanted_of(own, None)


def test_faults_that_hide_each_other_are_mended_at_once():
    """Neither change gains anything alone."""
    courses = {("a",): Course(0.3), ("b",): Course(0.3), ("c",): Course(0.3), ("a+b",): Course(0.9)}
    at = search(courses)
    at.combine = lambda given: [joined(given[0], given[1])]
    best, effect = at.run(changes("a", "b", "c"))
    assert best.names == ("a+b",)  # type: ignore[attr-defined]
    assert effect is not None
    assert effect.real

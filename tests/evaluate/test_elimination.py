"""Arms dropped seed by seed: no more errors than promised, and fewer trainings."""

import math

import numpy as np
import pytest

from thalweg.evaluate.comparison import compare_arms
from thalweg.evaluate.elimination import Elimination


def contest(generator: np.random.Generator, losses: list[float], *, overlap: float = 0.0, most: int = 20):
    """Arms whose loss has these means; what a seed does to all alike has the larger deviation."""
    names = [str(k) for k in range(len(losses))]
    race = Elimination(names, higher_is_better=False, most=most, overlap=overlap)
    shared = generator.normal(scale=math.sqrt(overlap / 2), size=len(losses))
    while not race.decided:
        alike = generator.normal(scale=3.0)
        drawn = generator.normal(scale=math.sqrt(0.5), size=len(losses))  # a difference has deviation 1
        race.add(dict(zip(names, np.array(losses) + alike + drawn + shared, strict=True)))
    return race


def promised(wrong: int, runs: int) -> bool:
    return wrong / runs <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / runs)


@pytest.mark.parametrize(("num_arms", "overlap"), [(2, 0.0), (2, 0.25), (5, 0.0)])
def test_equals_are_seldom_dropped(num_arms, overlap):
    generator, runs = np.random.default_rng(num_arms), 500
    ended = [contest(generator, [0.0] * num_arms, overlap=overlap) for _ in range(runs)]
    assert promised(sum(bool(race.dropped) for race in ended), runs)
    spent = np.mean([race.trainings for race in ended]) / (20 * num_arms)
    assert spent < 0.55  # given up as soon as more seeds are of no use


def test_the_worse_are_dropped_and_the_best_stay():
    generator, runs = np.random.default_rng(1), 200
    ended = [contest(generator, [0.0, 0.0, 2.0, 3.0]) for _ in range(runs)]
    assert promised(sum("0" in race.dropped or "1" in race.dropped for race in ended), runs)
    assert np.mean([set(race.active) == {"0", "1"} for race in ended]) > 0.9
    assert np.mean([race.dropped.get("3", 20) for race in ended]) < np.mean([race.dropped["2"] for race in ended])
    assert np.mean([race.trainings for race in ended]) < 0.5 * 80
    assert str(ended[0]) == f"{ended[0].trainings} of 80 trainings"


def test_what_it_drops_is_what_the_comparison_calls_real():
    generator, dropped = np.random.default_rng(2), 0
    for _ in range(20):
        race = contest(generator, [0.0, 0.3, 1.5, 2.5])
        filled = {arm: [*values, *[None] * (race.seeds - len(values))] for arm, values in race.values.items()}
        found = compare_arms(filled, measure="loss", higher_is_better=False, seeds=range(race.seeds), test="anytime")
        assert {d.worse for d in found.differences if d.real} == set(race.dropped)
        dropped += len(race.dropped)
    assert dropped > 20


def test_an_arm_without_values_is_dropped_and_not_the_last():
    race = Elimination(["a", "b", "c"], higher_is_better=True, most=10)
    gone = [race.add({"a": 0.5, "b": None, "c": 0.5 + k / 100}) for k in range(3)]
    assert gone == [[], [], ["b"]]
    assert (race.active, race.dropped, race.trainings) == (["a", "c"], {"b": 3}, 9)
    race.add({"a": None, "c": 0.4})  # one that is missing alone is not counted
    assert race.tests["a", "c"].count == 3
    none = Elimination(["a", "b"], higher_is_better=True, most=4)
    for _ in range(4):
        assert not none.decided
        assert none.add({"a": None, "b": None}) == []
    assert none.decided


def test_the_best_is_that_of_the_direction():
    for higher, best in ((True, "a"), (False, "b")):
        race = Elimination(["a", "b"], higher_is_better=higher, most=10)
        for k in range(7):
            race.add({"a": 0.9 + k / 1000, "b": 0.1 + (k % 3) / 100})
        assert (race.best, race.active) == (best, [best])
        assert race.decided

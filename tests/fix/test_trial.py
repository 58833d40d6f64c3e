"""Gains on fresh seeds: the interval, and how often a change that gains nothing is accepted."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from scipy import stats

from thalweg.fix.trial import Effect, effect_of, fresh, looks, trial
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget


def scores(values: list[float], rows: int = 400) -> list[Score]:
    """Scores with such means, of rows that differ little: seeds decide."""
    return [Score("r2", torch.full((rows,), value, dtype=torch.float64), 0.0) for value in values]


def test_the_interval_is_students(monkeypatch: pytest.MonkeyPatch):
    before, after = [0.1, 0.2, 0.15], [0.5, 0.7, 0.55]
    found = effect_of(list(zip(scores(before), scores(after), strict=True)), share=0.5, level=0.005)
    low, high = stats.t.interval(0.99, 2, np.mean(np.subtract(after, before)), stats.sem(np.subtract(after, before)))
    assert found.low == pytest.approx(low)
    assert found.high == pytest.approx(high)
    assert found.mean == pytest.approx(np.mean(np.subtract(after, before)))


def test_rows_that_say_little_widen_it():
    generator = torch.Generator().manual_seed(0)
    before = Score("accuracy", (torch.rand(50, generator=generator) > 0.5).double(), 0.5)
    after = Score("accuracy", (torch.rand(50, generator=generator) > 0.45).double(), 0.5)
    found = effect_of([(before, after)] * 3, share=1.0, level=0.005)  # seeds that agree exactly
    gain = after.each - before.each
    assert found.high - found.mean == pytest.approx(2 * float(gain.std()) / math.sqrt(50))


def nothing_gained(kind: str, draw: np.random.Generator, shares: int, seeds: int) -> np.ndarray:
    """`[shares, seeds]` differences of mean 0; those of a seed have much in common from one share to the next."""
    if kind == "either fails":  # by chance and alike with and without the change: deep, narrow networks that die
        fails = draw.random((2, seeds)) < 0.5
        apart = 0.8 * (fails[0].astype(float) - fails[1])
        return np.stack([apart + 0.01 * draw.normal(size=seeds) for _ in range(shares)])
    new = {
        "normal": lambda: draw.normal(size=seeds),
        "heavy tails": lambda: draw.standard_t(3, size=seeds),
        "skewed to the right": lambda: draw.exponential(size=seeds) - 1,
    }[kind]
    found = [new()]
    for _ in range(shares - 1):
        found.append(0.7 * found[-1] + math.sqrt(1 - 0.49) * new())
    return np.stack(found)


@pytest.mark.parametrize("shares", [[0.25], [0.125, 0.25], [1 / 32, 1 / 16, 1 / 8]])
@pytest.mark.parametrize("kind", ["normal", "heavy tails", "skewed to the right", "either fails"])
def test_a_change_that_gains_nothing_is_seldom_accepted(kind: str, shares: list[float]):
    """Over all looks together at most 5 %."""
    draw = np.random.default_rng(0)
    plan = looks(shares)
    most = max(count for _, count, _ in plan)
    limits = [stats.t.ppf(1 - level, count - 1) for _, count, level in plan]
    repetitions, accepted = 4000, 0
    for _ in range(repetitions):
        gains = nothing_gained(kind, draw, len(shares), most)
        for limit, (share, count, _) in zip(limits, plan, strict=True):
            values = gains[shares.index(share), :count]
            if values.mean() > limit * values.std(ddof=1) / math.sqrt(count):
                accepted += 1
                break
    assert accepted / repetitions <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repetitions)


@dataclass
class Known:
    """An arm whose scores are known beforehand, by share and seed; it notes how many were asked for."""

    values: Callable[[float, int], float]
    asked: set[tuple[float, int]] = field(default_factory=set)
    budget: Budget = field(default_factory=lambda: Budget(60.0))
    drops: bool = True  # so that nothing is seated

    def seconds_to(self, share: float, seed: int, pace: float) -> float:
        return 0.0

    def score(self, share: float, *, seed: int, quick: bool = False) -> Score:
        self.asked.add((share, seed))
        return scores([self.values(share, seed)])[0]

    def forget(self) -> None:
        """Nothing is kept."""


def run_trial(gain: Callable[[float, int], float]) -> tuple[Effect | None, Known]:
    """A trial whose `k`-th fresh seed gains `gain(share, k)`."""
    order = {seed: k for k, seed in enumerate(fresh(0, 8))}
    control, changed = Known(lambda _share, _seed: 0.1), Known(lambda share, seed: 0.1 + gain(share, order[seed]))
    return trial(control, changed, shares=[0.1, 0.2], seed=0, pace=0.0), changed  # type: ignore[arg-type]


def test_a_gain_far_above_its_spread_takes_three_seeds():
    effect, changed = run_trial(lambda _share, k: 0.5 + 0.02 * (-1) ** k)
    assert effect is not None
    assert effect.real
    assert (effect.seeds, effect.share) == (3, 0.1)
    assert len(changed.asked) == 3


def test_a_gain_that_is_unclear_at_first_is_looked_at_further_on_then_on_more_seeds():
    deeper, _ = run_trial(lambda share, k: 0.5 + 0.02 * (-1) ** k if share > 0.1 else 0.4 * (-1) ** k)
    assert deeper is not None
    assert deeper.real
    assert (deeper.seeds, deeper.share) == (3, 0.2)
    more, changed = run_trial(lambda _share, k: 0.1 + 0.06 * (-1) ** k)
    assert more is not None
    assert more.real
    assert (more.seeds, more.share) == (6, 0.2)
    assert {(0.1, seed) for seed in fresh(0, 4)} <= changed.asked


def test_a_loss_beyond_doubt_ends_a_trial():
    effect, changed = run_trial(lambda _share, k: -0.5 + 0.02 * (-1) ** k)
    assert effect is not None
    assert effect.high < 0
    assert len(changed.asked) == 3


def test_two_effects_add_up():
    first = effect_of(list(zip(scores([0.1, 0.2, 0.15]), scores([0.5, 0.7, 0.55]), strict=True)), share=0.1, level=0.01)
    second = effect_of(list(zip(scores([0.5, 0.7, 0.6]), scores([0.8, 0.9, 0.85]), strict=True)), share=0.3, level=0.01)
    both = second.after_another(first)
    assert both.mean == pytest.approx(first.mean + second.mean)
    assert both.high - both.mean == pytest.approx(math.hypot(first.high - first.mean, second.high - second.mean))
    assert both.share == 0.3
    assert (both.after, both.seeds) == (second.after, 3)

"""Many arms, seed by seed: the worse are dropped once that is shown; it ends when nothing is left to decide."""

from collections.abc import Mapping, Sequence
from itertools import combinations
from statistics import fmean

from thalweg.evaluate.paired import holm
from thalweg.evaluate.sequential import FUTILE, LEVEL, MOST, Sequential

LOST = 3  # trainings without any value after which an arm is dropped


class Elimination:
    """Which arms go on to the next seed.

    Each pair of arms has an anytime-valid test (`Sequential`). After each seed Holm's procedure over all pairs says
    which differences are shown; an arm that is worse than another one is dropped. All pairs count, not those with the
    best alone, which the same values chose. Holm's argument holds at every look at once: before the first false step
    only true differences were shown, so each of the m true equalities was held to level / m or less, and one of them
    is ever below that with a probability of `level` at most.

    Args:
        arms: their names, two at least.
        higher_is_better: which way the measure improves.
        most: seeds at most.
        smallest: the smallest difference of interest, as for `Sequential`.
        level: probability that any arm is dropped among equals.
        overlap: as for `Sequential`.

    Source: Even-Dar, Mannor and Mansour 2006 for successive elimination; Holm 1979.

    >>> race = Elimination(["relu", "gelu", "sigmoid"], higher_is_better=True, most=10)
    >>> for k in range(7):
    ...     dropped = race.add({"relu": 0.9 + k % 2 / 100, "gelu": 0.9 + k % 3 / 100, "sigmoid": 0.5 + k % 4 / 100})
    >>> race.active, race.dropped, race.decided
    (['relu', 'gelu'], {'sigmoid': 7}, True)
    >>> print(race)
    21 of 30 trainings
    """

    def __init__(
        self,
        arms: Sequence[str],
        *,
        higher_is_better: bool,
        most: int = MOST,
        smallest: float | None = None,
        level: float = LEVEL,
        overlap: float = 0.0,
    ) -> None:
        self.sign, self.level, self.most = 1.0 if higher_is_better else -1.0, level, most
        self.active = list(arms)
        self.dropped: dict[str, int] = {}  # after how many seeds
        self.values: dict[str, list[float | None]] = {arm: [] for arm in arms}
        self.tests = {
            pair: Sequential(most=most, smallest=smallest, overlap=overlap) for pair in combinations(self.active, 2)
        }

    @property
    def seeds(self) -> int:
        return max(map(len, self.values.values()))

    @property
    def trainings(self) -> int:
        """How many were made; `most` for each arm would be the full number."""
        return sum(map(len, self.values.values()))

    def add(self, values: Mapping[str, float | None]) -> list[str]:
        """The values of the active arms under one more seed.

        Args:
            values: by arm; None for one that has none.

        Returns:
            The arms that it drops.
        """
        for arm in self.active:
            self.values[arm].append(values[arm])
        for (first, second), test in self.tests.items():
            a, b = values.get(first), values.get(second)
            if first in self.active and second in self.active and a is not None and b is not None:
                test.add(self.sign * (a - b))
        corrected = holm([test.p for test in self.tests.values()])
        shown = [pair for pair, p in zip(self.tests, corrected, strict=True) if p <= self.level]
        worse = {pair[1] if self.tests[pair].mean > 0 else pair[0] for pair in shown}
        gone = [arm for arm in self.active if arm in worse or self.lost(arm)]
        if len(gone) < len(self.active):  # all lost: they stay, and what is known of them is that
            self.active = [arm for arm in self.active if arm not in gone]
            self.dropped |= dict.fromkeys(gone, self.seeds)
            return gone
        return []

    def lost(self, arm: str) -> bool:
        values = self.values[arm]
        return len(values) >= LOST and all(value is None for value in values)

    @property
    def best(self) -> str:
        """Of the active arms the one that is best on average, under the seeds that it has a value for."""

        def mean(arm: str) -> float:
            known = [value for value in self.values[arm] if value is not None]
            return self.sign * fmean(known) if known else -float("inf")

        return max(self.active, key=mean)

    @property
    def decided(self) -> bool:
        """Whether more seeds are of no use: one arm is left, each is equivalent to the best or its chance is low."""
        return self.seeds >= self.most or all(self.settled(arm) for arm in self.active if arm != self.best)

    def settled(self, arm: str) -> bool:
        pair = (arm, self.best) if (arm, self.best) in self.tests else (self.best, arm)
        test, open_pairs = self.tests[pair], len(self.active) * (len(self.active) - 1) // 2
        return test.decided == "equivalent" or test.chance(self.level / open_pairs) < FUTILE

    def __str__(self) -> str:
        return f"{self.trainings} of {len(self.values) * self.most} trainings"

"""The grid of a rate race: which constant rates were tried, which to try next, and what follows from them."""

import math
import time
from dataclasses import dataclass

import torch

from thalweg.errors import TrainingError
from thalweg.parts.optimizers import Optimizer
from thalweg.probes.course import SCORED_AT, Course, Lane, scored_form
from thalweg.probes.student import Difference, paired
from thalweg.readings import Reading
from thalweg.train.clone import clone

STEPS = (24, 200)  # of a long lane
SHORT = 4  # a short lane takes a quarter of that,
SHORTEST = 8  # but at least so many
SHORT_LANES, LONG_LANES = 7, 6  # in a usual race
SEEDS = 3
WIDENED = 4  # times half a decade at each edge
MOVED = 0.99  # of the loss at the start: a rate that gets below it may be followed further
FURTHEST = 1e-12
NEAR = 0.6  # decades from the best: rates that run again with other orders
WIDTH = 0.3  # decades: of the kernel that smooths the curve
LONGER = 4  # times the steps, before it is said that nothing can be learned
CHANCE = 0.025  # of a false "learnable", for each of the two looks, all rates together
SMALL = 0.02  # of the constant answer's loss: an improvement as large must be excluded to say "nothing learnable"


@dataclass(frozen=True)
class Race:
    """How a race ended.

    Args:
        rate: minimum of the smoothed curve of held-out loss over the rate.
        low: lowest rate that is not measurably worse than the best one.
        high: highest such rate.
        learnable: whether some rate does better on held-out rows than the best constant answer; False where it was
            shown that none does, None where that could not be told.
        readings: `race.loss` and `race.excess` (over the best) per rate, `race.rate`, `race.start`, `race.constant`,
            `race.learnable`, `race.steps`.
        text: one line for people: `"lr 0.003..0.02 → 0.008"`.
        steps: optimizer steps of all lanes.
        seconds: the time it took.
    """

    rate: float
    low: float
    high: float
    learnable: bool | None
    readings: tuple[Reading, ...]
    text: str
    steps: int
    seconds: float


class Grid:
    """The rates tried so far, and which to try next.

    A first, short round over half decades finds where to look; the long round there decides, because the best rate of
    a few steps is higher than that of many.

    Args:
        course: what the lanes share.
        optimizer: its kind decides where to begin.
        seconds: time to aim at.
        steps: of a lane; None times a try and finds out.
    """

    bounded = False  # whether the time must be kept to, at the cost of what can be said

    def __init__(self, course: Course, optimizer: Optimizer, seconds: float, *, steps: int | None = None) -> None:
        self.course = course
        self.own = None if optimizer.lr == "auto" else float(optimizer.lr)
        self.first = [round(2 * math.log10(rate)) for rate in optimizer.usual_rates]  # in half decades
        self.deadline = time.monotonic() + seconds
        self.short: dict[float, Lane] = {}
        self.long: dict[float, list[Lane]] = {}  # one lane per order
        self.longer: list[Lane] = []
        self.steps = steps or self._affordable(seconds, short=SHORT_LANES, long=LONG_LANES)

    def _affordable(self, seconds: float, *, short: int, long: int) -> int:
        """Steps of a long lane, such that so many lanes take `seconds`, from the lanes that ran so far or two tries."""
        course = self.course
        lanes = list(self.short.values())
        if not lanes:
            rate = 10 ** (self.first[0] / 2)
            course.run(rate, steps=3)  # warms up
            lanes = [course.run(rate, steps=SHORTEST)]
        started = time.monotonic()
        course.score(scored_form(clone(course.network)))
        rest = len(SCORED_AT) * (time.monotonic() - started) * (short + long)
        step_seconds = sum(lane.seconds for lane in lanes) / sum(lane.steps for lane in lanes)
        return int(min(max((seconds - rest) / (short / SHORT + long) / step_seconds, STEPS[0]), STEPS[1]))

    def run_short(self, half_decade: int) -> float:
        rate = 10 ** (half_decade / 2)
        if rate not in self.short:
            self.short[rate] = self.course.run(rate, steps=max(self.steps // SHORT, SHORTEST))
        return self.short[rate].score

    def run_long(self, rate: float, seed: int = 0) -> float:
        lanes = self.long.setdefault(rate, [])
        if len(lanes) == seed:
            lanes.append(self.course.run(rate, steps=self.steps, seed=seed))
        return lanes[seed].score

    def search(self) -> None:
        """The short round, the long one around its best, finer rates, other orders of rows."""
        best = self._search_short()
        self.steps = min(self.steps, self._affordable(self.deadline - time.monotonic(), short=0, long=LONG_LANES))
        for k in range(best - 2, best + 2):
            self.run_long(10 ** (k / 2))
        low, high = best - 2, best + 1
        while self.best() == 10 ** (low / 2) and low > best - 2 - WIDENED and self.goes_on():
            low -= 1
            self.run_long(10 ** (low / 2))
        while self.best() == 10 ** (high / 2) and high < best + 1 + WIDENED and self.goes_on():
            high += 1
            self.run_long(10 ** (high / 2))
        center = self.best()
        if self.own is not None:
            self.run_long(self.own)
        for rate in (center * 10**-0.25, center * 10**0.25):
            if time.monotonic() < self.deadline:
                self.run_long(rate)
        self._repeat(self.best())

    def goes_on(self, steps: int = 0) -> bool:
        """Whether there is time for so many steps more, or the time need not be kept to."""
        lanes = [lane for lanes in self.long.values() for lane in lanes]
        pace = sum(lane.seconds for lane in lanes) / sum(lane.steps for lane in lanes)
        return not self.bounded or time.monotonic() + steps * pace < self.deadline

    def _search_short(self) -> int:
        """The best of the short round, in half decades; wider where it is at an edge."""
        low, high = self.first
        scores: dict[int, float] = {}
        for k in range(low, high + 1):
            scores[k] = self.run_short(k)
            if scores[k] == scores.get(k - 1) == math.inf:
                break

        def best() -> int:
            return min(scores, key=lambda k: (scores[k], k))

        def leads(edge: int) -> bool:
            """Whether the search goes on beyond an edge: its rate is the best, and moves the loss or is not far yet."""
            moved = scores[edge] < MOVED * float(self.course.start.mean())
            return best() == edge and (moved or low - WIDENED < edge < high + WIDENED)

        while leads(edge := min(scores)) or scores[edge] == scores[best()] == math.inf:
            if 10 ** (edge / 2) < FURTHEST:
                raise TrainingError(
                    f"The loss is not finite after {self.steps} steps at any rate from {10 ** (edge / 2):.0e} to "
                    f"{10 ** (max(scores) / 2):.0e}. Check the scale of the inputs and the loss; `check()` says more."
                )
            scores[edge - 1] = self.run_short(edge - 1)
        while leads(edge := max(scores)):
            scores[edge + 1] = self.run_short(edge + 1)
        return best()

    def _repeat(self, best: float) -> None:
        """Runs the rates around the best, and the plan's own, with other orders while there is time."""
        near = [r for r in self.long if abs(math.log10(r / best)) < NEAR or r == self.own]
        round_seconds = 1.2 * sum(self.long[rate][0].seconds for rate in near)  # a fifth for copies and scores
        for seed in range(1, SEEDS):
            if time.monotonic() + round_seconds > self.deadline:
                return
            for rate in near:
                self.run_long(rate, seed)

    def best(self) -> float:
        """The rate of the long round with the lowest held-out loss, over the orders it ran."""
        return min(self.long, key=lambda rate: (self.mean(rate), rate))

    def mean(self, rate: float) -> float:
        lanes = self.long[rate]
        return sum(lane.score for lane in lanes) / len(lanes)

    def excess(self, rate: float) -> Difference:
        """How much worse a rate is than the best, paired over blocks and the orders that both ran."""
        best = self.best()
        if rate not in self.long:
            rival = self.short.get(best) or self.short[min(self.short, key=lambda r: abs(math.log(r / best)))]
            return paired((self.short[rate].scores - rival.scores)[None])
        pairs = zip(self.long[rate], self.long[best], strict=False)
        return paired(torch.stack([own.scores - other.scores for own, other in pairs]))

    def learnable(self) -> bool | None:
        """Whether some rate beats the best constant answer; before it is said that none does, the best run longer."""
        constant = self.course.constant
        if constant is None:
            return None
        gains = [paired(torch.stack([lane.scores for lane in lanes]) - constant) for lanes in self.long.values()]
        if any(gain.below < CHANCE / len(gains) for gain in gains):
            return True
        rates = sorted(self.long, key=self.mean)[:3]
        if not self.goes_on(len(rates) * LONGER * self.steps):
            return None
        self.longer = [self.course.run(rate, steps=LONGER * self.steps) for rate in rates]
        gains = [paired((lane.scores - constant)[None]) for lane in self.longer]
        if any(gain.below < CHANCE / len(gains) for gain in gains):
            return True
        smallest = -SMALL * abs(float(constant.mean()))
        return False if all(gain.low > smallest for gain in gains) else None

    def conclude(self, learnable: bool | None, seconds: float) -> Race:
        """The rate, its interval, and the readings."""
        excess = {rate: self.excess(rate) for rate in sorted({*self.short, *self.long})}
        best = self.best()
        start = float(self.course.start.mean())
        lost = not self.mean(best) < start  # or NaN: no rate helps
        rate = best if lost else smoothed_minimum({r: self.mean(r) for r in self.long}, start)
        low, high = span(sorted(excess), best, {r for r, e in excess.items() if e.low <= 0})
        low, high = min(low, rate), max(high, rate)
        if learnable is False or lost:
            rate = 10 ** (sum(self.first) / 4)  # nothing to go by: the middle of the usual rates
        race_text = f"lr {low:.2g}..{high:.2g} → {rate:.2g}"
        constant = None if self.course.constant is None else float(self.course.constant.mean())
        if learnable is False:
            lowest = min(lane.score for lane in self.longer)
            race_text = (
                f"nothing learnable at any rate: held-out loss {lowest:.4g}, a constant answer has {constant:.4g}"
            )
        return Race(
            rate, low, high, learnable, tuple(self._readings(excess, rate, low, high, learnable)), race_text,
            self.course.num_steps, seconds,
        )  # fmt: skip

    def _readings(
        self, excess: dict[float, Difference], rate: float, low: float, high: float, learnable: bool | None
    ) -> list[Reading]:
        course, count = self.course, self.course.count
        found = [
            Reading("race.rate", rate, low=low, high=high, count=len(excess)),
            Reading("race.steps", self.steps),
            Reading("race.start", float(course.start.mean()), count=count),
        ]
        for each, difference in excess.items():
            lanes = self.long.get(each) or [self.short[each]]
            own = paired(torch.stack([lane.scores for lane in lanes]))
            place, note = f"{each:.6g}", "diverged" if own.mean == math.inf else ""
            found.append(Reading("race.loss", own.mean, place, low=own.low, high=own.high, count=count, note=note))
            found.append(
                Reading("race.excess", difference.mean, place, low=difference.low, high=difference.high, count=count)
            )
        if course.constant is not None:
            constant = paired(course.constant[None])
            found.append(Reading("race.constant", constant.mean, low=constant.low, high=constant.high, count=count))
        if learnable is not None:
            found.append(Reading("race.learnable", float(learnable), count=count))
        found += [Reading("race.longer", lane.score, f"{lane.rate:.6g}", count=count) for lane in self.longer]
        return found


def span(rates: list[float], best: float, equal: set[float]) -> tuple[float, float]:
    """The stretch of rates around the best that are not measurably worse, to half the way to the next one that is.

    >>> span([0.001, 0.01, 0.1, 1.0], 0.01, {0.01, 1.0})
    (0.00316..., 0.0316...)
    """
    low = high = rates.index(best)
    while low > 0 and rates[low - 1] in equal:
        low -= 1
    while high < len(rates) - 1 and rates[high + 1] in equal:
        high += 1
    below, above = rates[max(low - 1, 0)], rates[min(high + 1, len(rates) - 1)]
    return math.sqrt(rates[low] * below), math.sqrt(rates[high] * above)


def smoothed_minimum(scores: dict[float, float], start: float) -> float:
    """Where the curve of the logarithm of the loss over the logarithm of the rate, smoothed, is lowest.

    At each point it is the parabola fitted with a Gaussian kernel, so that one lucky lane does not decide. Rates that
    diverged count as somewhat worse than the start. Losses that can be negative are not taken to logarithms.
    """
    finite = [score for score in scores.values() if score < math.inf]
    ceiling = max(start, min(finite))
    positive = min(finite) > 0
    x = torch.tensor([math.log10(rate) for rate in scores], dtype=torch.float64)
    top = ceiling * 1.5 if positive else ceiling + 0.5 * (ceiling - min(finite))
    y = torch.tensor([min(score, top) for score in scores.values()], dtype=torch.float64)
    y = y.log() if positive else y
    best = float(x[int(y.argmin())])
    grid = torch.linspace(best - 0.5, best + 0.5, 41, dtype=torch.float64)
    grid = grid[(grid >= float(x.min())) & (grid <= float(x.max()))]
    values = []
    for at in grid:
        powers = torch.stack([torch.ones_like(x), x - at, (x - at) ** 2], 1)
        weights = torch.exp(-0.5 * ((x - at) / WIDTH) ** 2).sqrt()
        values.append(torch.linalg.lstsq(powers * weights[:, None], (y * weights)[:, None]).solution[0])
    return float(10 ** grid[int(torch.cat(values).argmin())])

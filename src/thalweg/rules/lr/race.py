"""The race of rates, as the rules about the rate read it."""

from dataclasses import dataclass

from thalweg.findings import Evidence, Excluded, Remedy, Severity, Standing
from thalweg.readings import Reading, Readings
from thalweg.rules.outcome import evidence, removed
from thalweg.rules.trial import HALF, number
from thalweg.rules.twins import cannot_be_harmed, not_better

SHORTEST = 24  # steps of a race that says something of the training to come: of a shorter one even good rates look bad


@dataclass(frozen=True)
class Raced:
    """The plan's rate in the race.

    Args:
        plan: the plan's highest rate.
        rate: the race's choice with its interval.
        best: the lowest held-out loss of the race.
        own: held-out loss of the plan's rate after as many steps, from the same start on the same batches.
        excess: own minus best, paired over the rows.
        steps: how many steps.
        rates: all that were tried.
    """

    plan: float
    rate: Reading
    best: Reading
    own: Reading
    excess: Reading
    steps: int
    rates: tuple[float, ...] = ()

    @property
    def at_edge(self) -> bool:
        """Whether the best rate is the highest or the lowest that was tried."""
        return bool(self.rates) and float(self.best.place) in (min(self.rates), max(self.rates))

    @property
    def worse(self) -> bool:
        """Whether the plan's rate is measurably worse than the best."""
        return self.excess.value == float("inf") or (self.excess.low is not None and self.excess.low > 0)

    @property
    def too_high(self) -> bool:
        return self.rate.high is not None and self.plan > self.rate.high and self.worse

    @property
    def too_low(self) -> bool:
        return self.rate.low is not None and self.plan < self.rate.low and self.worse

    @property
    def range(self) -> str:
        return f"{short(self.rate.value)} ({short(self.rate.low)} to {short(self.rate.high)})"

    @property
    def remedy(self) -> Remedy:
        return at_rate(self.rate.value)

    @property
    def excluded(self) -> Excluded:
        return Excluded("data, loss or network", f"the same network learns at {short(self.rate.value)}")

    def evidence(self) -> tuple[Evidence, ...]:
        rows = f"held-out loss after {self.steps} steps"
        return (
            Evidence("rate of the plan", number(self.plan)),
            Evidence("best rate of the race", self.range),
            *evidence(f"{rows} at the plan's rate", self.own),
            *evidence(f"{rows} at the best rate", self.best),
        )


def raced(readings: Readings) -> Raced | None:
    """The race, where it was run with a rate that the plan had set; None where the race chose the rate."""
    plan, rate = readings.value("plan.rate"), readings.last("race.rate")
    losses = readings.of("race.loss")
    if plan is None or rate is None:
        return None
    own = [r for r in losses if abs(float(r.place) / plan - 1) < 1e-4]
    excess = [r for r in readings.of("race.excess") if own and r.place == own[-1].place]
    if not own or not excess:
        return None
    steps = int(readings.value("race.steps") or 0)
    rates = tuple(float(r.place) for r in losses)
    return Raced(plan, rate, best_of(readings, losses), own[-1], excess[-1], steps, rates)


def best_of(readings: Readings, losses: list[Reading]) -> Reading:
    """The loss of the rate that no other exceeds: its excess over the best is zero."""
    zero = {r.place for r in readings.of("race.excess") if r.value == 0}
    return min(
        (r for r in losses if r.place in zero), key=lambda r: r.value, default=min(losses, key=lambda r: r.value)
    )


def severity_of(found: Raced, reached: Reading | None, readings: Readings, name: str) -> Severity:
    """A warning, unless the training shows that the rate does not matter so much.

    A note where it has learned at least half of what the short race shows to be learnable, where a twin at another rate
    is not better, or where nothing could be so much better: the training reaches its goal, later.
    """
    if reached is not None and (cannot_be_harmed(readings) or not_better(readings, name)):
        return "note"
    share = None if reached is None else removed(readings, reached.value)
    possible = removed(readings, found.best.value)
    return "note" if share is not None and possible is not None and share >= HALF * possible else "warning"


def standing_of(reached: Reading | None, readings: Readings) -> Standing:
    """Verified by the race before the training; after it a twin must show the harm, wherever one can be scored."""
    return "suspicion" if reached is not None and "twin.plain" in readings else "verified"


def at_rate(rate: float) -> Remedy:
    """The remedy: this rate."""
    text = f"Train at {short(rate)}, or leave the rate to the race."
    return Remedy(text, "changes training", {"optimizer.lr": float(f"{rate:.2g}")})


def sharpness(readings: Readings) -> tuple[Evidence, ...]:
    """The largest curvature beside the one at which the plan's steps are still stable."""
    found, limit = readings.last("curvature.sharpness"), readings.last("curvature.limit")
    if found is None or limit is None or limit.note:  # with batch norm the limit says little
        return ()
    return evidence("largest curvature of the loss at the end", found, f"{number(limit.value)} for stable steps")


def short(value: float | None) -> str:
    return "?" if value is None else f"{value:.2g}"

"""What a loop lost against its twin: the same network trained on the rows seen by a loop as it is usually written."""

from thalweg.findings import Evidence, Excluded
from thalweg.readings import Readings
from thalweg.rules.harm import SHARE, Harm, harm
from thalweg.rules.loop.order import in_order
from thalweg.rules.trial import number

MOST = 0.5  # of the watched steps: what happens in more of them is how the loop is
EARLY = 0.5  # of the steps: a rate that has vanished by then leaves half of the training without any
MISSED = 0.01  # of the squared gradient norm: less is no loss worth a word


def asks_for_twin(readings: Readings) -> bool:
    """Whether anything was seen of which only a twin can tell what it costs."""
    low = readings.value("loop.low_rate")
    return (
        over(readings, "loop.stale", MOST)
        or (readings.value("loop.descent") or 1.0) < MOST
        or readings.value("loop.descent") == 0.0
        or "loop.reported" in readings
        or over(readings, "loop.missed", MISSED)
        or "loop.clipped_scaled" in readings
        or over(readings, "loop.eval_training", MOST)
        or in_order(readings)
        or (low is not None and low <= EARLY)
    )


def over(readings: Readings, name: str, limit: float) -> bool:
    value = readings.value(name)
    return value is not None and value > limit


def repaired(readings: Readings) -> Harm | None:
    """The twin, where one was trained."""
    return harm(readings, "plain_loop")


def lines(found: Harm | None, remedy: str) -> tuple[Evidence, ...]:
    """Evidence of the twin; nothing where there is none or it is not better."""
    if found is None or not found.harmed:
        return ()
    low, high = found.difference.low or 0.0, found.difference.high or 0.0
    return (
        Evidence(
            f"{found.plain.note} of the last weights on rows seen",
            number(found.plain.value),
            f"{SHARE:g} of what the twin reaches beyond {number(found.constant)}",
        ),
        Evidence(f"the same of a twin, {remedy}, not trained on these rows", number(found.changed.value)),
        Evidence(
            f"difference on {found.difference.count} rows",
            f"{number(found.difference.value)} ({number(low)} to {number(high)})",
            "above 0 by two standard errors",
        ),
    )


def excluded(found: Harm | None) -> tuple[Excluded, ...]:
    """What the twin rules out."""
    if found is None or not found.harmed:
        return ()
    return (
        Excluded("network, loss, data", "the same network learns these rows with the same loss in a usual loop"),
        Excluded("chance", "two paired standard errors over the rows"),
    )

"""Whether rows come in the order of their labels, as several rules need to know."""

from thalweg.findings import Evidence
from thalweg.readings import Readings
from thalweg.rules.trial import number

LEVEL = -6.0  # log10 of the chance that shuffled rows differ so much between batches: never in a million loops
EFFECT = 0.3  # Cramér's V: 0 for shuffled rows, 1 where each batch has labels of its own


def in_order(readings: Readings) -> bool:
    """Whether labels differ between batches more than any shuffling makes them."""
    found = readings.last("loop.order")
    return found is not None and found.value > EFFECT and float(found.note) < LEVEL


def evidence(readings: Readings) -> tuple[Evidence, ...]:
    found = readings.last("loop.order")
    if found is None:
        return ()
    what = f"difference of labels between {found.count} batches (Cramér's V)"
    return (
        Evidence(what, number(found.value), f"{EFFECT:g}"),
        Evidence("its chance, were rows shuffled", f"10^{float(found.note):.0f}", f"10^{LEVEL:.0f}"),
    )

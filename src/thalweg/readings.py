"""Readings: what was measured. They are made in `measure`, `train` and `probes`, judged in `rules`, drawn in `show`."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reading:
    """One measured quantity.

    Args:
        name: what was measured, in dotted words: `"loss.initial"`, `"activation.dead"`.
        value: the number; may be NaN or infinite, which is kept.
        place: the layer, parameter or column it belongs to; empty for the whole network.
        step: the number of optimizer steps taken before; None before the first step.
        low: lower end of the 95 % interval, where one is known.
        high: upper end of the 95 % interval.
        count: how many samples stand behind the value.
        note: what a number cannot say: the kind of a layer, the name of an operation.

    >>> Reading("loss.initial", 2.31, low=2.27, high=2.35, count=512).value
    2.31
    """

    name: str
    value: float
    place: str = ""
    step: int | None = None
    low: float | None = None
    high: float | None = None
    count: int | None = None
    note: str = ""


class Readings:
    """Readings in the order they were made, found by name and place.

    >>> readings = Readings([Reading("loss", 2.0, step=0), Reading("loss", 1.5, step=10)])
    >>> readings.value("loss"), len(readings.of("loss"))
    (1.5, 2)
    """

    def __init__(self, readings: Iterable[Reading] = ()) -> None:
        self._by_name: dict[str, list[Reading]] = {}
        self.extend(readings)

    def add(self, reading: Reading) -> None:
        self._by_name.setdefault(reading.name, []).append(reading)

    def extend(self, readings: Iterable[Reading]) -> None:
        for reading in readings:
            self.add(reading)

    def of(self, name: str, place: str | None = None) -> list[Reading]:
        """All readings of a name, at one place or at all."""
        found = self._by_name.get(name, [])
        return list(found) if place is None else [r for r in found if r.place == place]

    def last(self, name: str, place: str | None = None) -> Reading | None:
        """The newest reading of a name."""
        found = self.of(name, place)
        return found[-1] if found else None

    def value(self, name: str, place: str | None = None) -> float | None:
        """The value of the newest reading of a name."""
        found = self.last(name, place)
        return None if found is None else found.value

    def places(self, name: str) -> list[str]:
        """The places where a name was measured, in order of their first reading."""
        return list(dict.fromkeys(r.place for r in self._by_name.get(name, [])))

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[Reading]:
        for found in self._by_name.values():
            yield from found

    def __len__(self) -> int:
        return sum(map(len, self._by_name.values()))

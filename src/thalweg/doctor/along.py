"""Findings while the training goes on: rules that need not wait for its end judge at ends of epochs, from the store."""

import time
from collections.abc import Iterable, Sequence

from thalweg.doctor.ignore import Wishes
from thalweg.events import EpochEnded, Event, FindingRaised, Listener
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all
from thalweg.store import Store, Writer

SHARE = 0.003  # of the training's time that this may take; watching as a whole may take 1 %
READ = ("race.", "plan.", "loss.", "data.train_rows", "train.batch_loss", "nonfinite.", "activation.dead")
BATCHES = 3  # watched in a row in which a layer was dead
ENOUGH = 1000  # rows of these, or as many as there are: what ACT03 asks for at the end


class Along:
    """A listener that judges at the end of an epoch, and tells each alarm once per rule and place.

    It reads the store and changes nothing. The next look waits until what the last one took is a small share of the
    time gone by.

    Args:
        store: of the run.
        writer: whose waiting readings are written first.
        wishes: what is judged and ignored.
        listeners: are told each new finding.
    """

    def __init__(self, store: Store, writer: Writer, wishes: Wishes, listeners: Sequence[Listener]) -> None:
        self.store, self.writer, self.wishes, self.listeners = store, writer, wishes, listeners
        self.told: set[tuple[str, str]] = set()
        self.rules = [rule for rule in all_rules() if rule.along]
        self._next = 0.0  # the time of the next look

    def __call__(self, event: Event) -> None:
        if not isinstance(event, EpochEnded) or time.monotonic() < self._next:
            return
        started = time.monotonic()
        self.writer.flush()
        readings = self.store.readings(*READ)
        readings.extend(lost_layers(readings))
        judged = judge_all(readings, self.rules)
        self.raise_new(self.wishes.kept(judged.findings)[0])
        self._next = time.monotonic() + (time.monotonic() - started) / SHARE

    def raise_new(self, findings: Iterable[Finding]) -> None:
        """Tells the alarms that were not told yet."""
        for finding in findings:
            if finding.counts and (finding.code, finding.place) not in self.told:
                self.told.add((finding.code, finding.place))
                for listener in self.listeners:
                    listener(FindingRaised(finding))


def lost_layers(readings: Readings) -> list[Reading]:
    """`units.dead` of 1 for layers of which every unit was 0 for all rows of the last watched batches.

    >>> dead = [Reading("activation.dead", 1.0, "relu", step, count=500) for step in (8, 16, 32)]
    >>> lost_layers(Readings(dead))[0].count
    1500
    """
    rows = readings.value("data.train_rows")
    enough = ENOUGH if rows is None else min(ENOUGH, rows)
    found = []
    for place in readings.places("activation.dead"):
        last = readings.of("activation.dead", place)[-BATCHES:]
        count = sum(r.count or 0 for r in last)
        if len(last) == BATCHES and all(r.value == 1 for r in last) and count >= enough:
            found.append(Reading("units.dead", 1.0, place, last[-1].step, count=count))
    return found

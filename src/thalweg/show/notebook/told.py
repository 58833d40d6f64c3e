"""What a training has told so far. It stays small, however long that is: some dozen rows, curves of 600 points."""

import math
from dataclasses import dataclass, field

from thalweg.events import Decided, EpochEnded, Event, FindingRaised, Progress, RunEnded, RunStarted, StageEnded
from thalweg.findings import Finding
from thalweg.show.charts import Series
from thalweg.show.charts.thin import thin
from thalweg.show.epochs import worth_a_row
from thalweg.show.findings import alike
from thalweg.show.pace import Pace

POINTS = 600  # of a curve


class Trace:
    """A growing curve in bounded memory; where it is thinned, every spike stays."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.x: list[float] = []
        self.y: list[float] = []

    def add(self, x: float, y: float) -> None:
        self.x.append(x)
        self.y.append(y)
        if len(self.x) > POINTS:
            points = [point or (math.nan, math.nan) for point in thin(self.x, self.y, POINTS // 2)]
            self.x, self.y = [x for x, _ in points], [y for _, y in points]

    @property
    def series(self) -> Series:
        return Series(self.name, self.x, self.y)


@dataclass
class Told:
    """The events of one training, as far as they are still shown."""

    started: RunStarted | None = None
    stages: list[StageEnded] = field(default_factory=list)
    decisions: list[Decided] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    progress: Progress | None = None
    looks: int = 0  # how often progress was told
    left: str = ""  # how long it still takes
    epochs: int = 0  # how many have ended
    rows: dict[int, EpochEnded] = field(default_factory=dict)  # epochs worth a row
    best: EpochEnded | None = None
    newest: EpochEnded | None = None
    ended: RunEnded | None = None
    closed: bool = False  # nothing more will be told

    def __post_init__(self) -> None:
        self.batches, self.train, self.validation = Trace("batches"), Trace("training"), Trace("validation")
        self.metric = Trace("validation")
        self.pace = Pace()

    def add(self, event: Event) -> None:
        match event:
            case RunStarted():
                self.started = event
            case StageEnded():
                self.stages.append(event)
                for finding in event.findings:
                    self._find(finding)
            case Decided():
                self.decisions.append(event)
            case Progress():
                self._progress(event)
            case EpochEnded():
                self._epoch(event)
            case FindingRaised(finding):
                self._find(finding)
            case RunEnded():
                self.ended = event

    def _progress(self, event: Progress) -> None:
        self.progress, self.left = event, self.pace.left(event)
        self.looks += 1
        if event.loss is not None:
            self.batches.add(event.step, event.loss)

    def _epoch(self, event: EpochEnded) -> None:
        self.epochs += 1
        self.train.add(event.step, event.train_loss)
        if event.validation_loss is not None:
            self.validation.add(event.step, event.validation_loss)
        if event.metric is not None:
            self.metric.add(event.step, event.metric)
        if not self.rows or worth_a_row(event.epoch, event.num_epochs):
            self.rows[event.epoch] = event
        self.newest = event
        if event.best:
            self.best = event

    def _find(self, finding: Finding) -> None:
        if not any(alike(finding, other) for other in self.findings):
            self.findings.append(finding)

    @property
    def table(self) -> list[EpochEnded]:
        """The epochs to show: some at equal distances, the best and the newest."""
        shown = {**self.rows, **{e.epoch: e for e in (self.best, self.newest) if e}}
        return [shown[epoch] for epoch in sorted(shown)]

"""What a training tells while it happens. A listener is any function of one event; the terminal is one, a test another.

Events are plain data without torch. The loop emits, never draws.
"""

import errno
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from thalweg.findings import Finding

if TYPE_CHECKING:
    from thalweg.doctor.diagnosis import Diagnosis


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins. `model` and `data` are short texts: `"CNN 28.9k params"`, `"1,150/288 rows, 359 sealed"`."""

    run: str
    model: str
    data: str
    device: str
    path: str = ""


@dataclass(frozen=True, slots=True)
class StageEnded:
    """A stage before the training ended: `"check"` or `"probe"`.

    `passed` counts the rules that judged and found nothing; `facts` are short texts worth a line
    (`"loss at start 2.31 (ln 10 = 2.30)"`).
    """

    stage: str
    passed: int
    facts: tuple[str, ...]
    findings: tuple[Finding, ...]
    seconds: float


@dataclass(frozen=True, slots=True)
class Decided:
    """An automatic choice: plan field, value as text, and the reason."""

    field: str
    value: str
    reason: str


@dataclass(frozen=True, slots=True)
class Progress:
    """The training stands at `step` of `num_steps`; sent at most a few times a second."""

    step: int
    num_steps: int
    epoch: int
    num_epochs: int
    loss: float | None = None


@dataclass(frozen=True, slots=True)
class EpochEnded:
    """One row of the epoch table. Fields that were not measured are None; epochs count from 1."""

    epoch: int
    num_epochs: int
    step: int
    train_loss: float
    validation_loss: float | None
    metric_name: str
    metric: float | None
    rate: float
    gradient_norm: float | None
    update_ratio: float | None
    rows_per_second: float
    seconds: float
    best: bool
    metrics: Mapping[str, float] = field(default_factory=dict)
    penalty: float | None = None  # of the plan's regularizer, where it is one that has a value


@dataclass(frozen=True, slots=True)
class FindingRaised:
    """A rule has found something during or after the training."""

    finding: Finding


@dataclass(frozen=True, slots=True)
class RunEnded:
    """The training is over. `status` is `"completed"` (also where patience ended it), `"interrupted"` or `"failed"`.

    `diagnosis` has everything that was concluded; `verdict` is its sentence.
    """

    run: str
    status: str
    verdict: str
    best_epoch: int | None
    seconds: float
    stopped_early: bool = False
    diagnosis: "Diagnosis | None" = None


@dataclass(frozen=True, slots=True)
class Saved:
    """Something was written: what it is, and where."""

    what: str
    path: str


Event = RunStarted | StageEnded | Decided | Progress | EpochEnded | FindingRaised | RunEnded | Saved
Listener = Callable[[Event], None]

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # a pipe without a reader, a terminal that was closed, a closed file


def guarded(listener: Listener) -> Listener:
    """The listener, which hears nothing more once what it writes to is gone: no training is lost for a closed window.

    >>> def broken(event: Event) -> None:
    ...     print("heard")
    ...     raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    >>> hear = guarded(broken)
    >>> hear(Saved("report", "here")), hear(Saved("report", "here"))
    heard
    (None, None)
    """
    gone = False

    def hear(event: Event) -> None:
        nonlocal gone
        if gone:
            return
        try:
            listener(event)
        except OSError as error:
            if error.errno not in GONE:
                raise
            gone = True
        except ValueError as error:
            if "closed file" not in str(error):
                raise
            gone = True

    return hear

"""The terminal: a listener that prints what a training tells. Rows go to stdout and stay; one bar moves on stderr."""

import math
import sys
from itertools import groupby
from pathlib import Path
from typing import TextIO

from rich.text import Text

from thalweg import __version__
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.events import (
    Decided,
    EpochEnded,
    Event,
    FindingRaised,
    Progress,
    RunEnded,
    RunStarted,
    Saved,
    StageEnded,
)
from thalweg.findings import Finding
from thalweg.show.bar import Bar, same_terminal
from thalweg.show.blocks import sparkline
from thalweg.show.cards import COLORS, card
from thalweg.show.diagnosis import diagnosis_lines
from thalweg.show.epochs import EpochTable
from thalweg.show.findings import alike, codes, kind, ordered, tally, where
from thalweg.show.lines import flow, hang, styled, wrapped
from thalweg.show.printer import Printer
from thalweg.show.text import duration, number, plural

LABEL = 10  # columns of `check`, `probe`, `plan` with their margins
SPARK = 50
LOG = 30.0  # a loss that falls by more than this factor is drawn on a logarithmic scale


class Terminal:
    """Prints the events of one training. No line is wider than the terminal, or than 80 columns in a pipe.

    Args:
        stdout: takes the lines that stay; `sys.stdout` by default.
        stderr: takes the progress bar, and only where it is a terminal; `sys.stderr` by default.
        quiet: prints findings, the verdict and what was saved, and nothing else.

    >>> terminal = Terminal(quiet=True)
    >>> terminal(RunEnded("amber-fjord-12", "completed", "Learned.", 7, 41.2))
    <BLANKLINE>
      Learned.
      best epoch 7 · 41.2 s
    <BLANKLINE>
      no findings
    """

    def __init__(self, stdout: TextIO | None = None, stderr: TextIO | None = None, *, quiet: bool = False) -> None:
        self.out = Printer(stdout or sys.stdout)
        errors = Printer(stderr or sys.stderr)
        self.bar = None
        if errors.terminal and not quiet:
            self.bar = Bar(errors, redirect_stdout=same_terminal(self.out.stream, errors.stream))
        self.quiet = quiet
        self.table = EpochTable()
        self.losses: list[float] = []
        self.findings: list[Finding] = []
        self.waiting: list[Finding] = []  # raised while the table grows; their cards come after it
        self.unsaid: list[Finding] = []  # of these, the ones without a line in the table yet
        self.carded: list[Finding] = []  # whose cards were printed before the training
        self.training = False
        self.deciding = False  # the line above is a decision, so that the next one needs no label

    def __call__(self, event: Event) -> None:
        match event:
            case Progress():
                self.training = True
                self._notify()
                if self.bar:
                    self.bar.update(event)
            case FindingRaised(finding):
                self._find(finding)
            case RunEnded():
                self._end(event)
            case Saved(what, path):
                self.saved(what, path)
            case _ if not self.quiet:
                self._tell(event)
            case StageEnded():
                for finding in event.findings:
                    self._find(finding)

    def print(self, *lines: Text) -> None:
        """Prints lines above the bar."""
        if not lines:
            return
        if self.bar:
            self.bar.hide()
        self.deciding = False
        self.out.print(lines)

    def close(self) -> None:
        """Removes the bar; for a training that ends with an error."""
        if self.bar:
            self.bar.hide()

    def saved(self, what: str, path: str) -> None:
        """A line with the path of something written: `report  runs/amber-fjord-12/report.html`."""
        self.print(*self._labeled(what, styled((nearby(path), "cyan"))))

    # ------------------------------------------------------------------ before and during the training

    def _tell(self, event: Event) -> None:
        match event:
            case RunStarted():
                self._start(event)
            case StageEnded():
                self._stage(event)
            case Decided():
                self._decided(event)
            case EpochEnded():
                self.training = True
                self._notify()
                self.losses.append(event.train_loss)
                self.print(*self.table.add(event, width=self.out.width))

    def _start(self, event: RunStarted) -> None:
        head = styled(("thalweg " + __version__, "bold"), " run ", (event.run, "cyan"))
        details = [styled(text) for text in (event.model, event.data, event.device) if text]
        facts = flow(details, width=self.out.width - 4, separator=" · ")
        if "\n" not in facts.plain and head.cell_len + 2 + facts.cell_len <= self.out.width:
            self.print(Text.assemble(head, "  ", facts), Text())
        else:
            self.print(*wrapped(head, self.out.width), *hang(Text("  "), facts, width=self.out.width), Text())

    def _stage(self, event: StageEnded) -> None:
        items = [styled((f"✓ {number(event.passed)} passed", "green"))] if event.passed else []
        for each, same in groupby(ordered(event.findings), kind):
            items.append(styled((f"! {plural(len(list(same)), each)}", COLORS[each])))
        items += [styled(fact) for fact in event.facts]
        items.append(styled((duration(event.seconds), "dim")))
        self.print(*self._labeled(event.stage, flow(items, width=self.out.width - LABEL)))
        if event.findings:
            self.print(Text())
        for finding in ordered(event.findings):
            self._find(finding)

    def _decided(self, event: Decided) -> None:
        label = "" if self.deciding else "plan"
        setting = styled(event.field.ljust(15), (event.value.ljust(13), "bold"), "  ")
        wide = self.out.width >= 60 and setting.cell_len <= 30 and len(event.field) < 15
        if wide:
            head = Text.assemble((f"  {label}".ljust(LABEL), "bold"), setting)
            self.print(*hang(head, styled((event.reason, "dim")), width=self.out.width))
        else:
            self.print(
                *self._labeled(label, styled(event.field, " = ", (event.value, "bold"))),
                *hang(Text(" " * LABEL), styled((event.reason, "dim")), width=self.out.width),
            )
        self.deciding = True

    def _find(self, finding: Finding) -> None:
        if any(alike(finding, other) for other in self.findings):
            return
        self.findings.append(finding)
        if not self.training:
            self.carded.append(finding)
            self.print(*card(finding, width=self.out.width), Text())
            return
        self.waiting.append(finding)
        self.unsaid.append(finding)

    def _notify(self) -> None:
        """A line for each alarm, as soon as it is clear that the training goes on after it."""
        for finding in self.unsaid:
            if self.quiet or not finding.counts:
                continue
            head = styled((f"  ! {kind(finding)}[{finding.code}] ", COLORS[kind(finding)]))
            text = styled(f"{finding.title} · {where(finding)}")
            self.print(*hang(head, text, width=self.out.width, indent=None if self.out.width >= 60 else 4))
        self.unsaid.clear()

    # ------------------------------------------------------------------ after the training

    def _end(self, event: RunEnded) -> None:
        width = self.out.width
        facts = [] if event.status == "completed" else [event.status]
        facts += ["stopped early"] if event.stopped_early else []
        facts += [f"best epoch {event.best_epoch}"] if event.best_epoch else []
        facts += [duration(event.seconds)]
        color = {"completed": "bold", "interrupted": "bold yellow"}.get(event.status, "bold red")
        self.print(
            *([] if self.quiet else [*self.table.end(), *self._spark()]),
            Text(),
            *hang(Text("  "), styled((event.verdict, color)), width=width),
            *hang(Text("  "), styled((" · ".join(facts), "dim")), width=width),
            Text(),
        )
        if event.diagnosis is not None:
            self._conclude(event.diagnosis)
        else:
            for finding in ordered(self.waiting):
                self.print(*card(finding, width=width), Text())
            self.print(*summary(self.findings, width=width))
        self.training, self.waiting, self.unsaid, self.carded = False, [], [], []

    def diagnosed(self, diagnosis: Diagnosis) -> None:
        """A diagnosis that was made apart from a training: its verdict, then what follows it."""
        self.print(*hang(Text("  "), styled((diagnosis.verdict, "bold")), width=self.out.width), Text())
        self._conclude(diagnosis)

    def _conclude(self, diagnosis: Diagnosis) -> None:
        """Cards that were not printed before the training, causes first; then the ranking and what was ruled out."""
        width, found = self.out.width, list(diagnosis.findings)
        for finding in found:
            if not any(alike(finding, other) for other in self.carded):
                self.print(*card(finding, width=width), Text())
        self.print(*diagnosis_lines(diagnosis, width=width))
        self.print(*summary(found, width=width, in_order=True))

    def _spark(self) -> list[Text]:
        if len(self.losses) < 3:
            return []
        ends = f"  {number(self.losses[0])} → {number(self.losses[-1])}"
        values = self.losses
        if all(v > 0 for v in values) and max(values) > LOG * min(values):
            values, ends = [math.log(v) for v in values], f"{ends} (log)"
        curve = sparkline(values, width=min(SPARK, self.out.width - 9 - len(ends)), unicode=self.out.unicode)
        return [Text(), styled("  loss  ", (curve, "green"), ends)]

    def _labeled(self, label: str, body: Text) -> list[Text]:
        return hang(Text(f"  {label}".ljust(LABEL), "bold"), body, width=self.out.width)


def summary(findings: list[Finding], *, width: int, in_order: bool = False) -> list[Text]:
    """The last line: how many findings, and where to read on about the first."""
    if not findings:
        return hang(Text("  "), styled((tally(findings), "green")), width=width)
    first = findings[0].code if in_order else codes(findings)[0]
    line = styled(f"{tally(findings)}. ", (f"thalweg explain {first}", "bold"), " says more.")
    return hang(Text("  "), line, width=width)


def nearby(path: str) -> str:
    """The path from the working directory, where it lies below it."""
    try:
        return str(Path(path).resolve().relative_to(Path.cwd()))
    except ValueError:
        return path

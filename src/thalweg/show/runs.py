"""The runs of a directory as a table."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.text import Text

from thalweg.errors import StoreError
from thalweg.evaluate.result import Measure, Result
from thalweg.findings import Finding
from thalweg.show.findings import tally
from thalweg.show.lines import hang, styled
from thalweg.show.text import MISSING, clean, measure, shorten
from thalweg.store import FILE, Store

COLORS = {"completed": "green", "running": "cyan", "interrupted": "yellow", "failed": "red", "unreadable": "red"}


@dataclass(frozen=True)
class RunLine:
    """One run of the list. `best` and `measures` are empty where there are none yet."""

    name: str
    status: str
    created: str
    best: dict[str, Any]
    findings: tuple[Finding, ...]
    measures: tuple[Measure, ...]
    problem: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def list_runs(directory: Path) -> list[RunLine]:
    """The runs of a directory, the oldest first; one that cannot be read is listed with its problem."""
    if not directory.is_dir():
        return []
    return sorted((read_line(path.parent) for path in directory.glob(f"*/{FILE}")), key=lambda line: line.created)


def read_line(folder: Path) -> RunLine:
    try:
        store = Store(folder / FILE)
        stored = store.get("result")
        measures = () if stored is None else Result.from_json(stored).measures
        facts = (store.get("status", "interrupted"), store.get("created", ""), store.get("best") or {})
        return RunLine(folder.name, *facts, tuple(store.findings()), measures)
    except StoreError as error:
        return RunLine(folder.name, "unreadable", "", {}, (), (), str(error))


def runs_table(lines: list[RunLine], *, width: int) -> list[Text]:
    """One line per run; columns that do not fit are left out, the last first."""
    header = ("run", "status", "validation", "test", "findings", "created")
    rows = [cells(line) for line in lines]
    widths = [max(len(row[k]) for row in [header, *rows]) for k in range(len(header))]
    widths[0] = min(widths[0], max(12, width // 3))
    count = len(header)
    while count > 2 and sum(widths[:count]) + 2 * count > width:
        count -= 1
    texts = [Text("".join(f"  {name.ljust(w)}" for name, w in zip(header[:count], widths, strict=False)), "dim")]
    for line, row in zip(lines, rows, strict=True):
        text = styled("  ", shorten(row[0], widths[0]).ljust(widths[0]))
        for k in range(1, count):
            text.append("  ").append_text(styled((row[k].ljust(widths[k]), COLORS.get(row[k], ""))))
        texts.append(text)
        texts += hang(Text("    "), styled((line.problem, "red")), width=width) if line.problem else []
    return texts


def cells(line: RunLine) -> tuple[str, ...]:
    """What there is to say of a run, by column: measures with their unit, findings by their gravest kind."""
    validation = measure(str(line.best.get("selection")), line.best.get("value"))
    test = measure(line.measures[0].name, line.measures[0].value) if line.measures else MISSING
    found = tally(line.findings).split(",")[0].split(";")[0]
    created = line.created[:16].replace("T", " ")
    return clean(line.name), line.status, validation, test, found.removeprefix("no findings") or MISSING, created

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
from thalweg.show.text import measure, number, shorten, title
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
        facts = (store.get("status", "unknown"), store.get("created", ""), store.get("best") or {})
        return RunLine(folder.name, *facts, tuple(store.findings()), measures)
    except StoreError as error:
        return RunLine(folder.name, "unreadable", "", {}, (), (), str(error))


def runs_table(lines: list[RunLine], *, width: int) -> list[Text]:
    """One line per run and, where it fits, its findings and first test measure; otherwise these stand below it."""
    name = min(max((len(line.name) for line in lines), default=3), max(12, width // 3))
    head = f"  {'run'.ljust(name)}  {'status'.ljust(11)}  {'created'.ljust(16)}"
    texts = [Text(head if width >= 60 else f"  {'run'.ljust(name)}  status", "dim")]
    for line in lines:
        status = (line.status.ljust(11), COLORS.get(line.status, ""))
        row = styled(f"  {shorten(line.name, name).ljust(name)}  ", status)
        if width >= 60:
            row.append(f"  {line.created[:16].replace('T', ' ').ljust(16)}", "dim")
        facts = styled("; ".join(about(line)))
        texts += hang(Text.assemble(row, "  "), facts, width=width) if facts else [row]
    return texts


def about(line: RunLine) -> list[str]:
    """What there is to say of a run besides its name."""
    if line.problem:
        return [line.problem]
    facts = []
    if "value" in line.best and "selection" in line.best:
        name = line.best["selection"]
        facts.append(f"best {title(name)} {best_text(name, line.best['value'])}")
    if line.measures:
        first = line.measures[0]
        facts.append(f"test {title(first.name)} {measure(first.name, first.value)}")
    return [*facts, tally(line.findings)]


def best_text(name: str, value: float | None) -> str:
    return measure(name, value) if value is not None else number(None)

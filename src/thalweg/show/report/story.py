"""Everything a report tells of a run, read from its store alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from thalweg.doctor.diagnosis import Diagnosis
from thalweg.evaluate.result import Result
from thalweg.findings import Finding
from thalweg.readings import Reading, Readings
from thalweg.show.findings import kind, ordered
from thalweg.store import FILE, Store

KEYS = (
    "created", "status", "seconds", "verdict", "model", "layers", "data", "split", "task", "plan", "decisions",
    "environment", "check", "probe", "best", "num_steps", "num_epochs", "seal", "source", "user_plan",
    "diagnosis", "augmentation",
)  # fmt: skip


@dataclass(frozen=True)
class Story:
    """A run as it is stored. A fact that is missing is an empty dict, so that a run cut short can be told too."""

    name: str
    facts: dict[str, Any]
    findings: list[Finding]
    readings: Readings
    result: Result | None

    def fact(self, key: str) -> Any:
        """A fact, or an empty dict."""
        found = self.facts.get(key)
        return {} if found is None else found

    @property
    def status(self) -> str:
        return str(self.fact("status") or "unknown")

    @property
    def tone(self) -> str:
        return tone(self.status, self.findings)

    @property
    def diagnosis(self) -> Diagnosis | None:
        """What was concluded; None of a run that has not ended, or was stored before diagnoses were."""
        stored = self.facts.get("diagnosis")
        return None if stored is None else Diagnosis.from_json(stored)

    def series(self, name: str, place: str = "") -> list[Reading]:
        """The readings of a curve that have a step, in the order of steps."""
        return sorted((r for r in self.readings.of(name, place) if r.step is not None), key=lambda r: r.step or 0)

    @property
    def metric_names(self) -> list[str]:
        """The measures on validation rows besides the loss."""
        names = dict.fromkeys(r.name for r in self.readings if r.name.startswith("validation."))
        return [
            name.removeprefix("validation.") for name in names if name not in ("validation.loss", "validation.rise")
        ]


def tone(status: str, findings: Iterable[Finding]) -> str:
    """The color of the verdict: "error", "warning" or "ok"."""
    if status == "failed":
        return "error"
    kinds = [kind(f) for f in findings]
    return "error" if "error" in kinds else "warning" if "warning" in kinds or status != "completed" else "ok"


def read_story(run_directory: Path, *prefixes: str) -> Story:
    """Reads the store of a run; of the readings those whose names begin with one of the prefixes, or all."""
    store = Store(run_directory / FILE)
    facts = {key: value for key in KEYS if (value := store.get(key)) is not None}
    stored = store.get("result")
    result = None if stored is None else Result.from_json(stored)
    name = store.get("name", run_directory.resolve().name)
    findings = store.findings()  # a diagnosis has put them into their order
    return Story(
        name, facts, findings if "diagnosis" in facts else ordered(findings), store.readings(*prefixes), result
    )

"""A run as one JSON document: everything that is stored of it, for machines."""

import json
import math
from pathlib import Path
from typing import Any

from thalweg.readings import Readings
from thalweg.show.report.story import KEYS
from thalweg.store import FILE, Store

EPOCH_READINGS = (
    "train.loss", "regularizer.penalty", "rate", "rows_per_second", "epoch.seconds", "gradient.norm", "update.ratio",
)  # fmt: skip


def run_document(directory: Path) -> dict[str, Any]:
    """Facts, findings, measures and curves of a run."""
    store = Store(directory / FILE)
    facts = {key: store.get(key) for key in ("name", *KEYS, "result")}
    return {
        **facts,
        "directory": str(directory),
        "findings": [finding.to_json() for finding in store.findings()],
        "history": history(store.readings(*EPOCH_READINGS, "validation.")),
    }


def history(readings: Readings) -> dict[str, list[dict[str, float | int | None]]]:
    """The curves of the whole network: per name, the points `{"step": ..., "value": ...}`."""
    names = [r.name for r in readings if r.name in EPOCH_READINGS or r.name.startswith("validation.")]
    return {
        name: [{"step": r.step, "value": r.value} for r in readings.of(name, place="")] for name in dict.fromkeys(names)
    }


def to_json(document: Any) -> str:
    """JSON as the standard has it: NaN and infinities, which it lacks, become the strings "NaN" and "Infinity".

    >>> print(to_json({"loss": float("nan"), "rates": (0.1, float("-inf"))}))
    {
      "loss": "NaN",
      "rates": [
        0.1,
        "-Infinity"
      ]
    }
    """
    return json.dumps(standard(document), indent=2, ensure_ascii=False, allow_nan=False)


def standard(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {str(k): standard(v) for k, v in value.items()}
    return [standard(v) for v in value] if isinstance(value, list | tuple) else value

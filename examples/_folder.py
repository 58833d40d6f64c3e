"""The folder of public data sets that some examples train on: THALWEG_DATA, or ../shared/data beside the project."""

import os
from pathlib import Path

from thalweg.errors import DataError

BESIDE = Path(__file__).resolve().parents[2] / "shared" / "data"


def data_file(name: str, source: str) -> Path:
    """The path of a file in the folder. Raises `DataError`, which says what it is and where to get it."""
    path = Path(os.environ.get("THALWEG_DATA") or BESIDE) / name
    if not path.is_file():
        raise DataError(
            f"There is no file {path}. It holds {source}. Put it there, or name the folder that has it: "
            "THALWEG_DATA=FOLDER thalweg train ..."
        )
    return path

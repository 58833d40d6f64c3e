"""The seal on the test rows: they are handed out only after the opening was written down (L34).

Tamper-evident, not tamper-proof: who wants to cheat can copy the data beforehand. The count is there so that an honest
person, and who reads the report, knows how often the test rows were looked at.
"""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thalweg.data import seal_log
from thalweg.data.rows import AnyRows, BatchRows, DatasetRows, Rows, StreamRows, leaves, tensors_of
from thalweg.data.stored import GuardedArrays
from thalweg.errors import DataError


class Seal:
    """The sealed test rows.

    `digest` names them: SHA-256 over their content. The order of the rows does not count, so that shuffling them
    starts no new count; their values, dtypes and shapes do. For a Dataset it covers the ids and targets, because
    reading every item would take as long as an epoch; for a DataLoader or a stream the targets and what is in memory.

    Args:
        rows: the test rows, as prepared.
        log: the file that keeps the openings of all test sets: JSON lines in a hash chain, see `seal_log`.

    >>> from tempfile import mkdtemp
    >>> rows = Rows(torch.arange(6.0).reshape(3, 2), torch.tensor([0, 1, 0]), torch.arange(3), "test")
    >>> seal = Seal(rows, log=Path(mkdtemp()) / "seal.jsonl")
    >>> seal.count(), len(seal.open("amber-fjord-12")), seal.count()
    (0, 3, 1)
    >>> seal
    Seal(3 rows, digest f8f75d6adeac)
    """

    def __init__(self, rows: AnyRows, *, log: Path) -> None:
        self._rows = rows
        self.digest = digest_of(rows)
        self.log = log

    def count(self) -> int:
        """How often these rows were opened, by any run. Raises `StoreError` where the log was tampered with."""
        return sum(entry["digest"] == self.digest for entry in seal_log.verify(self.log))

    def facts(self) -> dict[str, Any]:
        """What a run keeps of the seal, as JSON values."""
        return {"digest": self.digest, "openings": self.count(), "rows": len(self)}

    def open(self, run: str, reason: str = "evaluate") -> AnyRows:
        """Writes the opening down, safely on disk, and then hands the rows out.

        Raises:
            StoreError: where the log was tampered with or cannot be written; the rows stay sealed.
        """
        seal_log.append(self.log, digest=self.digest, run=run, reason=reason)
        return self._rows

    def __len__(self) -> int:
        return len(self._rows)

    def __repr__(self) -> str:
        return f"Seal({len(self):,} {'row' if len(self) == 1 else 'rows'}, digest {self.digest[:12]})"


def digest_of(rows: AnyRows) -> str:
    """SHA-256 over the rows' content, whatever their order: the hash of the sorted hashes of the rows."""
    if isinstance(rows, Rows):
        names = list(rows.inputs) if isinstance(rows.inputs, dict) else []
        columns = [*tensors_of(rows.inputs), rows.target]
    elif isinstance(rows, DatasetRows) and isinstance(rows.dataset, GuardedArrays):
        names, columns = ["array"], [torch.from_numpy(rows.dataset.hashes.view(np.int64)), rows.target]
    elif isinstance(rows, DatasetRows):
        names, columns = ["dataset"], [rows.ids, rows.target]
    else:
        names, columns = ["stream"], [rows.target]
    header = repr((names, [(str(column.dtype), tuple(column.shape[1:])) for column in columns]))
    whole = hashlib.sha256(header.encode())
    for row in sorted(map(_hash_row, *map(_row_bytes, columns))):
        whole.update(row)
    for kept in () if isinstance(rows, Rows | DatasetRows) else leaves(kept_of(rows)):
        whole.update(kept.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return whole.hexdigest()


def kept_of(rows: StreamRows | BatchRows) -> Any:
    """What is in memory of a stream or a loader, which are not read again to name them."""
    return rows.sample if isinstance(rows, BatchRows) else rows.sample.dataset


def _row_bytes(column: Tensor) -> NDArray[np.uint8]:
    """`[N, bytes]`: the memory of each row."""
    flat = column.detach().cpu().unsqueeze(-1).flatten(1).contiguous()
    return flat.view(torch.uint8).numpy()


def _hash_row(*values: NDArray[np.uint8]) -> bytes:
    row = hashlib.sha256()
    for value in values:
        row.update(value.data)
    return row.digest()


def require_training(rows: AnyRows, what: str) -> None:
    """Refuses rows that nothing may be fitted on.

    Args:
        rows: the rows that something is about to be fitted on.
        what: what is fitted, as the subject of the message: `"Standardization"`.

    Raises:
        DataError: where the rows are not training rows.

    >>> rows = Rows(torch.zeros(3, 2), torch.zeros(3), torch.arange(3), "validation")
    >>> require_training(rows, "Standardization")
    Traceback (most recent call last):
    thalweg.errors.DataError: Standardization is fitted on training rows only, and received 3 validation rows. ...
    """
    if rows.part != "train":
        raise DataError(
            f"{what} is fitted on training rows only, and received {len(rows):,} {rows.part} rows. "
            "Fit it on the training rows, then apply it to these; otherwise the measures on them are too good."
        )

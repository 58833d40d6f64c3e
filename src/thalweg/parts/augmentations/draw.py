"""What augmentations drew for some samples: shown, kept, replayed."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from thalweg.parts.augmentations.augmentation import Augmentation

SHOWN = 8  # samples


@dataclass(frozen=True, eq=False)
class Draw:
    """Parameters of each part for each sample.

    Args:
        ids: `[B]`, the samples' numbers.
        shape: of one sample.
        parts: the augmentations, in their order.
        drawn: of each part arrays `[B, ...]` by name; "applied" tells which samples it acts on.
    """

    ids: "np.ndarray[Any, np.dtype[np.int64]]"
    shape: tuple[int, ...]
    parts: "tuple[Augmentation, ...]"
    drawn: tuple[dict[str, Any], ...]

    def rows(self) -> list[dict[str, Any]]:
        """For each sample a dict: its id, and of each part that acts on it the values by name.

        >>> from thalweg.parts.augmentations import Compose, PaddedCrop
        >>> draw = Compose(PaddedCrop(4)).draw([5], shape=(3, 8, 8))
        >>> [sorted(row) for row in draw.rows()], list(draw.rows()[0]["PaddedCrop"])
        ([['PaddedCrop', 'id']], ['dx', 'dy'])
        """
        found = []
        for i, number in enumerate(self.ids):
            row: dict[str, Any] = {"id": int(number)}
            for part, drawn in zip(self.parts, self.drawn, strict=True):
                if drawn["applied"][i]:
                    values = {name: plain(value[i]) for name, value in drawn.items() if name != "applied"}
                    row[type(part).__name__] = values
            found.append(row)
        return found

    def __str__(self) -> str:
        lines = []
        for part, drawn in zip(self.parts, self.drawn, strict=True):
            samples = []
            for i, number in enumerate(self.ids[:SHOWN]):
                values = [f"{name}={show(value[i])}" for name, value in drawn.items() if name != "applied"]
                shown = (" ".join(values) or "applied") if drawn["applied"][i] else "-"
                samples.append(f"sample {number}: {shown}")
            lines.append("  ".join([type(part).__name__, *samples]))
        return "\n".join(lines)


def plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def show(value: Any) -> str:
    value = plain(value)
    if isinstance(value, list):
        return "[" + ", ".join(show(v) for v in value) + "]"
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)  # no -0

"""What the augmentations of sequences share: where time is, and which samples are changed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Shape, TensorAugmentation

if TYPE_CHECKING:
    from torch import Tensor

CHUNK_BYTES = 2**19  # of floats at once on the CPU: what one pass leaves is still in the cache for the next


@dataclass(frozen=True)
class SequenceAugmentation(TensorAugmentation):
    """One of sequences, floats `[B, T]` or `[B, C, T]`.

    Args:
        time: the dimension of the batch that is time: the last one, as convolutions have it, or 1 for `[B, T, F]`.
    """

    time: int = field(default=-1, kw_only=True)
    kind: ClassVar[str] = "sequence"

    def __post_init__(self) -> None:
        super().__post_init__()
        good = isinstance(self.time, int) and not isinstance(self.time, bool) and self.time in (-2, -1, 1, 2)
        self._check(
            "time", good, "a dimension of the batch after the first: -1 for [B, T] and [B, C, T], 1 for [B, T, F]"
        )

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        """Of the samples that it acts on.

        Args:
            x: `[n, C, T]`, float32 or float64, whose memory may be that of the batch.
            drawn: theirs.

        Returns:
            `[n, C, T]`, in memory of its own.
        """
        raise NotImplementedError

    def size(self, shape: Shape) -> tuple[int, int]:
        """(C, T) of a sample of this shape. Raises `DataError` where it has no dimension `time`, or no step."""
        axis = self.time + len(shape) if self.time < 0 else self.time - 1
        if len(shape) not in (1, 2) or not 0 <= axis < len(shape) or not shape[axis]:
            raise DataError(
                f"{self} got sequences {['B', *shape]}; give [B, T], or [B, C, T] with time in dimension "
                f"{self.time}, of at least one step."
            )
        return (1 if len(shape) == 1 else shape[1 - axis]), shape[axis]

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        channels, steps = self.size(tuple(x.shape[1:]))
        working = torch.float64 if x.dtype == torch.float64 else torch.float32
        rows = np.flatnonzero(drawn["applied"])
        found = torch.empty_like(x) if len(rows) == len(x) else x.clone()
        before, after = [v.movedim(self.time, -1) if v.dim() == 3 else v[:, None] for v in (x, found)]  # [B, C, T]
        count = max(CHUNK_BYTES // max(channels * steps * working.itemsize, 1), 1) if x.device.type == "cpu" else len(x)
        for start in range(0, len(rows), count):
            own = rows[start : start + count]
            theirs = {name: value[own] for name, value in drawn.items() if name != "applied"}
            place = (
                slice(own[0], own[-1] + 1) if own[-1] - own[0] == len(own) - 1 else torch.from_numpy(own).to(x.device)
            )
            after[place] = self.change(before[place].to(working), theirs).to(x.dtype)
        return found


def whole(share: float, size: int) -> int:
    """The whole steps within a share of `size`; one where these are none, and the share is not 0."""
    return max(1, int(share * size + 1e-9)) if share else 0

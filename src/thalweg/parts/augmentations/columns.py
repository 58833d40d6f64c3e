"""What the augmentations of tables share: the columns that they change."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Shape, TensorAugmentation
from thalweg.parts.augmentations.draws import Floats, seeds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TableAugmentation(TensorAugmentation):
    """One of tables, floats `[B, F]`; what is missing (NaN) stays missing, and nothing else becomes so.

    Args:
        columns: their places, from 0; None for all.
    """

    columns: tuple[int, ...] | None = field(default=None, kw_only=True)
    kind: ClassVar[str] = "table"
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        places = self.columns
        good = isinstance(places, tuple | list) and all(isinstance(i, int) and i >= 0 for i in places)
        unique = not good or len(set(places or ())) == len(places or ())
        self._check("columns", places is None or (good and unique), "None, or places of columns from 0, each once")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"seed": seeds(u[0])}

    def chosen(self, width: int) -> list[int]:
        """The columns of a table this wide. Raises `DataError` where it has fewer."""
        if self.columns is None:
            return list(range(width))
        if max(self.columns, default=-1) >= width:
            raise DataError(f"{self} got a table of {width} columns; there is no column {max(self.columns)}.")
        return list(self.columns)

    def apply(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        places = torch.tensor(self.chosen(x.shape[1]), dtype=torch.int64, device=x.device)
        own = x.index_select(1, places)
        applied = torch.from_numpy(drawn["applied"]).to(x.device)[:, None]
        return x.index_copy(1, places, self.change(own, drawn).where(applied, own))

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        """Of the chosen columns `[B, n]`, for all rows."""
        raise NotImplementedError

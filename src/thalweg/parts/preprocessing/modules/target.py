"""A regression target prepared by any part that has an inverse."""

from typing import Any

from torch import Tensor

from thalweg.data.rows import AnyRows, Rows
from thalweg.errors import UsageError
from thalweg.parts.preprocessing.modules.affine import refuse_classes
from thalweg.parts.preprocessing.modules.fitted import Fitted
from thalweg.parts.preprocessing.preparation import Preparation


class Target(Fitted):
    """Prepares a target `[N]` or `[N, T]`; `inverse` brings outputs back into the target's unit.

    Args:
        part: what was fitted on `[N, 1]` or `[N, T]`.
        column: whether targets are `[N]`.
    """

    def __init__(self, part: Fitted, *, column: bool) -> None:
        super().__init__()
        self.part, self.column = part, column

    def prepare(self, x: Tensor) -> Tensor:
        return self.part.prepare(x.reshape(-1, 1)).reshape(x.shape) if self.column else self.part.prepare(x)

    def undo(self, y: Tensor) -> Tensor:
        return self.part.undo(y.reshape(-1, 1)).reshape(y.shape) if self.column else self.part.undo(y)

    @property
    def form(self) -> dict[str, Any]:
        return super().form | {"part": self.part.form, "column": self.column}

    def told(self, names: tuple[str, ...] = ()) -> str:
        return self.part.told(names)


def fit_target(part: Preparation, rows: AnyRows) -> Target:
    """The part fitted on the targets of training rows.

    Raises:
        DataError: for validation or test rows, class indices, and targets that are not finite.
        UsageError: for a part that cannot be undone number by number.

    >>> import torch
    >>> from thalweg.parts.preprocessing import Log
    >>> rows = Rows(torch.zeros(3, 1), torch.tensor([0.0, 1.0, 1000.0]), torch.arange(3), "train")
    >>> target = fit_target(Log(skewness=0), rows)
    >>> target.inverse(target(torch.tensor([7.0])))
    tensor([7.])
    """
    refuse_classes(rows)
    if not part.for_targets:
        raise UsageError(
            f"target_scaling={part} cannot be undone for each target. Take Standardize, MinMax without clip, Robust, "
            "Log or Power, or a Chain of these."
        )
    values = rows.target[:, None] if rows.target.ndim == 1 else rows.target
    fitted = part.fit(Rows(values, rows.target, rows.ids, rows.part))
    assert isinstance(fitted, Fitted)
    return Target(fitted, column=rows.target.ndim == 1)

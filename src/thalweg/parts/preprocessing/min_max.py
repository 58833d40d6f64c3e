"""Bring the range of the training rows to a given one."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.preparation import PerColumn

if TYPE_CHECKING:
    from thalweg.parts.preprocessing.extremes import Extremes
    from thalweg.parts.preprocessing.modules.fitted import Fitted


@dataclass(frozen=True, kw_only=True)
class MinMax(PerColumn):
    """The smallest value of the training rows becomes `low`, the largest `high` (L12).

        y = low + (high − low) · (x − min) / (max − min)

    A constant column becomes `low`. One outlier decides the scale of all: where there are some, take `Robust`.

    Args:
        low: what the smallest value becomes.
        high: what the largest becomes; above `low`.
        clip: whether new values beyond the range are cut to it; else they lie outside. Not for targets.
        per: `"column"`, each column or channel by itself; `"tensor"`, all together; `"auto"` as for `Standardize`.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> rows = Rows(torch.tensor([[2.0], [6.0]]), torch.zeros(2), torch.arange(2), "train")
    >>> MinMax(low=-1, clip=True).fit(rows)(torch.tensor([[2.0], [4.0], [9.0]])).flatten()
    tensor([-1.,  0.,  1.])

    Source: lecture row L12; as scikit-learn's MinMaxScaler. PyTorch has none.
    """

    low: float = 0.0
    high: float = 1.0
    clip: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("low", in_range(self.low, -1e30, 1e30), "a number")
        self._check("high", in_range(self.high, -1e30, 1e30) and self.high > self.low, f"above low={self.low}")
        self._check("clip", isinstance(self.clip, bool), "True or False")

    @property
    def for_targets(self) -> bool:  # type: ignore[override]
        return not self.clip  # a target that is cut would be measured as another

    def start(self, num_columns: int) -> "Extremes":
        from thalweg.parts.preprocessing.extremes import Extremes

        return Extremes.empty(num_columns)

    def _module(self, state: "Extremes", shape: tuple[int, ...]) -> "Fitted":
        import torch

        from thalweg.parts.preprocessing.modules.affine import Affine

        spread = state.high - state.low
        scale = torch.where(spread == 0, 1.0, spread) / (self.high - self.low)
        mean = state.low - self.low * scale
        return Affine(mean.reshape(shape), scale.reshape(shape), clip=(self.low, self.high) if self.clip else None)

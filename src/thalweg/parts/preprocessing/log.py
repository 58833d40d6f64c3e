"""The logarithm of skewed columns, which may hold zeros and negative values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.preparation import PerColumn

if TYPE_CHECKING:
    from thalweg.parts.preprocessing.modules.fitted import Fitted
    from thalweg.parts.preprocessing.skewness import SkewnessAndLog


@dataclass(frozen=True, kw_only=True)
class Log(PerColumn):
    """The signed logarithm of columns that are skewed, and less so after it (L12).

        y = sign(x) · log(1 + |x| / unit)

    The other columns stay as they are. The run says which were transformed. Most often followed by `Standardize`:
    `Chain(Log(), Standardize())`.

    Args:
        skewness: the absolute third standardized moment in the training rows above which a column is transformed, at
            least 0. The default of 1 is usual for "highly skewed"; a normal distribution has 0, an exponential one 2.
            0 takes every column that gets less skewed.
        unit: above 0; much below it the transform is linear. Choose it where values are far below 1, as 1e-6 meters.
        per: `"column"`, each column or channel by itself; `"tensor"`, all together; `"auto"` as for `Standardize`.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> x = torch.tensor([[0.0, 1.0], [1.0, 2.0], [3.0, 3.0], [1000.0, 4.0]])
    >>> log = Log().fit(Rows(x, torch.zeros(4), torch.arange(4), "train"))
    >>> log(x)
    tensor([[0.0000, 1.0000],
            [0.6931, 2.0000],
            [1.3863, 3.0000],
            [6.9088, 4.0000]])
    >>> log.report
    '1 of 2 columns got the logarithm: 0'

    Source: Bulmer 1979, "Principles of Statistics", for the threshold. PyTorch has none; scikit-learn has
    `FunctionTransformer(np.log1p)`, for all columns, above −1 only.
    """

    skewness: float = 1.0
    unit: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("skewness", in_range(self.skewness, 0), "a number of at least 0")
        self._check("unit", in_range(self.unit, 0) and self.unit > 0, "a number above 0")

    def start(self, num_columns: int) -> "SkewnessAndLog":
        from thalweg.parts.preprocessing.skewness import SkewnessAndLog

        return SkewnessAndLog.empty(num_columns, self.unit)

    def _module(self, state: "SkewnessAndLog", shape: tuple[int, ...]) -> "Fitted":
        import torch

        from thalweg.parts.preprocessing.modules.signed_log import SignedLog

        before, after = state.plain.skewness.abs(), state.logged.skewness.abs()
        chosen = (before > self.skewness) & (after < before)
        return SignedLog(chosen.reshape(shape), torch.tensor(self.unit))

"""The power of a skewed column that makes it most like a normal distribution."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.preparation import PerColumn

if TYPE_CHECKING:
    from thalweg.parts.preprocessing.modules.fitted import Fitted
    from thalweg.parts.preprocessing.quantiles import Quantiles

KEPT = 2**20  # values of which the exponent is found: about 50 rounds over them, a second


@dataclass(frozen=True, kw_only=True)
class Power(PerColumn):
    """The transform of Yeo and Johnson for skewed columns, λ by maximum likelihood (L12).

        y = ((1 + x)^λ − 1) / λ                     x ≥ 0;   log(1 + x)     where λ = 0
        y = −((1 − x)^(2 − λ) − 1) / (2 − λ)        x < 0;   −log(1 − x)    where λ = 2

    λ = 1 changes nothing, and is what columns have that are not skewed. The run says which were transformed. Most often
    followed by `Standardize`: `Chain(Power(), Standardize())`.

    Args:
        skewness: the absolute third standardized moment in the training rows above which a column is transformed, at
            least 0; 1 is usual for "highly skewed". 0 transforms every column that is not constant.
        per: `"column"`, each column or channel by itself; `"tensor"`, all together; `"auto"` as for `Standardize`.

    Up to about 2 million values, and always up to 2,048 rows, λ is exact to 1e-6; of more it is found from a sorted
    sketch of them (see `Quantiles`). It is sought from −1,023 to 1,025, which columns of numbers
    far below 1 need, among the powers that float32 can take back: rounding moves no training value by more than 1 % of
    the deviation. Of a skewed column far from 0, all at 10,000 and above, the likeliest power would leave one number.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> x = torch.linspace(-2, 2, 101)[:, None].exp()
    >>> power = Power(skewness=0.5).fit(Rows(x, torch.zeros(101), torch.arange(101), "train"))
    >>> round(power.power.item(), 3), power.report
    (-0.652, 'all columns got a power')

    Source: Yeo, Johnson 2000, "A new family of power transformations to improve normality or symmetry"; as
    scikit-learn's PowerTransformer with `standardize=False`, which transforms every column, by any power. PyTorch has
    none.
    """

    skewness: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("skewness", in_range(self.skewness, 0), "a number of at least 0")

    def start(self, num_columns: int) -> "Quantiles":
        from thalweg.parts.preprocessing.quantiles import Quantiles

        return Quantiles.empty(num_columns, KEPT)

    def _module(self, state: "Quantiles", shape: tuple[int, ...]) -> "Fitted":
        import torch

        from thalweg.parts.preprocessing.modules.yeo_johnson import YeoJohnson, likeliest_power
        from thalweg.parts.preprocessing.skewness import Skewness

        values, weights = state.weighted()
        share = (weights / weights.sum())[:, None]
        mean = (share * values).sum(0)
        m2, m3 = ((share * (values - mean) ** power).sum(0) for power in (2, 3))
        chosen = Skewness(1, mean, m2, m3).skewness.abs() > self.skewness
        power = torch.ones_like(mean)
        if chosen.any():
            power[chosen] = likeliest_power(values[:, chosen], weights)
        return YeoJohnson(power.reshape(shape))

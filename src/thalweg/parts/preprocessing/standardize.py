"""Subtract the mean, divide by the standard deviation (L12)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from thalweg.parts.preprocessing.preparation import PerColumn

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.preprocessing.modules.fitted import Fitted
    from thalweg.parts.preprocessing.moments import Moments


@dataclass(frozen=True, kw_only=True)
class Standardize(PerColumn):
    """Mean 0 and standard deviation 1 (L12).

        y = (x − mean) / √(Σ (x − mean)² / N)

    A constant column becomes 0. Mean and deviation are of the training rows, in float64, and right at any offset.

    Args:
        per: what has a mean and a deviation of its own. `"column"`: each column of `[N, F]`, each channel of images.
            `"tensor"`: all columns together. `"row"`: each row, a picture say, by what it holds itself; nothing is then
            kept of the training rows, and there is no inverse. `"auto"`, the default:

            - each column of `[N, F]`, but all together where they share a unit: at least 16 columns that hold no more
              than 256 different values, two thirds of which span at least half of the common range (pixels of a
              flattened picture, however scaled). A border pixel that is nearly always 0 would else be blown up.
            - each channel of `[N, C, H, W]` and of more dimensions.
            - 3 dimensions as a whole, pictures `[N, H, W]` and sequences `[N, T, C]` alike; except where that would
              leave a channel, the shorter of the two, with less than 1 % of the spread, as different units do.

    Raises:
        UsageError: for another word.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> rows = Rows(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), torch.zeros(2), torch.arange(2), "train")
    >>> standardize = Standardize().fit(rows)
    >>> standardize(rows.inputs)
    tensor([[-1.,  0.],
            [ 1.,  0.]])
    >>> standardize.inverse(torch.tensor([[0.0, 0.0]]))
    tensor([[2., 7.]])

    Source: lecture row L12. PyTorch has none; torchvision's `Normalize` takes the numbers from you. Differs from
    scikit-learn's StandardScaler in the shared units, and in more dimensions than 2.
    """

    per: Literal["auto", "column", "tensor", "row"] = "auto"  # type: ignore[assignment]

    title: ClassVar[str] = "Standardization"
    few_images_do: ClassVar[bool] = True
    takes_indices: ClassVar[bool] = True

    def __post_init__(self) -> None:
        self._check("per", self.per in ("auto", "column", "tensor", "row"), "'auto', 'column', 'tensor' or 'row'")

    @property
    def for_targets(self) -> bool:  # type: ignore[override]
        return self.per != "row"

    def start(self, num_columns: int) -> "Moments":
        from thalweg.parts.preprocessing.moments import Moments

        return Moments.empty(num_columns)

    def finish(self, state: "Moments", sample: "Tensor") -> "Fitted":
        from thalweg.parts.preprocessing.modules.row_standardize import RowStandardize

        return RowStandardize() if self.per == "row" else super().finish(state, sample)

    def _module(self, state: "Moments", shape: tuple[int, ...]) -> "Fitted":
        from thalweg.parts.preprocessing.modules.affine import Affine, mean_and_scale

        return Affine(*mean_and_scale(state, shape))

"""Tables with noise on their numbers (L32)."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, is_number
from thalweg.parts.augmentations.columns import TableAugmentation
from thalweg.parts.augmentations.draws import normals

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class ColumnNoise(TableAugmentation):
    """Adds Gaussian noise to columns of numbers, in units of each column's scale.

        x'[i, j] = x[i, j] + std · scale_j · ε[i, j],   ε standard normal

    The scale is given, as that of a batch would make a row depend on the others. A missing value (NaN) stays missing.

    Args:
        std: of the noise, at least 0.
        columns: places of the numbers; None for all columns. Leave out codes of categories, and what is 0 or 1.
        scales: of each of these columns, its standard deviation in the training rows; None for 1, which is right of
            standardized columns.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    >>> import torch
    >>> ColumnNoise(0.1, columns=(0,))(torch.tensor([[1.0, 2.0], [torch.nan, 2.0], [1.0, 2.0]]), ids=[0, 1, 2])
    tensor([[0.9411, 2.0000],
            [   nan, 2.0000],
            [0.7436, 2.0000]])

    Source: lecture row L32; Bishop 1995, "Training with noise is equivalent to Tikhonov regularization".
    """

    std: float = 0.1
    scales: tuple[float, ...] | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._require_number("std", 0)
        scales, known = self.scales, isinstance(self.scales, tuple | list)
        good = known and all(is_number(s) and s >= 0 for s in scales or ())
        fits = self.columns is None or len(scales or ()) == len(self.columns)
        self._check("scales", scales is None or (good and fits), "None, or numbers of at least 0, one for each column")

    def change(self, x: "Tensor", drawn: Drawn) -> "Tensor":
        import torch

        width = x.shape[1]
        scales = np.ones(width) if self.scales is None else np.asarray(self.scales, np.float64)
        if len(scales) != width:
            raise DataError(f"ColumnNoise got scales for {len(scales)} of {width} columns; give one for each.")
        noise = torch.from_numpy(normals(drawn["seed"], width) * (self.std * scales)).to(x.device)
        return (x + noise.to(torch.promote_types(x.dtype, torch.float32))).to(x.dtype)

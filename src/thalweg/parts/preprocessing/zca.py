"""Whitening that stays closest to the data, so that pictures stay pictures (L13)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.whitening import Whitening, exactly_white

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.preprocessing.covariance import Covariance
    from thalweg.parts.preprocessing.modules.fitted import Fitted


@dataclass(frozen=True, kw_only=True)
class ZCA(Whitening):
    """Columns without correlation and with variance 1, each as near as possible to what it was (L13).

        C = V Λ Vᵀ,   y = V max(Λ, floor · mean(λ))^(−1/2) Vᵀ (x − mean)

    A row keeps its shape, so that convolutions still find neighbors beside each other. The floor limits how much the
    smallest directions, mostly noise, are blown up: to 1/√floor of the scale of an average one. Where λ is above the
    floor, the covariance of y is the identity. Directions in which the rows do not vary become 0.

    Args:
        floor: share of the mean eigenvalue, from 0 to 1. The default of 1e-3 blows up noise 32 times at most; 0 whitens
            all that varies, and pictures need 0.01 to 0.1.

    Raises:
        UsageError: for a share out of range.
        DataError: when fitted on rows of more than 8,192 values, or on rows that are all alike.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> x = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> zca = ZCA(floor=0).fit(Rows(x, torch.zeros(4), torch.arange(4), "train"))
    >>> torch.cov(zca(x).T, correction=0)
    tensor([[1., 0.],
            [0., 1.]])

    Source: Bell, Sejnowski 1997, "The independent components of natural scenes are edge filters"; lecture row L13.
    Neither scikit-learn nor PyTorch has it.
    """

    floor: float = 1e-3

    def __post_init__(self) -> None:
        self._check("floor", in_range(self.floor, 0) and self.floor <= 1, "a share from 0 to 1")

    def finish(self, state: "Covariance", sample: "Tensor") -> "Fitted":
        from thalweg.parts.preprocessing.modules.projection import Projection

        variances, vectors = self.directions(state.matrix)
        floor = float(self.floor * state.matrix.diagonal().mean())
        deviations = variances.clamp(min=floor).sqrt()
        matrix, back, above = vectors / deviations, vectors * deviations, variances >= floor
        matrix[:, above] = exactly_white(matrix[:, above], state.matrix)
        matrix, back = matrix @ vectors.T, back @ vectors.T
        return Projection(state.mean, matrix, back, shape=tuple(sample.shape[1:]), flat=False)

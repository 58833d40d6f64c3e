"""Principal components, whitened or not (L13)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import DataError
from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.preprocessing.whitening import Whitening, exactly_white

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.preprocessing.covariance import Covariance
    from thalweg.parts.preprocessing.modules.fitted import Fitted


@dataclass(frozen=True, kw_only=True)
class PCA(Whitening):
    """Coordinates along the directions of largest variance, by default each with variance 1 (L13).

        C = Σ (x − mean)(x − mean)ᵀ / N = V Λ Vᵀ,   λ₁ ≥ λ₂ ≥ ...
        y = Λ_K^(−1/2) V_Kᵀ (x − mean)              whiten=True: the covariance of y is the identity
        y = V_Kᵀ (x − mean)                         whiten=False

    A row of any shape is taken as flat, and becomes `[K]`. Directions in which the rows do not vary are left out: below
    1e-9 of the variance that they would have if their columns were independent. Columns of different units should be
    standardized first, `Chain(Standardize(), PCA())`, or the largest unit decides alone.

    Args:
        components: how many directions; a share of the variance, between 0 and 1, that they must hold together; None
            takes all.
        whiten: whether each is divided by its standard deviation.

    Raises:
        UsageError: for a value out of range.
        DataError: when fitted, for more components than the rows have directions, or rows of more than 8,192 values.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> x = torch.tensor([[2.0, 2.0], [-2.0, -2.0], [1.0, -1.0], [-1.0, 1.0]])
    >>> pca = PCA(components=0.75).fit(Rows(x, torch.zeros(4), torch.arange(4), "train"))
    >>> pca(x).flatten(), pca.report
    (tensor([ 1.4142, -1.4142,  0.0000,  0.0000]), '1 component of 2 columns')

    Source: Pearson 1901; lecture row L13. As scikit-learn's PCA, which divides by N − 1, warns at nothing and whitens
    directions of rounding noise too. PyTorch has `torch.pca_lowrank`, without the scaling.
    """

    components: int | float | None = None
    whiten: bool = True

    def __post_init__(self) -> None:
        whole = isinstance(self.components, int) and in_range(self.components, 1)
        share = isinstance(self.components, float) and 0 < self.components < 1
        allowed = "None, an integer of at least 1, or a share of the variance between 0 and 1"
        self._check("components", self.components is None or whole or share, allowed)
        self._check("whiten", isinstance(self.whiten, bool), "True or False")

    def finish(self, state: "Covariance", sample: "Tensor") -> "Fitted":
        from thalweg.parts.preprocessing.modules.projection import Projection

        variances, vectors = self.directions(state.matrix)
        count = self._count(variances)
        matrix = back = vectors[:, :count]
        if self.whiten:
            deviations = variances[:count].sqrt()
            matrix, back = exactly_white(matrix / deviations, state.matrix), back * deviations
        return Projection(state.mean, matrix, back.T, shape=tuple(sample.shape[1:]), flat=True)

    def _count(self, variances: "Tensor") -> int:
        if self.components is None:
            return len(variances)
        if isinstance(self.components, float):
            held = variances.cumsum(0) / variances.sum()
            return min(int((held < self.components).sum()) + 1, len(variances))
        if self.components > len(variances):
            raise DataError(
                f"PCA(components={self.components}) got training rows that vary in {len(variances)} directions only. "
                "Ask for no more, or for a share of the variance: components=0.99."
            )
        return self.components

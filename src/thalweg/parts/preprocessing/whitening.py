"""What principal components and ZCA share: the eigenvectors of a covariance, each with an exact variance (L13)."""

from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.errors import DataError
from thalweg.parts.preprocessing.preparation import Preparation

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.preprocessing.covariance import Covariance

MOST_COLUMNS = 8192  # whose covariance takes 0.5 GB, and its eigenvectors minutes
RANK = 1e-9  # of the variance that a direction would have if its columns were independent; below it is rounding
ROUNDING = 1e-26  # of the largest variance: columns that are constant
WHITE = 1e-9  # of a covariance that should be 1


class Whitening(Preparation):
    """A preparation by the covariance of flat rows."""

    for_targets: ClassVar[bool] = False

    def arrange(self, values: "Tensor") -> "Tensor":
        """Rows as flat."""
        from thalweg.parts.preprocessing.modules.projection import flattened

        return flattened(values)

    def start(self, num_columns: int) -> "Covariance":
        from thalweg.parts.preprocessing.covariance import Covariance

        if num_columns > MOST_COLUMNS:
            raise DataError(
                f"{type(self).__name__} got rows of {num_columns:,} values, whose covariance has their square; it "
                f"takes up to {MOST_COLUMNS:,}. Make the rows smaller (images of fewer pixels), or use Standardize."
            )
        return Covariance.empty(num_columns)

    def directions(self, covariance: "Tensor") -> "tuple[Tensor, Tensor]":
        """Variances `[K]`, the largest first, and directions `[D, K]`.

        Directions in which the training rows do not vary are left out. The largest entry of a direction is positive.

        Raises:
            DataError: where the rows are all alike.
        """
        import torch

        vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors.flip(1)
        # vᵀCv is exact to rounding for each direction; the solver's eigenvalues are so for the largest only.
        variances = (vectors * (covariance @ vectors)).sum(0)
        independent = vectors.square().T @ covariance.diagonal()
        kept = (variances > RANK * independent) & (variances > ROUNDING * variances.max())
        if not kept.any():
            raise DataError(f"{type(self).__name__} found no direction in which the rows vary.")
        variances, order = variances[kept].sort(descending=True)
        vectors = vectors[:, kept][:, order]
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        return variances, vectors * largest.sign()

    def finish(self, state: Any, sample: "Tensor") -> Any:
        raise NotImplementedError


def exactly_white(matrix: "Tensor", covariance: "Tensor") -> "Tensor":
    """W with WᵀCW = 1, nearest to one for which this is nearly so.

    A solver leaves eigenvectors of the smallest variances mixed: by 5e-4 where the largest is 1e12 times theirs.
    """
    import torch

    product = matrix.T @ covariance @ matrix
    if (product - torch.eye(len(product), dtype=product.dtype)).abs().max() < WHITE:
        return matrix
    values, vectors = torch.linalg.eigh(product)
    corrected: Tensor = matrix @ (vectors / values.sqrt()) @ vectors.T
    return corrected

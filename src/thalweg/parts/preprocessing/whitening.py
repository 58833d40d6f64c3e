"""What principal components and ZCA share: the eigenvectors of a covariance, each with an exact variance (L13)."""

from typing import TYPE_CHECKING, Any, ClassVar

from thalweg.errors import DataError
from thalweg.parts.preprocessing.preparation import Preparation

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.preprocessing.covariance import Covariance

MOST_COLUMNS = 8192  # whose covariance takes 0.5 GB, and its eigenvectors minutes
RANK = 1e-9  # of the variance that a direction would have if its columns were independent; below it is rounding


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
                f"{type(self).__name__} got rows of {num_columns:,} values, whose covariance has their square; it takes "
                f"up to {MOST_COLUMNS:,}. Make the rows smaller (images of fewer pixels), or use Standardize."
            )
        return Covariance.empty(num_columns)

    def eigen(self, state: "Covariance") -> "tuple[Tensor, Tensor]":
        """Variances `[K]`, the largest first, and directions `[D, K]`, of which the largest entry is positive.

        Directions in which the training rows do not vary are left out. The variance of a direction v is vᵀCv, which
        is exact to rounding for each one; the eigenvalues that the solver gives are so for the largest only.

        Raises:
            DataError: where the rows are all alike.
        """
        import torch

        covariance = state.matrix
        vectors: Tensor = torch.linalg.eigh(covariance).eigenvectors.flip(1)
        variances = (vectors * (covariance @ vectors)).sum(0)
        independent = vectors.square().T @ covariance.diagonal()
        kept = variances > RANK * independent
        variances, vectors = variances[kept], vectors[:, kept]
        if not len(variances):
            raise DataError(f"{type(self).__name__} found no direction in which the {state.count:,} rows vary.")
        variances, order = variances.sort(descending=True)
        vectors = vectors[:, order]
        largest = vectors.gather(0, vectors.abs().argmax(0, keepdim=True))
        return variances, vectors * largest.sign()

    def finish(self, state: Any, sample: "Tensor") -> Any:
        raise NotImplementedError

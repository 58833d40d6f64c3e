"""Ghost batch norm: batch norm on parts of the batch, whose noise regularizes as small batches do (L17)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.normalization.normalization import OutputNormalization, check_momentum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class GhostBatchNorm(OutputNormalization):
    """Batch norm on each `size` consecutive rows by themselves: the noise of small batches in large ones (L17).

    A batch is cut into ghosts B₁, B₂, … of `size` rows, the last with what is left:

        y = γ (x − μ_B) / √(σ²_B + ε) + β      with the statistics of the ghost B that the row is in
        μ̂ ← (1 − m) μ̂ + m Σ_B n_B/n μ_B,     σ̂² ← (1 − m) σ̂² + m Σ_B n_B/n σ²_B · n_B / (n_B − 1)

    so that the running mean moves by the mean of the whole batch, and the running variance by the ghosts' mean of
    unbiased variances, once per batch. A last ghost of one value per channel, which has no variance, joins the one
    before it. With `size` of at least the batch it is `nn.BatchNorm`, gradients included.

    Args:
        size: rows of a ghost, at least 2; one row by itself is `InstanceNorm`.
        eps: ε, above 0.
        momentum: m, from 0 to 1; None makes the running estimates plain means over all batches.
        affine: whether γ and β are learned.
        track_running_stats: whether there are running estimates; without them evaluation uses ghosts too.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> x = torch.tensor([[1.0], [3.0], [10.0], [30.0]])
    >>> GhostBatchNorm(size=2).build(1, dims=0)(x).flatten()
    tensor([-1.0000,  1.0000, -1.0000,  1.0000], grad_fn=<ViewBackward0>)

    Source: Hoffer, Hubara, Soudry 2017, "Train longer, generalize better", algorithm 1; there the running estimates
    move once per ghost, here once per batch, so that `momentum` means what it means in torch. Not in PyTorch.
    """

    size: int = 32
    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True

    def __post_init__(self) -> None:
        whole = isinstance(self.size, int) and not isinstance(self.size, bool)
        self._check("size", whole and self.size >= 2, "an integer of at least 2")
        self._check_eps(self.eps)
        check_momentum(self, self.momentum)
        self._check_flags("affine", "track_running_stats")

    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        self._check_size(num_features, dims)
        from thalweg.parts.normalization.modules.ghost import GhostBatchNormNd

        return GhostBatchNormNd(
            num_features, self.eps, self.momentum, self.affine, self.track_running_stats, size=self.size
        )

"""Batch norm: every channel with the mean and variance of the batch (L14, L16)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.normalization.normalization import OutputNormalization, check_momentum

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class BatchNorm(OutputNormalization):
    """Every channel with the mean and variance it has over the batch and the places (L14).

    With μ_B and σ²_B over rows and places of the batch, n values in all, learned γ and β per channel:

        y = γ (x − μ_B) / √(σ²_B + ε) + β                                  (training)
        μ̂ ← (1 − m) μ̂ + m μ_B,   σ̂² ← (1 − m) σ̂² + m σ²_B · n / (n − 1)
        y = γ (x − μ̂) / √(σ̂² + ε) + β                                      (evaluation)

    It stands before the activation (L15); a bias of the layer before it is without effect. In use it differs from the
    training (L16): a small batch estimates μ and σ² poorly (L17), where `GroupNorm`, which looks at one row only, or
    `synchronized` are the ways out; `thalweg.measure.batch_noise.estimate_noise` measures how poorly.

    Args:
        eps: ε, above 0.
        momentum: m, the newest batch's share in the running estimates, from 0 to 1; None makes them plain means over
            all batches so far (cumulative averaging), which suits constant weights, not a training's first steps.
        affine: whether γ and β are learned.
        track_running_stats: whether there are running estimates; without them evaluation uses its own batch too.
        synchronized: whether the ranks of torch.distributed normalize by the statistics of all their rows together,
            however many each has. Outside of it, or with one rank, it is plain batch norm.

    Raises:
        UsageError: for a value out of range.

    `build` gives `nn.BatchNorm1d`, `2d`, `3d`, or a module of any rank; on a batch with one value per channel it raises
    torch's `ValueError`.

    >>> BatchNorm().build(8, dims=2)
    BatchNorm2d(8, eps=1e-05, momentum=0.1, ...)
    >>> BatchNorm(synchronized=True).build(8)
    SyncBatchNormNd(8, eps=1e-05, momentum=0.1, ...)

    Source: Ioffe, Szegedy 2015, "Batch normalization". Difference from PyTorch: synchronized, it also works on a CPU
    under gloo, where `nn.SyncBatchNorm` refuses, under DDP too; statistics are merged in float64 as counts, means and
    sums of squared deviations. As in `nn.SyncBatchNorm` a rank's γ and β get the gradients of its own rows, which DDP
    averages. Under `torch.func.vmap` the running estimates cannot be updated, as with torch's: train there with
    `track_running_stats=False`, or evaluate.
    """

    eps: float = 1e-5
    momentum: float | None = 0.1
    affine: bool = True
    track_running_stats: bool = True
    synchronized: bool = False

    def __post_init__(self) -> None:
        self._check_eps(self.eps)
        check_momentum(self, self.momentum)
        self._check_flags("affine", "track_running_stats", "synchronized")

    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        self._check_size(num_features, dims)
        from torch import nn

        from thalweg.parts.normalization.modules.any_rank import BatchNormNd
        from thalweg.parts.normalization.modules.synchronized import SyncBatchNormNd

        by_dims = {None: BatchNormNd, 0: nn.BatchNorm1d, 1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
        kind = SyncBatchNormNd if self.synchronized else by_dims[dims]
        return kind(num_features, self.eps, self.momentum, self.affine, self.track_running_stats)

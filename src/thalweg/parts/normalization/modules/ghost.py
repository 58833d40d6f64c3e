"""Ghost batch norm as a module."""

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.parts.normalization.modules.any_rank import BatchNormNd


class GhostBatchNormNd(BatchNormNd):
    """Batch norm on each `size` consecutive rows; `tw.normalization.GhostBatchNorm` has the formulas.

    Arguments and state are those of `nn.BatchNorm2d`, for any number of dimensions of places.

    Args:
        size: rows of a ghost.

    >>> norm = GhostBatchNormNd(3, size=16)
    >>> norm(torch.randn(40, 3, 8, 8)).shape, int(norm.num_batches_tracked)  # ghosts of 16, 16 and 8 rows
    (torch.Size([40, 3, 8, 8]), 1)
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        *,
        size: int = 32,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
        self.size = size

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        if not self.training and self.running_mean is not None:
            return super().forward(input)
        self._check_input_dim(input)
        bounds = self.bounds(input)
        if len(bounds) == 1:
            return super().forward(input)
        share = self._newest_share() if self.training else 0.0
        tracked = self.running_mean is not None and self.training
        ghosts, done = [], 0
        for rows in torch.split(input, bounds):  # whose backward is one pass; narrow's is one over all per ghost
            done += len(rows)
            # Each ghost's share is such that after the last the batch's mean has entered with `share`: 1 - share is
            # left of the old estimate, share * rows / all of each ghost.
            own = share * len(rows) / (len(input) * (1 - share) + share * done) if share else 0.0
            mean, variance = (self.running_mean, self.running_var) if tracked else (None, None)
            ghosts.append(F.batch_norm(rows, mean, variance, self.weight, self.bias, True, own, self.eps))
        return torch.cat(ghosts)

    def bounds(self, input: Tensor) -> list[int]:  # noqa: A002 - torch's name
        """How many rows each ghost has."""
        full, rest = divmod(len(input), self.size)
        sizes = [self.size] * full + [rest] * bool(rest)
        if len(sizes) > 1 and sizes[-1] * input.shape[2:].numel() == 1:
            last = sizes.pop()
            sizes[-1] += last
        return sizes or [0]

    def _newest_share(self) -> float:
        """Counts the batch; how much of it enters the running estimates."""
        if self.num_batches_tracked is None:
            return 0.0
        self.num_batches_tracked.add_(1)
        # A plain mean asks the count, which synchronizes, as in torch.
        return 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, size={self.size}"  # type: ignore[no-untyped-call]

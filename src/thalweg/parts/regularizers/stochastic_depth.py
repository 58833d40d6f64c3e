"""Dropout of whole residual branches (L30)."""

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError


class StochasticDepth(nn.Module):
    r"""Drops the branch of a residual block with probability p while training: a network of random depth (L30).

        y = x + StochasticDepth(p)(branch(x)),    StochasticDepth(p)(z) = m z / (1 − p)

    A dropped sample passes the block by the shortcut alone, so that gradients reach early layers by short paths, and
    the trained network is an ensemble of shallower ones. It goes at the end of the branch, before the addition. Early
    blocks, on which all others build, are dropped less: `rates_by_depth`.

    Args:
        p: probability that a branch is dropped, from 0 to 1.
        mode: "row" draws for each sample, "batch" once for the whole batch.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> StochasticDepth(0.5)(torch.ones(4, 2))
    tensor([[0., 0.],
            [0., 0.],
            [2., 2.],
            [0., 0.]])

    Source: Huang et al. 2016, "Deep networks with stochastic depth", who scale at inference. As torchvision's
    `StochasticDepth` and timm's `DropPath` (mode "row"), with their noise from the same seed; torch has none.
    """

    def __init__(self, p: float = 0.1, *, mode: Literal["row", "batch"] = "row") -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise UsageError(f"StochasticDepth got p={p!r}; allowed: a probability from 0 to 1.")
        if mode not in ("row", "batch"):
            raise UsageError(f"StochasticDepth got mode={mode!r}; allowed: 'row' or 'batch'.")
        self.p, self.mode = p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        rows = len(x) if self.mode == "row" else 1
        return x * F.dropout(x.new_ones(rows, *[1] * (x.dim() - 1)), self.p)

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"


def rates_by_depth(last: float, *, num_blocks: int) -> list[float]:
    r"""The drop probability of each residual block, which grows in a line with its depth (L30).

        p_l = l / L · p_L,    l = 1 … L

    The expected number of blocks that stay is L − p_L (L + 1) / 2: three quarters of a deep network at p_L = 0.5.

    Args:
        last: p_L of the last block, from 0 to 1; 0.5 for a ResNet-110, 0.1 to 0.4 for transformers, more for larger.
        num_blocks: L, at least 1.

    Raises:
        UsageError: for a value out of range.

    >>> rates_by_depth(0.5, num_blocks=4)
    [0.125, 0.25, 0.375, 0.5]

    Source: Huang et al. 2016. timm's line begins with 0 at the first block.
    """
    if not 0 <= last <= 1:
        raise UsageError(f"rates_by_depth got last={last!r}; allowed: a probability from 0 to 1.")
    if num_blocks < 1:
        raise UsageError(f"rates_by_depth got num_blocks={num_blocks!r}; allowed: at least 1.")
    return [block / num_blocks * last for block in range(1, num_blocks + 1)]

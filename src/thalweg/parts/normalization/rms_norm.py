"""RMS norm: every place of every row by the root mean square of its channels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.normalization.normalization import OutputNormalization

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class RMSNorm(OutputNormalization):
    """Every place of every row by the root mean square of its channels: layer norm without the mean.

    Over the C channels of one row at one place, learned γ per channel:

        y = γ x / √(1/C Σ x² + ε)

    Args:
        eps: ε, above 0; None takes the type's own, 1.2e-7 in float32, as torch does.
        affine: whether γ is learned.

    Raises:
        UsageError: for a value out of range.

    `build` gives an `nn.RMSNorm` for `[N, C]`, fused under autocast too; with places after the channels a module that
    normalizes dimension 1 and leaves the layout in memory as it is.

    >>> import torch
    >>> RMSNorm(affine=False).build(2, dims=0)(torch.tensor([[1.0, 7.0]]))
    tensor([[0.2000, 1.4000]])

    Source: Zhang, Sennrich 2019, "Root mean square layer normalization". Difference from PyTorch: `nn.RMSNorm`
    normalizes the last dimensions only. In the place of a layer norm it has no β.
    """

    eps: float | None = None
    affine: bool = True

    def __post_init__(self) -> None:
        if self.eps is not None:
            self._check_eps(self.eps)
        self._check_flags("affine")

    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        self._check_size(num_features, dims)
        from thalweg.parts.normalization.modules.channels import ChannelRMSNorm

        return self.of_last(num_features) if dims == 0 else ChannelRMSNorm(self.of_last(num_features))

    def of_last(self, shape: int | tuple[int, ...]) -> "nn.RMSNorm":
        """torch's, over the last dimensions."""
        from thalweg.parts.normalization.modules.channels import LastRMSNorm

        return LastRMSNorm(shape, self.eps, self.affine)

"""Layer norm: every place of every row with the mean and variance of its channels."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.normalization.normalization import OutputNormalization

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class LayerNorm(OutputNormalization):
    """Every place of every row with the mean and variance of its channels.

    With μ and σ² over the C channels of one row at one place, learned γ and β per channel:

        y = γ (x − μ) / √(σ² + ε) + β

    Nothing depends on the batch, and training and evaluation are the same. This is the layer norm of transformers (a
    place is a token) and of ConvNeXt (a place is a pixel). The other that goes by the name, over all channels and
    places of a row, is `GroupNorm(groups=1)`.

    Args:
        eps: ε, above 0.
        affine: whether γ is learned.
        bias: whether β is learned too.

    Raises:
        UsageError: for a value out of range.

    `build` gives `nn.LayerNorm` for `[N, C]`; with places after the channels a module that normalizes dimension 1 and
    leaves the layout in memory as it is.

    >>> import torch
    >>> x = torch.tensor([[[1.0, 5.0], [3.0, 9.0]]])  # a row of 2 channels at 2 places
    >>> LayerNorm(affine=False).build(2, dims=1)(x)
    tensor([[[-1.0000, -1.0000],
             [ 1.0000,  1.0000]]])

    Source: Ba, Kiros, Hinton 2016, "Layer normalization". Difference from PyTorch: `nn.LayerNorm` normalizes the last
    dimensions, so that channels would have to be moved there.
    """

    eps: float = 1e-5
    affine: bool = True
    bias: bool = True

    def __post_init__(self) -> None:
        self._check_eps(self.eps)
        self._check_flags("affine", "bias")

    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        self._check_size(num_features, dims)
        from thalweg.parts.normalization.modules.channels import ChannelLayerNorm

        return self.of_last(num_features) if dims == 0 else ChannelLayerNorm(self.of_last(num_features))

    def of_last(self, shape: int | tuple[int, ...]) -> "nn.LayerNorm":
        """torch's, over the last dimensions."""
        from torch import nn

        return nn.LayerNorm(shape, self.eps, self.affine, self.bias)

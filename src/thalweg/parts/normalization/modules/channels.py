"""Layer norm and RMS norm over the channels in dimension 1, where torch's take the last dimension."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def in_layout_of(value: Tensor, like: Tensor) -> Tensor:
    """`value` with the channels back in dimension 1, as `like` lies in memory: a network may `view` what comes."""
    moved = value.movedim(-1, 1)
    for layout, rank in ((torch.channels_last, 4), (torch.channels_last_3d, 5)):
        if like.dim() == rank and like.is_contiguous(memory_format=layout) and not like.is_contiguous():
            return moved.contiguous(memory_format=layout)
    return moved.contiguous()


class ChannelLayerNorm(nn.Module):
    """`LayerNorm` over dimension 1 of `[N, C, ...]`; weight, bias and eps are those of an `nn.LayerNorm(C)`.

    >>> norm = ChannelLayerNorm(nn.LayerNorm(4))
    >>> bool(norm(torch.randn(2, 4, 3, 3)).mean(1).abs().max() < 1e-6)
    True
    """

    def __init__(self, last: nn.LayerNorm) -> None:
        super().__init__()
        self.num_channels, self.eps = last.normalized_shape[0], last.eps
        self.weight, self.bias = last.weight, last.bias

    def forward(self, x: Tensor) -> Tensor:
        return in_layout_of(F.layer_norm(x.movedim(1, -1), (self.num_channels,), self.weight, self.bias, self.eps), x)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"


class LastRMSNorm(nn.RMSNorm):
    """`nn.RMSNorm` in its fused form under autocast too, for which torch wants weights of the type of x, and warns.

    >>> LastRMSNorm(2, elementwise_affine=False)(torch.tensor([[1.0, 7.0]]))
    tensor([[0.2000, 1.4000]])
    """

    def forward(self, x: Tensor) -> Tensor:
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return F.rms_norm(x, self.normalized_shape, weight, self.eps)


class ChannelRMSNorm(nn.Module):
    """`RMSNorm` over dimension 1 of `[N, C, ...]`; weight and eps are those of an `nn.RMSNorm(C)`.

    >>> norm = ChannelRMSNorm(nn.RMSNorm(4))
    >>> bool((norm(torch.randn(2, 4, 3, 3)).square().mean(1) - 1).abs().max() < 1e-4)
    True
    """

    def __init__(self, last: nn.RMSNorm) -> None:
        super().__init__()
        self.num_channels, self.eps = last.normalized_shape[0], last.eps
        self.weight = last.weight

    def forward(self, x: Tensor) -> Tensor:
        # torch has no fused form for weights of another type than x, as under autocast, and warns.
        weight = None if self.weight is None else self.weight.to(x.dtype)
        return in_layout_of(F.rms_norm(x.movedim(1, -1), (self.num_channels,), weight, self.eps), x)

    def extra_repr(self) -> str:
        return f"{self.num_channels}, eps={self.eps}, affine={self.weight is not None}"

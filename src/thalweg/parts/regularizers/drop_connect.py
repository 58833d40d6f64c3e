"""Dropout of weights instead of outputs (L30)."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional as F

from thalweg.errors import UsageError


class DropConnect(nn.Module):
    r"""A layer whose single weights are 0 with probability p while training (L30).

        W′ = M ∘ W / (1 − p),    M one of 0 and 1 per weight

    Where dropout of a layer's inputs leaves out whole columns of W, this leaves out any of its entries: 2^(weights)
    networks instead of 2^(units). The bias stays. At inference the weights are as they are, which is the mean over all
    networks before the nonlinearity.

    Args:
        layer: a layer with a `weight`: linear, convolution, transposed convolution. It is kept as `layer`.
        p: probability of being dropped, from 0 to below 1.
        mode: "batch" draws one mask for the whole batch; "row" one per sample `[N, ..., in]`, as in the paper, which is
            for linear layers and takes the memory of a copy of the weights per sample.

    Raises:
        UsageError: for a value out of range, a layer without a `weight` that is a parameter, or mode "row" with another
            layer than `nn.Linear`.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> layer = DropConnect(nn.Linear(4, 1, bias=False), p=0.5, mode="row")
    >>> _ = nn.init.ones_(layer.layer.weight)
    >>> layer(torch.ones(3, 4)).flatten(), layer.eval()(torch.ones(3, 4)).flatten()
    (tensor([2., 6., 6.], grad_fn=<...>), tensor([4., 4., 4.], grad_fn=<...>))

    Source: Wan et al. 2013, "Regularization of neural networks using DropConnect", who drop biases too and draw
    Gaussians at inference; `monte_carlo` draws the masks themselves. torch has no such layer.
    """

    def __init__(self, layer: nn.Module, p: float = 0.5, *, mode: Literal["batch", "row"] = "batch") -> None:
        super().__init__()
        if not isinstance(getattr(layer, "weight", None), nn.Parameter):
            raise UsageError(
                f"DropConnect got {type(layer).__name__}, whose `weight` is no parameter; wrap a linear or "
                "convolutional layer."
            )
        if not 0 <= p < 1:
            raise UsageError(f"DropConnect got p={p!r}; allowed: a probability from 0 to below 1.")
        if mode not in ("batch", "row"):
            raise UsageError(f"DropConnect got mode={mode!r}; allowed: 'batch' or 'row'.")
        if mode == "row" and not isinstance(layer, nn.Linear):
            raise UsageError(f"DropConnect got mode='row' with {type(layer).__name__}; allowed: nn.Linear, or 'batch'.")
        self.layer, self.p, self.mode = layer, p, mode

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return self.layer(x)  # type: ignore[no-any-return]
        weight: Tensor = self.layer.weight  # type: ignore[assignment]
        if self.mode == "batch":
            return functional_call(self.layer, {"weight": F.dropout(weight, self.p)}, (x,))  # type: ignore[no-any-return]

        weights = F.dropout(weight.expand(len(x), *weight.shape), self.p)
        output = torch.einsum("noi,n...i->n...o", weights, x)
        return output if self.layer.bias is None else output + self.layer.bias  # type: ignore[operator]

    def extra_repr(self) -> str:
        return f"p={self.p}, mode={self.mode!r}"

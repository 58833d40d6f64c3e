"""Orthogonal: a layer that turns and keeps lengths (L11)."""

from dataclasses import dataclass
from math import prod
from typing import Any

from thalweg.parts.initializers.initializer import Initializer, Role, Scale


@dataclass(frozen=True, kw_only=True)
class Orthogonal(Initializer):
    """The weights as a matrix with orthonormal rows or columns, whichever are fewer, times the gain (L11).

        W = gain · Q,    QᵀQ = I or QQᵀ = I

    All its singular values are the gain, so that a deep linear stack neither grows nor shrinks, in any direction. With
    rows fewer than inputs each output has the variance of the inputs; with more rows the sum over outputs has, and each
    has inputs / outputs of it. A kernel is flattened, `[outputs, inputs · kernel]`; each group and each gate is a
    matrix of its own. Embeddings are drawn normal, with deviation 1.

    >>> import torch
    >>> weight = Orthogonal().fill_(torch.empty(64, 32, dtype=torch.float64))
    >>> float((weight.T @ weight - torch.eye(32)).abs().max()) < 1e-12
    True

    Source: Saxe, McClelland, Ganguli 2014, "Exact solutions to the nonlinear dynamics of learning in deep linear neural
    networks". As `torch.nn.init.orthogonal_`, which takes a grouped convolution or an LSTM's gates as one matrix.
    """

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        import torch

        whole = torch.empty(tensor.shape, dtype=tensor.dtype, device=tensor.device)
        for block in whole.chunk(groups):
            torch.nn.init.orthogonal_(block, 1.0 if scale.gain is None else scale.gain, generator)
        tensor.copy_(whole)

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        gain = 1.0 if scale.gain is None else scale.gain
        return gain / float(max(shape[0] // groups, prod(shape[1:])) ** 0.5)

    def for_role(self, role: Role) -> Initializer:
        from thalweg.parts.initializers.lecun import LeCun

        return LeCun() if role == "embedding" else self

"""Sparse: each unit begins with few inputs."""

from dataclasses import dataclass
from math import prod
from typing import Any, Literal

from thalweg.parts.initializers.initializer import Initializer, Role, Scale
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class Sparse(Initializer):
    """Normal weights, of which the same share is 0 for every unit.

    Each unit keeps k = fan_in − ⌈sparsity · fan_in⌉ of its incoming weights, at least one, drawn at random:

        W = 0 but for k entries per unit ~ N(0, std²),    std = gain / √k by default

    Args:
        sparsity: share of zeros, from 0 to below 1. The source keeps 15 weights per unit.
        std: deviation of the others, at least 0; `"auto"` keeps the mean square of the signal.

    Raises:
        UsageError: for a value out of range.

    >>> import torch
    >>> weight = Sparse(sparsity=0.9).fill_(torch.empty(5, 100))
    >>> (weight != 0).sum(1).tolist()
    [10, 10, 10, 10, 10]

    Source: Martens 2010, "Deep learning via Hessian-free optimization". Unlike `torch.nn.init.sparse_`, which takes
    matrices only and puts the zeros into columns, so that a unit may be left without any input, and whose deviation is
    0.01. Embeddings are drawn dense, with deviation 1.
    """

    sparsity: float = 0.9
    std: float | Literal["auto"] = "auto"

    def __post_init__(self) -> None:
        self._check("sparsity", in_range(self.sparsity, 0, 1), "a share from 0 to below 1")
        self._check("std", self.std == "auto" or in_range(self.std, 0), "'auto' or a number of at least 0")

    def kept(self, inputs: int) -> int:
        """How many incoming weights a unit keeps."""
        return max(inputs - int(-(-self.sparsity * inputs // 1)), 1)

    def _spread(self, scale: Scale, inputs: int) -> float:
        """The deviation of the weights that are kept; of a layer whose fan is not its row, in proportion."""
        if self.std != "auto":
            return self.std
        share = self.kept(inputs) / inputs
        return (1.0 if scale.gain is None else scale.gain) / float((share * scale.fan_in) ** 0.5)

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        import torch

        inputs = prod(tensor.shape[1:])
        matrix = torch.empty(tensor.shape[0], inputs, dtype=tensor.dtype, device=tensor.device)
        order = matrix.uniform_(generator=generator).argsort(dim=1)
        matrix.normal_(0.0, self._spread(scale, inputs), generator=generator)
        matrix.scatter_(1, order[:, self.kept(inputs) :], 0.0)
        tensor.copy_(matrix.view(tensor.shape))

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        inputs = prod(shape[1:])
        return self._spread(scale, inputs) * float((self.kept(inputs) / inputs) ** 0.5)

    def for_role(self, role: Role) -> Initializer:
        from thalweg.parts.initializers.lecun import LeCun

        return LeCun() if role == "embedding" else self

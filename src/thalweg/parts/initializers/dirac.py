"""Dirac: a layer that begins as the identity."""

from dataclasses import dataclass
from math import prod
from typing import Any

from thalweg.parts.initializers.initializer import Initializer, Role, Scale


@dataclass(frozen=True, kw_only=True)
class Dirac(Initializer):
    """Passes input i on as output i: 1 at the center of kernel i, i, and 0 elsewhere.

        W[i, i, center] = 1

    Outputs beyond the number of inputs are 0: such units are alike, and learn alike until another layer tells them
    apart. Recurrent weights become the identity per gate; embeddings are drawn normal, with deviation 1.

    >>> import torch
    >>> Dirac().fill_(torch.empty(2, 2, 3))[0]
    tensor([[0., 1., 0.],
            [0., 0., 0.]])

    Source: Zagoruyko, Komodakis 2017, "DiracNets"; recurrent: Le, Jaitly, Hinton 2015, "A simple way to initialize
    recurrent networks of rectified linear units". As `torch.nn.init.dirac_`, which takes kernels only; here a matrix
    becomes the identity, as by `torch.nn.init.eye_`.
    """

    def _fill(self, tensor: Any, scale: Scale, groups: int, generator: Any) -> None:
        tensor.zero_()
        center = tuple(size // 2 for size in tensor.shape[2:])
        for block in tensor.chunk(groups):
            for i in range(min(block.shape[:2])):
                block[(i, i, *center)] = 1

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        share = min(shape[0] // groups, shape[1]) * groups / prod(shape)
        return float((share * (1 - share)) ** 0.5)

    def for_role(self, role: Role) -> Initializer:
        from thalweg.parts.initializers.lecun import LeCun

        return LeCun() if role == "embedding" else self

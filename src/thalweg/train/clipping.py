"""Clipping of gradients: by the norm of the whole, by value, and in proportion to the weights."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

EPSILON = 1e-3  # of adaptive clipping: the norm that weights near zero are taken to have


@dataclass(frozen=True)
class Clipping:
    """What a plan clips; None leaves that form out. Where several are asked for: adaptive, then value, then norm."""

    norm: float | None = None
    value: float | None = None
    adaptive: float | None = None

    def __call__(self, gradients: Sequence[Tensor | None], parameters: Sequence[Tensor]) -> None:
        """Clips the gradients in place; None stands for a parameter that has none."""
        if self.norm is None and self.value is None and self.adaptive is None:
            return
        pairs = [(g, p) for g, p in zip(gradients, parameters, strict=True) if g is not None]
        present = [g for g, _ in pairs]
        if not present:
            return
        if self.adaptive is not None:
            for gradient, parameter in pairs:
                clip_adaptively(gradient, parameter, self.adaptive)
        if self.value is not None:
            torch._foreach_clamp_max_(present, self.value)
            torch._foreach_clamp_min_(present, -self.value)
        if self.norm is not None:
            clip_norm(present, self.norm)


def clip_norm(gradients: list[Tensor], largest: float) -> Tensor:
    """Scales the gradients in place so that their common norm is at most `largest`; returns the norm before.

    The factor is that of `torch.nn.utils.clip_grad_norm_`: min(1, largest / (norm + 1e-6)).
    """
    if torch.compiler.is_compiling():  # the compiler has no kernel for all norms at once
        norms = [torch.linalg.vector_norm(gradient) for gradient in gradients]
    else:
        norms = list(torch._foreach_norm(gradients))
    norm: Tensor = torch.linalg.vector_norm(torch.stack(norms))
    torch._foreach_mul_(gradients, (largest / (norm + 1e-6)).clamp(max=1.0))
    return norm


def clip_adaptively(gradient: Tensor, parameter: Tensor, ratio: float) -> None:
    """Scales each unit's gradient in place so that ‖g‖ ≤ ratio · max(‖w‖, 1e-3).

    A unit is a row of a matrix, a filter of a convolution; a bias or scale is taken whole, as timm takes it. Source:
    Brock et al. 2021, "High-performance large-scale image recognition without normalization", equation 3.

    >>> gradient, weight = torch.tensor([[3.0, 4.0], [0.0, 0.1]]), torch.tensor([[6.0, 8.0], [1.0, 0.0]])
    >>> clip_adaptively(gradient, weight, 0.1)
    >>> gradient
    tensor([[0.6000, 0.8000],
            [0.0000, 0.1000]])
    """
    rest = tuple(range(1, parameter.dim())) if parameter.dim() > 1 else None
    weight = torch.linalg.vector_norm(parameter, dim=rest, keepdim=True).clamp(min=EPSILON)
    norm = torch.linalg.vector_norm(gradient, dim=rest, keepdim=True)
    gradient.mul_((ratio * weight / norm.clamp(min=1e-6)).clamp(max=1.0))

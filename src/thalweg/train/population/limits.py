"""Regularizers and clipping of K members at once, each with numbers of its own, on `[K, P]` matrices of parameters."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from thalweg.parts.regularizers import L1, L2, DecoupledDecay, ElasticNet, MaxNorm, Regularizer
from thalweg.train.clipping import EPSILON

Shapes = Sequence[torch.Size]


@dataclass
class Limits:
    """What members clip and how they are regularized.

    Args:
        norm, value, adaptive: `[K, 1]` limits, infinite where a member has none; None where no member has one.
        regularizers: of each regularizer its kind, whether it is proximal, and its numbers `[K, 1]` by name.
    """

    norm: Tensor | None
    value: Tensor | None
    adaptive: Tensor | None
    regularizers: list[tuple[type[Regularizer], bool, dict[str, Tensor]]]

    def add(self, gradient: Tensor, matrix: Tensor) -> Tensor:
        """The gradients with those of the penalties."""
        for kind, proximal, own in self.regularizers:
            if kind in (L2, ElasticNet):
                gradient = gradient + own["strength" if kind is L2 else "l2"] * matrix
            if kind in (L1, ElasticNet) and not proximal:
                gradient = gradient + own["strength" if kind is L1 else "l1"] * matrix.sign()
        return gradient

    def clip(self, gradients: list[Tensor], matrices: list[Tensor], shapes: list[Shapes]) -> list[Tensor]:
        """Adaptive, then value, then norm, as `Clipping` does for one network."""
        if self.adaptive is not None:
            ratio = self.adaptive
            triples = zip(gradients, matrices, shapes, strict=True)
            gradients = [torch.cat(list(clipped(g, m, s, ratio)), 1) for g, m, s in triples]
        if self.value is not None:
            gradients = [g.clamp(-self.value, self.value) for g in gradients]
        if self.norm is not None:
            norms = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in gradients])
            norm = torch.linalg.vector_norm(norms, dim=0)[:, None]
            factor = (self.norm / (norm + 1e-6)).clamp(max=1.0).where(self.norm < torch.inf, 1.0)
            gradients = [g * factor for g in gradients]
        return gradients

    def decay(self, matrix: Tensor, rate: Tensor) -> Tensor:
        """The parameters shrunk right before an update at rates `[K, 1]`."""
        for kind, _, own in self.regularizers:
            if kind is DecoupledDecay:
                matrix = matrix * (1 - rate * own["strength"])
        return matrix

    def constrain(self, matrix: Tensor, rate: Tensor, shapes: Shapes, transposed: Sequence[int]) -> Tensor:
        """The parameters within their limits, after the update."""
        for kind, proximal, own in self.regularizers:
            if proximal:
                within = rate * own["strength" if kind is L1 else "l1"]
                matrix = matrix - matrix.clamp(-within, within)
            if kind is MaxNorm:
                pieces = zip(blocks(matrix, shapes), transposed, strict=True)
                matrix = torch.cat([renormed(p, own["limit"], groups).flatten(1) for p, groups in pieces], 1)
        return matrix


def blocks(matrix: Tensor, shapes: Shapes) -> Iterator[Tensor]:
    """Views `[K, *shape]` of the parameters in a `[K, P]` matrix."""
    pieces = torch.split(matrix, [shape.numel() for shape in shapes], 1)
    return (piece.view(-1, *shape) for piece, shape in zip(pieces, shapes, strict=True))


def clipped(gradient: Tensor, matrix: Tensor, shapes: Shapes, ratio: Tensor) -> Iterator[Tensor]:
    """`clip_adaptively` of each parameter: ‖g‖ ≤ ratio · max(‖w‖, 1e-3) of each unit; a vector is taken whole."""
    pairs = zip(blocks(gradient, shapes), blocks(matrix, shapes), shapes, strict=True)
    for g, w, shape in pairs:
        units = shape[0] if len(shape) > 1 else 1
        own = g.reshape(len(g), units, -1)
        weight = torch.linalg.vector_norm(w.reshape(own.shape), dim=2, keepdim=True).clamp(min=EPSILON)
        norm = torch.linalg.vector_norm(own, dim=2, keepdim=True).clamp(min=1e-6)
        yield (own * (ratio[:, :, None] * weight / norm).clamp(max=1.0)).flatten(1)


def renormed(parameter: Tensor, limit: Tensor, groups: int) -> Tensor:
    """`torch.renorm` of each member's `[K, units, ...]`, or of a transposed convolution's `[K, in, units, ...]`."""
    if parameter.dim() < 3:
        return parameter
    shape = parameter.shape
    lead = (shape[0], groups, -1) if groups else (shape[0], 1)
    cut = parameter.view(*lead, *shape[2 if groups else 1 :])  # [K, groups, in, units, ...]
    rest = (2, *range(4, cut.dim())) if groups else tuple(range(3, cut.dim()))
    norm = torch.linalg.vector_norm(cut, dim=rest, keepdim=True)
    own = limit.view(-1, *[1] * (cut.dim() - 1))
    return (cut * torch.where(norm > own, own / (norm + 1e-7), 1.0)).view(shape)

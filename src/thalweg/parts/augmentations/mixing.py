"""What mixes the samples of a batch, and their targets with them."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Augmentation, Drawn
from thalweg.parts.augmentations.draws import Floats

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.parts.augmentations.forms import Sample

TRIES = 8  # of a rejection that fails with 0.22 at most: six in a million draws take the last one
BETA_DRAWS = 2 * TRIES


@dataclass(frozen=True)
class Mixing(Augmentation):
    """A sample takes something of the next one of its batch, the last one of the first.

    How much and where is each sample's own draw; which sample is the next depends on the batch, and on nothing else.
    Class indices become probabilities `[B, classes]`; numbers and probabilities are averaged.

    Args:
        classes: how many there are, where targets are class indices; a plan fills it in.
    """

    classes: int | None = field(default=None, kw_only=True)
    kind: ClassVar[str] = "any"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.classes is not None:
            self._require_count("classes", 2)

    def mix(self, sample: "Sample", drawn: Drawn) -> None:
        """Changes the batch and its targets, in `sample`."""
        raise NotImplementedError

    def mix_target(self, sample: "Sample", share: "Tensor") -> None:
        """The targets with `share` `[B]` of their own and the rest of the next one's."""
        target = soft(sample.target, self.classes, type(self).__name__)
        sample.target = averaged(target, share)


def soft(target: "Tensor | None", classes: int | None, name: str) -> "Tensor":
    """Targets as floats, class indices as probabilities. Raises `DataError` where that cannot be."""
    import torch
    from torch.nn import functional as F

    assert target is not None
    if target.is_floating_point():
        return target
    if target.dim() != 1:
        raise DataError(f"{name} got class indices {list(target.shape)}; it mixes one class per sample, [B].")
    if classes is None:
        raise DataError(f"{name} got class indices and not how many classes there are; give {name}(classes=...).")
    low, high = (int(value) for value in torch.aminmax(target))
    if low < 0 or high >= classes:
        raise DataError(f"{name}(classes={classes}) got classes from {low} to {high}; due are 0 to {classes - 1}.")
    return F.one_hot(target.long(), classes).float()


def averaged(value: "Tensor", share: "Tensor") -> "Tensor":
    """λ of each sample and 1 − λ of the next one, exactly the sample itself where λ is 1."""
    weight = share.to(value.dtype).to(value.device).view(-1, *[1] * (value.dim() - 1))
    return value + (1 - weight) * (value.roll(-1, 0) - value)


def beta(u: Floats, alpha: float) -> Floats:
    """Draws of Beta(α, α) `[B]` from uniform numbers `[BETA_DRAWS, B]`.

    For α ≥ 1/2 the closed form ½ (1 + √(1 − U^(2/(2α − 1))) cos 2πV); else Jöhnk's rejection with a few tries.

    Source: Ulrich 1984, "Computer generation of distributions on the m-sphere"; Jöhnk 1964.
    """
    if alpha >= 0.5:
        power = np.inf if alpha == 0.5 else 2 / (2 * alpha - 1)
        return np.asarray(0.5 * (1 + np.sqrt(1 - u[0] ** power) * np.cos(2 * np.pi * u[1])))
    x, y = (np.log1p(-part) / alpha for part in (u[0:BETA_DRAWS:2], u[1:BETA_DRAWS:2]))
    accepted = np.logaddexp(x, y) <= 0
    first = np.where(accepted.any(0), accepted.argmax(0), len(accepted) - 1)
    columns = np.arange(u.shape[1])
    return np.asarray(1 / (1 + np.exp(np.clip(y[first, columns] - x[first, columns], -700, 700))))

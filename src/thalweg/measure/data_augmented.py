"""Where an augmentation puts training images: among others of their class, or among those of other classes."""

from collections.abc import Sequence
from dataclasses import replace
from math import sqrt
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.parts.augmentations import Augmentation, Compose
from thalweg.readings import Reading

IMAGES = 2000  # that are compared with each other
LEAST = 100
NEIGHBORS = 10
SIDE = 16  # of the images that are compared; larger ones are averaged down
CERTAIN = 2.5  # standard errors: several augmentations are asked about


def neighbors(
    x: Tensor, target: Tensor, parts: Sequence[Augmentation], *, peak: float, seed: int, classes: Sequence[Any] = ()
) -> list[Reading]:
    """For each part, by how much the share of neighbors of another class changes when its images are added.

        d = mean over S of (share of foreign ones among the 10 nearest of S and T(S)) − (the same among S)

    S are training images, T(S) what the part makes of them, acting on each; an image's neighbors are others than itself
    and what was made of it. Images that keep what they are of lie nearer to images of their class than S did, and d is
    negative, or they lie apart, and it is 0; a six turned upside down lies among the nines, and d is positive.

    Args:
        x: `[N, C, H, W]` or `[N, H, W]` raw images.
        target: `[N]` class indices.
        parts: of images; each is measured by itself.
        peak: the brightest value of x.
        seed: of the choice of images and of the draws.
        classes: names, for the note of which images came among which.

    Returns:
        `augmentation.foreign` per part, place its name, low and high 2.5 standard errors away, note "6 among 9", and
        `augmentation.foreign_before`, the share among S alone. Nothing where there are too few images.
    """
    chosen = torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:IMAGES]
    true, count = target[chosen], len(chosen)
    if count < LEAST or bool((true == true[0]).all()):
        return []
    size = min(x.shape[-2], SIDE), min(x.shape[-1], SIDE)
    plain = compared(x[chosen], peak, size)
    near = apart(plain, plain)
    before = (true[near.indices] != true[:, None]).double().mean(1)
    found = [Reading("augmentation.foreign_before", float(before.mean()), count=count)]
    for part in parts:
        changed = Compose(replace(part, p=1.0))(x[chosen], ids=chosen.numpy(), seed=seed, peak=peak)
        added = apart(plain, compared(changed, peak, size))
        nearest = torch.cat([near.values, added.values], 1).topk(NEIGHBORS, largest=False).indices
        label = torch.cat([true[near.indices], true[added.indices]], 1).gather(1, nearest)
        foreign = label != true[:, None]
        gain = foreign.double().mean(1) - before
        half = CERTAIN * float(gain.std()) / sqrt(count)
        value = float(gain.mean())
        new = foreign & (nearest >= NEIGHBORS)
        note = among(label[new], true[:, None].expand_as(label)[new], classes)
        reading = Reading("augmentation.foreign", value, place=type(part).__name__, count=count, note=note)
        found.append(replace(reading, low=value - half, high=value + half))
    return found


def apart(queries: Tensor, references: Tensor) -> torch.return_types.topk:
    """The nearest references of each query, but for the one of its own number: itself, or what was made of it."""
    return torch.cdist(queries, references).fill_diagonal_(torch.inf).topk(NEIGHBORS, largest=False)


def compared(x: Tensor, peak: float, size: tuple[int, int]) -> Tensor:
    """`[N, D]`, images at a size at which they are quickly compared."""
    images = (x if x.dim() == 4 else x[:, None]).float() / peak
    return (images if images.shape[2:] == size else F.adaptive_avg_pool2d(images, size)).flatten(1)


def among(augmented: Tensor, asked: Tensor, classes: Sequence[Any]) -> str:
    """The most frequent pair of (class of the augmented image, class that it came among)."""
    if not len(augmented):
        return ""
    most = int(max(augmented.max(), asked.max())) + 1
    one, other = divmod(int(torch.bincount(augmented * most + asked).argmax()), most)
    names = [str(classes[i]) if i < len(classes) else str(i) for i in (one, other)]
    return f"{names[0]} among {names[1]}"

"""Brightness, contrast, saturation and hue, drawn together (L32)."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from thalweg.parts.augmentations.augmentation import Drawn, Photometric, Shape
from thalweg.parts.augmentations.by_turns import require_hue
from thalweg.parts.augmentations.draws import Floats, between


@dataclass(frozen=True)
class ColorJitter(Photometric):
    """Draws factors of brightness b, contrast c and saturation s, and an angle of hue θ, for each sample.

        Y' = b c Y + b (1 − c) E[Y]        (I', Q') = b c s R(θ) (I, Q)

    with the factors uniform from max(0, 1 − strength) to 1 + strength, θ uniform from −hue to hue turns. In this form
    the four may change places: torchvision draws an order because it limits the values after each of them, where here
    they are limited once. Hue is a rotation in the plane of YIQ, linear in the colors; the hue of HSV, which
    torchvision turns, is `HueHSV`.

    Args:
        brightness: strength, at least 0.
        contrast: strength, at least 0.
        saturation: strength, at least 0; of one channel it has no effect.
        hue: turns, from 0 to 0.5; of three channels only, of one it has no effect.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    Raises:
        DataError: for a hue of images of two or more than three channels, which have none.

    >>> import torch
    >>> ColorJitter(0.4)(torch.full((1, 3, 1, 1), 0.5), ids=[0]).flatten()
    tensor([0.6085, 0.6085, 0.6085])

    Source: lecture row L32; Howard 2013, "Some improvements on deep convolutional neural network based image
    classification". As torchvision's `ColorJitter`, but for the two differences above.
    """

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    num_draws: ClassVar[int] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("brightness", "contrast", "saturation"):
            self._require_number(name, 0)
        self._require_number("hue", 0, 0.5)

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        if self.hue:
            require_hue(f"{type(self).__name__}(hue={self.hue:g})", shape)
        strengths = self.brightness, self.contrast, self.saturation
        factors = [between(own, max(0.0, 1 - s), 1 + s) for own, s in zip(u, strengths, strict=False)]
        names = ("brightness", "contrast", "saturation")
        return {**dict(zip(names, factors, strict=True)), "hue": between(u[3], -self.hue, self.hue)}

    def color(self, drawn: Drawn) -> dict[str, Floats]:
        b, c, s = drawn["brightness"], drawn["contrast"], drawn["saturation"]
        return {"luma": b * c, "mean": b * (1 - c), "chroma": b * c * s, "hue": 2 * np.pi * drawn["hue"]}

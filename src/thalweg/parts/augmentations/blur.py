"""Images smoothed by a Gaussian (L32)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from thalweg.errors import DataError
from thalweg.parts.augmentations.affine import span
from thalweg.parts.augmentations.augmentation import Drawn, Pixelwise, Shape, is_number
from thalweg.parts.augmentations.draws import Floats, between

if TYPE_CHECKING:
    from torch import Tensor

WIDTHS = 3.0  # standard deviations on each side, outside of which a Gaussian has 0.3 % of its weight


@dataclass(frozen=True)
class Blur(Pixelwise):
    """y = A(σ) x A(σ)ᵀ, each row of A a Gaussian of standard deviation σ about its pixel, of sum 1, σ uniform.

    What would lie outside is reflected about the border pixels. As two products of matrices it takes one call for a
    batch whose samples each have a σ of their own.

    Args:
        sigma: standard deviation in pixels, above 0, a number or (low, high).
        size: of the kernel in pixels, odd; by default the least that holds 3 of the largest σ on each side.
        p: probability of acting on a sample.
        per: "sample" for a draw of each sample's own; "batch" for one draw for all.

    Raises:
        DataError: for images that are smaller than half the kernel.

    >>> import torch
    >>> Blur(1.0, size=3)(torch.tensor([[[0.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]))
    tensor([[[0.3005, 0.2477, 0.3005],
             [0.2477, 0.2042, 0.2477],
             [0.3005, 0.2477, 0.3005]]])

    Source: lecture row L32; Chen et al. 2020. As torchvision's `GaussianBlur`.
    """

    sigma: float | tuple[float, float] = (0.1, 2.0)
    size: int | None = None
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if is_number(self.sigma):
            self._require_number("sigma", 1e-3)
        else:
            self._require_range("sigma", 1e-3)
        good = isinstance(self.size, int) and not isinstance(self.size, bool) and self.size > 0 and self.size % 2 == 1
        self._check("size", self.size is None or good, "an odd number of pixels, or None to follow from sigma")

    @property
    def reach(self) -> int:
        """Pixels on each side of the kernel's middle."""
        largest = self.sigma if isinstance(self.sigma, int | float) else self.sigma[1]
        return int(np.ceil(WIDTHS * largest)) if self.size is None else self.size // 2

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        if self.reach >= min(shape[1:]):
            raise DataError(
                f"{type(self).__name__} has a kernel of {2 * self.reach + 1} pixels and got images of {shape[1]} x "
                f"{shape[2]}, whose border cannot be reflected so far; give a size of at most {2 * min(shape[1:]) - 1}."
            )
        low, high = span(self.sigma) if not is_number(self.sigma) else (self.sigma, self.sigma)
        return {"sigma": between(u[0], low, high)}  # type: ignore[arg-type]

    def apply(self, x: "Tensor", parameters: dict[str, Any], peak: float) -> "Tensor":
        sigma, (height, width) = parameters["sigma"], x.shape[2:]
        across = smoothing(sigma, width, self.reach)
        down = across if height == width else smoothing(sigma, height, self.reach)
        flat = x.reshape(len(x), -1, width).bmm(across.transpose(1, 2)).view_as(x)
        return down[:, None].matmul(flat)


def smoothing(sigma: "Tensor", size: int, reach: int) -> "Tensor":
    """A(σ) `[n, size, size]`, reflecting about the first and the last pixel."""
    import torch

    moves = torch.arange(-reach, reach + 1, device=sigma.device)
    weights = torch.exp(-0.5 * (moves / sigma[:, None]) ** 2)
    weights = weights / weights.sum(1, keepdim=True)
    pixels = torch.arange(size, device=sigma.device)
    found = sigma.new_zeros(len(sigma), size, size)
    for weight, move in zip(weights.unbind(1), range(-reach, reach + 1), strict=True):
        source = (pixels + move).abs()
        source = torch.where(source >= size, 2 * (size - 1) - source, source)
        found[:, pixels, source] += weight[:, None]
    return found

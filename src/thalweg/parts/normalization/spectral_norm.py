"""Spectral norm: a layer's weight divided by its largest singular value."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import UsageError
from thalweg.parts.normalization.normalization import WeightNormalization
from thalweg.parts.optimizers.optimizer import in_range

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class SpectralNorm(WeightNormalization):
    """The layer computes with its weight divided by the largest singular value: it lengthens no vector.

    With V as a matrix [outputs, the rest], u and v kept from one forward pass to the next:

        v ← Vᵀu / ‖Vᵀu‖,   u ← Vv / ‖Vv‖   (`power_iterations` times in training),     W = V / uᵀVv

    A linear layer thus has a Lipschitz constant of 1. Of a convolution the matrix is its kernel: the constant of the
    convolution itself is at most √(places of the kernel) as large.

    Args:
        norm: a part that takes the place of the network's own norms besides; None keeps those, which undo the bound.
        power_iterations: steps towards the singular vectors per forward pass in training, at least 1; one suffices
            because the weights move slowly, and 15 are made at the start.
        eps: the least length that a vector is divided by, above 0.

    Raises:
        UsageError: for a value out of range; by `apply` for a layer that is not linear or convolutional, or whose
            weights are all 0.

    >>> import torch
    >>> layer = SpectralNorm().apply(torch.nn.Linear(16, 8)).eval()
    >>> bool((torch.linalg.matrix_norm(layer.weight, 2) - 1).abs() < 0.05)
    True

    Source: Miyato, Kataoka, Koyama, Yoshida 2018, "Spectral normalization for GANs". This is
    `torch.nn.utils.parametrizations.spectral_norm`; difference: u and v start the same in every run and draw nothing
    from the global generator, and a weight of zeros is refused rather than becoming NaN.
    """

    power_iterations: int = 1
    eps: float = 1e-12

    def __post_init__(self) -> None:
        super().__post_init__()
        whole = isinstance(self.power_iterations, int) and in_range(self.power_iterations, 1)
        self._check("power_iterations", whole, "an integer of at least 1")
        self._check_eps(self.eps)

    def obstacle(self, layer: "nn.Module") -> str:
        from thalweg.parts.normalization.modules.weights import obstacle

        if reason := obstacle(layer):
            return reason
        return "" if bool(layer.weight.any()) else "its weights are all 0"  # type: ignore[operator]

    def apply(self, layer: "nn.Module") -> "nn.Module":
        if reason := self.obstacle(layer):
            raise UsageError(f"SpectralNorm cannot be put on {type(layer).__name__}: {reason}.")
        import torch
        from torch.nn.utils.parametrizations import spectral_norm

        from thalweg.data.noise import global_rng_kept

        with global_rng_kept():
            torch.manual_seed(0)
            return spectral_norm(layer, "weight", self.power_iterations, self.eps)

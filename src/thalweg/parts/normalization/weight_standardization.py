"""Weight standardization: every output unit's weights with mean 0 and equal scale."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.errors import UsageError
from thalweg.parts.normalization.normalization import WeightNormalization

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, kw_only=True)
class WeightStandardization(WeightNormalization):
    """The layer computes with weights of which every output unit has mean 0 and equal scale.

    With μ and σ² over the I weights V_o that lead to output unit o, of its own group where there are groups:

        W_o = (V_o − μ) / √(σ² + ε)  /  √I  (where scaled)

    V is what is trained. Beside `GroupNorm` it reaches batch norm's accuracy at batches of 1 or 2 rows (L17), in
    which it is meant to stand: `WeightStandardization(norm=GroupNorm())`.

    Args:
        norm: a part that takes the place of the network's own norms besides; None keeps those.
        eps: ε, above 0; small, because σ² is about 1/(3I) in a layer as torch makes it.
        scaled: whether to divide by √I too, so that a layer keeps the scale of its inputs. A norm that follows forgets
            this factor, so that only networks with layers that none follows differ: without it those multiply the
            scale by √I each. False is the source's own form.

    Raises:
        UsageError: for a value out of range; by `apply` for a layer that is not linear or convolutional, or whose units
            have one weight.

    A plan puts it on every linear and convolutional layer but the last that the network registers: the scale of the
    outputs is to be learned.

    >>> import torch
    >>> layer = WeightStandardization(scaled=False).apply(torch.nn.Linear(4, 2))
    >>> bool(layer.weight.mean(1).abs().max() < 1e-6), bool((layer.weight.std(1, correction=0) - 1).abs().max() < 1e-3)
    (True, True)

    Source: Qiao, Wang, Liu, Shen, Yuille 2019, "Weight standardization"; divided by √I: Brock, De, Smith 2021,
    "Characterizing signal propagation". A parametrization as `torch.nn.utils.parametrizations` has them; not in
    PyTorch.
    """

    eps: float = 1e-8
    scaled: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_eps(self.eps)
        self._check_flags("scaled")

    def obstacle(self, layer: "nn.Module") -> str:
        from thalweg.parts.normalization.modules.weights import fan_in, obstacle

        if reason := obstacle(layer):
            return reason
        return "" if fan_in(layer) > 1 else "each of its units has one weight"

    def apply(self, layer: "nn.Module") -> "nn.Module":
        if reason := self.obstacle(layer):
            raise UsageError(f"WeightStandardization cannot be put on {type(layer).__name__}: {reason}.")
        from torch.nn.utils.parametrize import register_parametrization

        from thalweg.parts.normalization.modules.weights import StandardizedWeight, transposed_groups

        standardized = StandardizedWeight(eps=self.eps, scaled=self.scaled, transposed_groups=transposed_groups(layer))
        return register_parametrization(layer, "weight", standardized)

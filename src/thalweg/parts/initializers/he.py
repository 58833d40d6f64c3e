"""He, also called Kaiming: the variance of the signal is kept, forward or backward (L11)."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from thalweg.parts.initializers.initializer import Scale
from thalweg.parts.initializers.scaled import Scaled


@dataclass(frozen=True, kw_only=True)
class He(Scaled):
    """Keeps the mean square of the signal from layer to layer, or that of the gradient (L11). Also `Kaiming`.

        W ~ N(0, gain² / fan)    or    U(±gain · √(3 / fan))

    The gain is that of the activation that comes next: √2 for ReLU. The default where networks have one of its kind.

    Args:
        mode: `"fan_in"` keeps the forward signal, `"fan_out"` the backward one.
        distribution: `"normal"`, `"uniform"` or `"truncated_normal"`, all of one deviation.

    Raises:
        UsageError: for another word.

    >>> import torch
    >>> weight = He().fill_(torch.empty(400, 200), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 3), round((2 / 200) ** 0.5, 3)
    (0.1, 0.1)

    Source: He et al. 2015, "Delving deep into rectifiers". As `torch.nn.init.kaiming_normal_` and `kaiming_uniform_`,
    whose gain the user must name; in `tw.initialize` it is read off the network, and the fan of a strided or transposed
    convolution counts what really meets. `nn.Linear`'s own default, `kaiming_uniform_(a=√5)`, is a gain of 1/√3.
    """

    mode: Literal["fan_in", "fan_out"] = "fan_in"
    own_gain: ClassVar[float] = 2**0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("mode", self.mode in ("fan_in", "fan_out"), "'fan_in' or 'fan_out'")

    def fan(self, scale: Scale) -> float:
        return scale.fan_in if self.mode == "fan_in" else scale.fan_out

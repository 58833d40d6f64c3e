"""LeCun: variance 1 / fan_in, whatever follows; what self-normalizing networks need (L11)."""

from dataclasses import dataclass

from thalweg.parts.initializers.initializer import Scale
from thalweg.parts.initializers.scaled import Scaled


@dataclass(frozen=True, kw_only=True)
class LeCun(Scaled):
    """Outputs as large as the inputs, before the activation: the gain is 1, whatever follows (L11).

        W ~ N(0, 1 / fan_in)    or    U(±√(3 / fan_in))

    Right for SELU, whose mean and variance it keeps, and for layers without an activation.

    Args:
        distribution: `"normal"`, `"uniform"` or `"truncated_normal"`, all of one deviation.

    Raises:
        UsageError: for another word.

    >>> import torch
    >>> weight = LeCun().fill_(torch.empty(400, 100), generator=torch.Generator().manual_seed(0))
    >>> round(float(weight.std()), 2)
    0.1

    Source: LeCun, Bottou, Orr, Müller 1998, "Efficient backprop"; for SELU Klambauer et al. 2017, "Self-normalizing
    neural networks". As Keras' `LecunNormal` and `LecunUniform`; torch has it as `kaiming_normal_` with
    `nonlinearity="linear"`.
    """

    def deviation(self, scale: Scale, shape: tuple[int, ...], groups: int = 1) -> float:
        return 1 / float(scale.fan_in**0.5)

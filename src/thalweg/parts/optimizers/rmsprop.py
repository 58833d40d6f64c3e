"""RMSprop: each weight's rate is divided by the root of a running mean of its squared gradients (L24)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.kernels import descend_, divide_, in_cache
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, decayed, in_range, is_off

if TYPE_CHECKING:
    from torch import Tensor


def rmsprop(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    alpha: "float | Tensor" = 0.99,
    eps: "float | Tensor" = 1e-8,
    weight_decay: "float | Tensor" = 0.0,
    momentum: "float | Tensor" = 0.0,
    centered: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `RMSprop`; the arguments are those of `Optimizer.update`. It does not depend on the step.

    >>> import torch
    >>> change, slots = rmsprop(torch.tensor(2.0), {"square_avg": torch.tensor(4.0)}, 1, torch.tensor(0.0), lr=0.5)
    >>> change, slots
    (tensor(-0.5000), {'square_avg': tensor(4.)})
    """
    gradient = decayed(gradient, parameter, weight_decay)
    square = alpha * slots["square_avg"] + (1 - alpha) * (gradient * gradient)
    following, variance = {"square_avg": square}, square
    if centered:
        mean = alpha * slots["grad_avg"] + (1 - alpha) * gradient
        following["grad_avg"], variance = mean, square - mean * mean
    direction = gradient / (variance.sqrt() + eps)
    if not is_off(momentum):
        direction = momentum * slots["momentum_buffer"] + direction
        following["momentum_buffer"] = direction
    return -lr * direction, following


@dataclass(frozen=True, kw_only=True)
class RMSprop(Optimizer):
    """Divides each weight's gradient by the root of a running mean of its squares (L24).

    With g_t the gradient plus λθ_{t−1}, learning rate η, momentum μ:

        v_t = α v_{t−1} + (1 − α) g_t²
        a_t = α a_{t−1} + (1 − α) g_t               (centered; else a_t = 0)
        b_t = μ b_{t−1} + g_t / (√(v_t − a_t²) + ε)
        θ_t = θ_{t−1} − η b_t

    Adagrad's sum becomes a mean that forgets, so that the rates need not fall to 0. There is no bias correction: v
    starts at 0, and the first steps are 1/√(1 − α), ten times by default, as long as later ones.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide. torch's default is 0.01.
        weight_decay: λ of an L2 penalty, at least 0.
        alpha: α, from 0 to below 1; the mean reaches back about 1/(1 − α) steps.
        eps: ε, at least 0; outside the root (TensorFlow has it inside).
        momentum: μ, from 0 to below 1.
        centered: divide by the standard deviation instead of the root mean square. Where a gradient hardly varies,
            this goes to 0/0, and rounding may give NaN, as it does in torch.

    Raises:
        UsageError: for a value out of range; torch itself admits an α or μ of 1 and above.

    >>> RMSprop(lr=0.01, momentum=0.9).slots
    ('square_avg', 'momentum_buffer')

    Source: Hinton 2012, lecture 6e of "Neural Networks for Machine Learning"; centered: Graves 2013, "Generating
    Sequences With Recurrent Neural Networks". torch has no fused kernel: `build` gives its multi-tensor form, while
    `apply_` takes a half to a quarter of its time, uncentered (`benchmarks/optimizers.py`). Unlike torch's, the state
    has no step count.
    """

    alpha: float = 0.99
    eps: float = 1e-8
    momentum: float = 0.0
    centered: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("alpha", in_range(self.alpha, 0, 1), "a number from 0 to below 1")
        self._check("eps", in_range(self.eps, 0), "a number of at least 0")
        self._check("momentum", in_range(self.momentum, 0, 1), "a number from 0 to below 1")
        self._check("centered", isinstance(self.centered, bool), "True or False")

    @property
    def slots(self) -> tuple[str, ...]:
        mean = ("grad_avg",) if self.centered else ()
        buffer = ("momentum_buffer",) if self.momentum else ()
        return ("square_avg", *mean, *buffer)

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return rmsprop(gradient, slots, step, parameter, **self._values(hyper))

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"momentum": momentum} if self.momentum else super().momentum_field(momentum)

    def _fuses(self, parameter: "Tensor") -> bool:
        return False  # torch has no fused RMSprop

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        if self.weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=self.weight_decay))
        squares, *others = slots
        if self.centered:
            for own, found, variances, *rest in in_cache([parameters, gradients, squares, *others]):
                self._centered_kernel(own, found, variances, rest, lr)
        elif self.momentum:
            self._divide_(others[0], gradients, squares, lr=-1.0, weight_decay=self.momentum - 1)
            descend_(parameters, others[0], lr=lr)
        else:
            self._divide_(parameters, gradients, squares, lr=lr, weight_decay=0.0)

    def _divide_(
        self,
        targets: "list[Tensor]",
        gradients: "list[Tensor]",
        squares: "list[Tensor]",
        *,
        lr: float,
        weight_decay: float,
    ) -> None:
        """v ← αv + (1 − α)g², then target ← (1 − lr · weight_decay) target − lr · g / (√v + ε), in one pass.

        With β₁ = 0 Adam's mean is the gradient itself, so that the gradient can stand in for it, unchanged if finite.
        """
        betas = (0.0, self.alpha)
        divide_(targets, gradients, gradients, squares, lr=lr, betas=betas, eps=self.eps, weight_decay=weight_decay)

    def _centered_kernel(
        self,
        parameters: "list[Tensor]",
        gradients: "list[Tensor]",
        squares: "list[Tensor]",
        others: "list[list[Tensor]]",
        lr: float,
    ) -> None:
        import torch

        means = others[0]
        torch._foreach_mul_(squares, self.alpha)
        torch._foreach_addcmul_(squares, gradients, gradients, 1 - self.alpha)
        torch._foreach_lerp_(means, gradients, 1 - self.alpha)
        deviations = torch._foreach_addcmul(squares, means, means, -1)
        torch._foreach_sqrt_(deviations)
        torch._foreach_add_(deviations, self.eps)
        if self.momentum:
            torch._foreach_mul_(others[1], self.momentum)
            torch._foreach_addcdiv_(others[1], gradients, deviations)
            descend_(parameters, others[1], lr=lr)
        else:
            torch._foreach_addcdiv_(parameters, gradients, deviations, -lr)

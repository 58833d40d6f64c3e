"""RAdam: Adam that waits with dividing until its second moment can be trusted (L25)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.kernels import alike, chosen, descend_, divide_, in_cache
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, State, decayed, in_range, shrinkage, zero_steps

if TYPE_CHECKING:
    from torch import Tensor

TRUSTED = 5.0  # the length ρ_t from which on the second moment is used


def radam(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    betas: "tuple[float | Tensor, float | Tensor]" = (0.9, 0.999),
    eps: "float | Tensor" = 1e-8,
    weight_decay: "float | Tensor" = 0.0,
    decoupled_weight_decay: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `RAdam`; the arguments are those of `Optimizer.update`.

    The first steps are those of an averaged gradient, whatever its size:

    >>> import torch
    >>> zero = torch.tensor(0.0)
    >>> radam(torch.tensor(7.0), {"exp_avg": zero, "exp_avg_sq": zero}, 1, zero, lr=0.5)[0]
    tensor(-3.5000)
    """
    import torch

    beta1, beta2 = betas
    if not decoupled_weight_decay:
        gradient = decayed(gradient, parameter, weight_decay)
    mean = beta1 * slots["exp_avg"] + (1 - beta1) * gradient
    square = beta2 * slots["exp_avg_sq"] + (1 - beta2) * (gradient * gradient)
    second = 1 - beta2**step
    longest = torch.as_tensor(2 / (1 - beta2) - 1, dtype=torch.float64)
    length = longest - 2 * step * beta2**step / second
    trusted = length.clamp(min=TRUSTED)
    factor = second**0.5 * rectification(trusted, longest)
    scale = torch.where(length > TRUSTED, factor / (square.sqrt() + eps), 1.0)
    change = -(lr / (1 - beta1**step)) * (mean * scale)
    if decoupled_weight_decay:
        change = change + shrinkage(parameter, lr, weight_decay)
    return change.to(parameter.dtype), {"exp_avg": mean, "exp_avg_sq": square}


def rectification(length: Any, longest: Any) -> Any:
    """r_t, of the lengths ρ_t and ρ_∞: how much too large the rate would be for the second moment's variance."""
    return ((length - 4) * (length - 2) * longest / ((longest - 4) * (longest - 2) * length)) ** 0.5


@dataclass(frozen=True, kw_only=True)
class RAdam(Optimizer):
    """Adam whose first steps do not divide by a second moment that few gradients have entered (L25).

    With m̂_t, v_t and g_t as in `Adam`:

        ρ_t = ρ_∞ − 2t β₂ᵗ / (1 − β₂ᵗ),    ρ_∞ = 2/(1 − β₂) − 1
        r_t = √[(ρ_t − 4)(ρ_t − 2) ρ_∞ / ((ρ_∞ − 4)(ρ_∞ − 2) ρ_t)]
        θ_t = θ_{t−1} − η r_t m̂_t √(1 − β₂ᵗ) / (√v_t + ε)     where ρ_t > 5
        θ_t = θ_{t−1} − η m̂_t                                 before, for the first 5 steps by default

    ρ_t is about the number of gradients in v_t, r_t the root of the variance of 1/√v over its variance at this length:
    a warm-up that needs no choice of its length.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide. torch's default is 0.001.
        weight_decay: λ, at least 0.
        betas: (β₁, β₂), each from 0 to below 1. With β₂ up to 0.667 it never divides.
        eps: ε, at least 0; as in torch beside √v_t, before its correction.
        decoupled_weight_decay: whether λ shrinks the weights as in `AdamW`, instead of acting through the gradient.

    Raises:
        UsageError: for a value out of range.

    >>> RAdam(lr=0.001).slots
    ('exp_avg', 'exp_avg_sq', 'step')

    Source: Liu et al. 2020, "On the Variance of the Adaptive Learning Rate and Beyond". Equal to torch's, which has no
    fused kernel: here one pass of Adam's does it.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", in_range(self.eps, 0), "a number of at least 0")
        self._check("decoupled_weight_decay", isinstance(self.decoupled_weight_decay, bool), "True or False")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "step")

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return radam(gradient, slots, step, parameter, **self._values(hyper))

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"betas": (momentum, self.betas[1])}

    def init(self, parameters: "Sequence[Tensor]") -> State:
        """As every optimizer's, but with step counts on the CPU: the rule depends on them, and a look is free there."""
        state = super().init(parameters)
        return state | {"step": zero_steps(parameters, on_cpu=True)}

    def _fuses(self, parameter: "Tensor") -> bool:
        return False  # torch has no fused RAdam

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        means, squares, steps = slots
        for (step,), positions in alike(steps):
            self._move(chosen([parameters, gradients, means, squares], positions), lr, step)

    def _move(self, lists: "list[list[Tensor]]", lr: float, step: float) -> None:
        """One step of parameters that have made equally many: Adam's kernel, with the corrections in the rate."""
        beta1, beta2 = self.betas
        longest = 2 / (1 - beta2) - 1
        length = longest - 2 * step * beta2**step / (1 - beta2**step)
        if length <= TRUSTED:
            self._average(lists, lr, step)
            return
        factor = rectification(length, longest) * (1 - beta2**step) ** 0.5 / (1 - beta1**step)
        divide_(
            *lists,
            lr=lr * factor,
            betas=self.betas,
            eps=self.eps,
            weight_decay=self.weight_decay / factor if self.decoupled_weight_decay else self.weight_decay,
            decoupled=self.decoupled_weight_decay,
        )

    def _average(self, lists: "list[list[Tensor]]", lr: float, step: float) -> None:
        """One of the first steps, which do not divide."""
        import torch

        parameters, gradients, means, squares = lists
        beta1, beta2 = self.betas
        if self.weight_decay and not self.decoupled_weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=self.weight_decay))
        elif self.weight_decay:
            torch._foreach_mul_(parameters, 1 - lr * self.weight_decay)
        for own, found, first, second in in_cache([parameters, gradients, means, squares]):
            torch._foreach_lerp_(first, found, 1 - beta1)
            torch._foreach_mul_(second, beta2)
            torch._foreach_addcmul_(second, found, found, 1 - beta2)
            descend_(own, first, lr=lr / (1 - beta1**step))

"""Adam: averages of the gradient and of its square, both corrected for their start at 0 (L25)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.optimizer import Optimizer, Slots, decayed, in_range

if TYPE_CHECKING:
    from torch import Tensor


def adam(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    betas: "tuple[float | Tensor, float | Tensor]" = (0.9, 0.999),
    eps: "float | Tensor" = 1e-8,
    weight_decay: "float | Tensor" = 0.0,
    amsgrad: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `Adam`; the arguments are those of `Optimizer.update`.

    The first step goes by the rate itself, whatever the size of the gradient:

    >>> import torch
    >>> zero = torch.tensor(0.0)
    >>> adam(torch.tensor(7.0), {"exp_avg": zero, "exp_avg_sq": zero}, 1, zero, lr=0.5)[0]
    tensor(-0.5000)
    """
    beta1, beta2 = betas
    gradient = decayed(gradient, parameter, weight_decay)
    mean = beta1 * slots["exp_avg"] + (1 - beta1) * gradient
    square = beta2 * slots["exp_avg_sq"] + (1 - beta2) * (gradient * gradient)
    following = {"exp_avg": mean, "exp_avg_sq": square}
    if amsgrad:
        square = square.maximum(slots["max_exp_avg_sq"])
        following["max_exp_avg_sq"] = square
    root = square.sqrt() / (1 - beta2**step) ** 0.5
    return -(lr / (1 - beta1**step)) * (mean / (root + eps)), following


@dataclass(frozen=True, kw_only=True)
class Adam(Optimizer):
    """Steps along the mean gradient in units of its own root mean square (L25).

    With g_t the gradient plus λθ_{t−1}, learning rate η:

        m_t = β₁ m_{t−1} + (1 − β₁) g_t,     m̂_t = m_t / (1 − β₁ᵗ)
        v_t = β₂ v_{t−1} + (1 − β₂) g_t²,    v̂_t = v_t / (1 − β₂ᵗ)
        θ_t = θ_{t−1} − η m̂_t / (√v̂_t + ε)

    m and v start at 0 and would be too small at first; the divisions undo exactly that. λ acts through the gradient
    and is divided by √v̂ like it, so that it decays weights unevenly: `AdamW` does not. With `amsgrad` the largest v so
    far takes the place of v_t, so that no weight's rate grows again.

    Args:
        lr: learning rate η, above 0; about the largest step of a weight. `"auto"` lets a race decide.
        weight_decay: λ of an L2 penalty, at least 0.
        betas: (β₁, β₂), each from 0 to below 1; the averages reach back about 1/(1 − β) steps.
        eps: ε, at least 0; outside the root.
        amsgrad: divide by the root of the largest v_t so far; off, as in torch: it costs a fourth tensor per weight and
            seldom helps.

    Raises:
        UsageError: for a value out of range.

    >>> Adam(lr=0.001).betas
    (0.9, 0.999)

    Source: Kingma, Ba 2015, "Adam: A Method for Stochastic Optimization"; Reddi, Kale, Kumar 2018, "On the Convergence
    of Adam and Beyond". As in torch, the largest v_t is taken before its correction.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    amsgrad: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        self._check("eps", in_range(self.eps, 0), "a number of at least 0")
        self._check("amsgrad", isinstance(self.amsgrad, bool), "True or False")

    @property
    def slots(self) -> tuple[str, ...]:
        largest = ("max_exp_avg_sq",) if self.amsgrad else ()
        return ("exp_avg", "exp_avg_sq", *largest, "step")

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return adam(gradient, slots, step, parameter, **self._values(hyper))

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"betas": (momentum, self.betas[1])}

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        means, squares, *largest, steps = slots
        torch._fused_adam_(
            parameters,
            gradients,
            means,
            squares,
            largest[0] if self.amsgrad else [],
            steps,
            lr=lr,
            beta1=self.betas[0],
            beta2=self.betas[1],
            weight_decay=self.weight_decay,
            eps=self.eps,
            amsgrad=self.amsgrad,
            maximize=False,
        )

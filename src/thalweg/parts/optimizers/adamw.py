"""AdamW: Adam, with weight decay beside the gradient instead of inside it (L25, L29)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.adam import Adam, adam
from thalweg.parts.optimizers.optimizer import Slots, shrinkage

if TYPE_CHECKING:
    from torch import Tensor


def adamw(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    betas: "tuple[float | Tensor, float | Tensor]" = (0.9, 0.999),
    eps: "float | Tensor" = 1e-8,
    weight_decay: "float | Tensor" = 0.01,
    amsgrad: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `AdamW`; the arguments are those of `Optimizer.update`.

    >>> import torch
    >>> zero = torch.tensor(0.0)
    >>> adamw(zero, {"exp_avg": zero, "exp_avg_sq": zero}, 1, torch.tensor(4.0), lr=0.5, weight_decay=0.1)[0]
    tensor(-0.2000)
    """
    change, slots = adam(gradient, slots, step, parameter, lr=lr, betas=betas, eps=eps, amsgrad=amsgrad)
    return change + shrinkage(parameter, lr, weight_decay), slots


@dataclass(frozen=True, kw_only=True)
class AdamW(Adam):
    """Adam whose weight decay shrinks every weight by the same share of the rate (L25, L29).

    With m̂ and v̂ as in `Adam`, of the gradient alone:

        θ_t = θ_{t−1} − η λ θ_{t−1} − η m̂_t / (√v̂_t + ε)

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide.
        weight_decay: λ, at least 0; 0.01 as in torch. A weight without gradient halves in ln 2 / (η λ) steps.
        betas: (β₁, β₂), each from 0 to below 1.
        eps: ε, at least 0; outside the root.
        amsgrad: divide by the root of the largest v_t so far, as in `Adam`.

    Raises:
        UsageError: for a value out of range.

    >>> AdamW(lr=0.001).weight_decay
    0.01

    Source: Loshchilov, Hutter 2019, "Decoupled Weight Decay Regularization". As in torch, λ is multiplied by η.
    """

    weight_decay: float = 0.01

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return adamw(gradient, slots, step, parameter, **self._values(hyper))

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        means, squares, *largest, steps = slots
        torch._fused_adamw_(
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

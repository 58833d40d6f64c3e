"""Adagrad: each weight's rate falls with the squares of its own past gradients (L23)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.optimizer import Optimizer, Slots, decayed, in_range

if TYPE_CHECKING:
    from torch import Tensor


def adagrad(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    lr_decay: "float | Tensor" = 0.0,
    weight_decay: "float | Tensor" = 0.0,
    initial_accumulator_value: float = 0.0,
    eps: "float | Tensor" = 1e-10,
) -> "tuple[Tensor, Slots]":
    """The rule of `Adagrad`; the arguments are those of `Optimizer.update`.

    `initial_accumulator_value` is in the slots from the start and does nothing here.

    >>> import torch
    >>> adagrad(torch.tensor(3.0), {"sum": torch.tensor(16.0)}, 2, torch.tensor(0.0), lr=0.5)
    (tensor(-0.3000), {'sum': tensor(25.)})
    """
    gradient = decayed(gradient, parameter, weight_decay)
    total = slots["sum"] + gradient * gradient
    rate = lr / (1 + (step - 1) * lr_decay)
    return -rate * (gradient / (total.sqrt() + eps)), {"sum": total}


@dataclass(frozen=True, kw_only=True)
class Adagrad(Optimizer):
    """Divides the rate of each weight by the root of the sum of its squared gradients (L23).

    With g_t the gradient plus λθ_{t−1}, learning rate η, rate decay ρ:

        s_t = s_{t−1} + g_t²
        θ_t = θ_{t−1} − η / (1 + (t − 1) ρ) · g_t / (√s_t + ε)

    Rare features keep a large rate, which suits sparse inputs; the sum only grows, so that every rate falls to 0.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide. torch's default is 0.01.
        weight_decay: λ of an L2 penalty, at least 0.
        lr_decay: ρ, at least 0.
        initial_accumulator_value: s_0, at least 0; above 0 it tames the first steps.
        eps: ε, at least 0.

    Raises:
        UsageError: for a value out of range.

    >>> Adagrad(lr=0.01).slots
    ('sum', 'step')

    Source: Duchi, Hazan, Singer 2011, "Adaptive Subgradient Methods for Online Learning and Stochastic Optimization".
    Unlike in torch, sparse gradients are refused.
    """

    lr_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("lr_decay", "initial_accumulator_value", "eps"):
            self._check(name, in_range(getattr(self, name), 0), "a number of at least 0")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("sum", "step")

    @property
    def usual_rates(self) -> tuple[float, float]:
        return 1e-3, 1.0  # its steps shrink from the first on

    def start(self, parameter: "Tensor") -> Slots:
        """The slots of one parameter before its first step: s_0."""
        import torch

        return {"sum": torch.full_like(parameter.detach(), self.initial_accumulator_value)}

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return adagrad(gradient, slots, step, parameter, **self._values(hyper))

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        sums, steps = slots
        torch._fused_adagrad_(
            parameters,
            gradients,
            sums,
            steps,
            lr=lr,
            lr_decay=self.lr_decay,
            weight_decay=self.weight_decay,
            eps=self.eps,
            maximize=False,
        )

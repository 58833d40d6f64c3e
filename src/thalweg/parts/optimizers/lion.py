"""Lion: the sign of an average of gradients, with one tensor of state per weight (L25)."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.kernels import descend_, in_cache
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, shrinkage

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def lion(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    betas: "tuple[float | Tensor, float | Tensor]" = (0.9, 0.99),
    weight_decay: "float | Tensor" = 0.0,
) -> "tuple[Tensor, Slots]":
    """The rule of `Lion`; the arguments are those of `Optimizer.update`. It does not depend on the step.

    >>> import torch
    >>> zero = torch.tensor(0.0)
    >>> lion(torch.tensor(-7.0), {"exp_avg": zero}, 1, zero, lr=0.5)
    (tensor(0.5000), {'exp_avg': tensor(-0.0700)})
    """
    beta1, beta2 = betas
    mean = slots["exp_avg"]
    change = -lr * (mean + (1 - beta1) * (gradient - mean)).sign() + shrinkage(parameter, lr, weight_decay)
    return change, {"exp_avg": mean + (1 - beta2) * (gradient - mean)}


@dataclass(frozen=True, kw_only=True)
class Lion(Optimizer):
    """Every weight moves by the rate itself, in the direction that an average of gradients has (L25).

    With g_t the gradient, learning rate η:

        u_t = β₁ m_{t−1} + (1 − β₁) g_t
        θ_t = θ_{t−1} − η λ θ_{t−1} − η sign(u_t)
        m_t = β₂ m_{t−1} + (1 − β₂) g_t

    A step has the size that Adam's has only when the gradients agree, so that the rate that suits it is a third to a
    tenth of Adam's, and λ three to ten times as large.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide. The paper's own code has 0.0001.
        weight_decay: λ, at least 0.
        betas: (β₁, β₂), each from 0 to below 1: of the step and of the average that is kept.

    Raises:
        UsageError: for a value out of range.

    >>> Lion(lr=0.0001).slots
    ('exp_avg',)

    Source: Chen et al. 2023, "Symbolic Discovery of Optimization Algorithms". torch has none; `build` gives a
    `torch.optim.Optimizer` of our own.
    """

    betas: tuple[float, float] = (0.9, 0.99)

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg",)

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return lion(gradient, slots, step, parameter, **self._values(hyper))

    @property
    def usual_rates(self) -> tuple[float, float]:
        return 1e-5, 1e-2  # a third to a tenth of Adam's

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"betas": (momentum, self.betas[1])}

    def build(self, params: Iterable[Any]) -> "torch.optim.Optimizer":
        """A `torch.optim.Optimizer` of our own that steps by this rule.

        Args:
            params: parameters, named parameters or parameter groups, as torch takes them.

        Raises:
            UsageError: when `lr` is `"auto"`.
        """
        from thalweg.parts.optimizers.as_torch import RuleOptimizer

        self._values(None)  # that the rate is a number
        return RuleOptimizer(params, self)

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        beta1, beta2 = self.betas
        for own, found, means in in_cache([parameters, gradients, slots[0]]):
            directions = list(torch._foreach_lerp(means, found, 1 - beta1))
            torch._foreach_sign_(directions)
            if self.weight_decay:  # before, because torch's fused SGD rounds the two together, which adds up
                torch._foreach_mul_(own, 1 - lr * self.weight_decay)
            descend_(own, directions, lr=lr)
            descend_(means, found, lr=beta2 - 1, weight_decay=-1.0)

"""NAdam: Adam with Nesterov's look-ahead, and a momentum that grows along the training (L22, L25)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.parts.optimizers.kernels import ALMOST_ONE, alike, chosen, divide_, in_cache, whole
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, State, decayed, in_range, zero_steps

if TYPE_CHECKING:
    from torch import Tensor


def nadam(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    betas: "tuple[float | Tensor, float | Tensor]" = (0.9, 0.999),
    eps: "float | Tensor" = 1e-8,
    weight_decay: "float | Tensor" = 0.0,
    momentum_decay: "float | Tensor" = 4e-3,
    decoupled_weight_decay: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `NAdam`; the arguments are those of `Optimizer.update`.

    >>> import torch
    >>> zero, one = torch.tensor(0.0), torch.tensor(1.0)
    >>> change, slots = nadam(one, {"exp_avg": zero, "exp_avg_sq": zero, "mu_product": one}, 1, zero, lr=0.5)
    >>> change, slots["mu_product"]
    (tensor(-0.5282), tensor(0.4501))
    """
    import torch

    beta1, beta2 = betas
    if not decoupled_weight_decay:
        gradient = decayed(gradient, parameter, weight_decay)
    now, following = momentum_at(step, beta1, momentum_decay), momentum_at(step + 1, beta1, momentum_decay)
    past = slots["mu_product"]
    product = past * torch.as_tensor(now, dtype=past.dtype)  # rounded as torch's
    mean = beta1 * slots["exp_avg"] + (1 - beta1) * gradient
    square = beta2 * slots["exp_avg_sq"] + (1 - beta2) * (gradient * gradient)
    of_gradient, of_mean = weights(product.double(), now, following)
    root = (square / (1 - beta2**step)).sqrt() + eps
    # torch adds the two parts one after the other, whose rounding in float32 adds up over 1,000 steps.
    kept = parameter * (1 - lr * weight_decay) if decoupled_weight_decay else parameter
    moved = (kept - lr * of_gradient * (gradient / root)) - lr * of_mean * (mean / root)
    return (moved - parameter).to(parameter.dtype), {"exp_avg": mean, "exp_avg_sq": square, "mu_product": product}


def momentum_at(step: Any, beta1: Any, decay: Any) -> Any:
    """μ_t, which grows from β₁/2 to β₁."""
    return beta1 * (1 - 0.5 * 0.96 ** (step * decay))


def weights(product: Any, now: Any, following: Any) -> tuple[Any, Any]:
    """Of g_t and of m_t in the direction of a step: (1 − μ_t)/(1 − μ₁⋯μ_t) and μ_{t+1}/(1 − μ₁⋯μ_{t+1})."""
    return (1 - now) / (1 - product), following / (1 - product * following)


@dataclass(frozen=True, kw_only=True)
class NAdam(Optimizer):
    """Adam that steps along where its mean gradient will be after this one has entered once more (L22, L25).

    With m_t, v̂_t and g_t as in `Adam`, momentum decay ψ:

        μ_t = β₁ (1 − ½ · 0.96^(tψ))
        n_t = (1 − μ_t) g_t / (1 − μ₁⋯μ_t) + μ_{t+1} m_t / (1 − μ₁⋯μ_{t+1})
        θ_t = θ_{t−1} − η n_t / (√v̂_t + ε)

    As in Nesterov's rewritten form (see `SGD`), the newest gradient counts once more than in the mean.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide. torch's default is 0.002.
        weight_decay: λ, at least 0.
        betas: (β₁, β₂), each from 0 to below 1.
        eps: ε, at least 0; outside the root.
        momentum_decay: ψ, at least 0: with 0.004 the momentum has gone 3/4 of its way from β₁/2 to β₁ after 8,500
            steps; with 0 it stays β₁/2.
        decoupled_weight_decay: whether λ shrinks the weights as in `AdamW`, instead of acting through the gradient.

    Raises:
        UsageError: for a value out of range.

    >>> NAdam(lr=0.002).slots
    ('exp_avg', 'exp_avg_sq', 'mu_product', 'step')

    Source: Dozat 2016, "Incorporating Nesterov Momentum into Adam". Equal to torch's, which has no fused kernel: here
    two passes of Adam's do it.
    """

    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check_betas()
        for name in ("eps", "momentum_decay"):
            self._check(name, in_range(getattr(self, name), 0), "a number of at least 0")
        self._check("decoupled_weight_decay", isinstance(self.decoupled_weight_decay, bool), "True or False")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", "mu_product", "step")

    def start(self, parameter: "Tensor") -> Slots:
        """The slots of one parameter before its first step; μ₁⋯μ_t is one number, on the CPU as in torch."""
        import torch

        return super().start(parameter) | {"mu_product": torch.tensor(1.0)}

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return nadam(gradient, slots, step, parameter, **self._values(hyper))

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"betas": (momentum, self.betas[1])}

    def init(self, parameters: "Sequence[Tensor]") -> State:
        """As every optimizer's, but with all counts on the CPU: the rule depends on them, and a look is free there."""
        import torch

        state = super().init(parameters)
        products = list(torch.ones(len(parameters)).unbind())  # views of one tensor, multiplied at once
        return state | {"mu_product": products, "step": zero_steps(parameters, on_cpu=True)}

    def _fuses(self, parameter: "Tensor") -> bool:
        return False  # torch has no fused NAdam

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        if self.weight_decay and not self.decoupled_weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=self.weight_decay))
        means, squares, products, steps = slots
        for (step, _), positions in alike(steps, products):
            lists = chosen([parameters, gradients, means, squares, products], positions)
            now = momentum_at(step, self.betas[0], self.momentum_decay)
            base = whole(lists[4])
            torch._foreach_mul_(lists[4] if base is None else [base], now)
            self._move(lists, lr, step)

    def _move(self, lists: "list[list[Tensor]]", lr: float, step: float) -> None:
        """One step of parameters that have made equally many: a pass of Adam's kernel for each part of n_t.

        The first updates v, the second m.
        """
        parameters, gradients, means, squares, products = lists
        beta1, beta2 = self.betas
        now, following = (momentum_at(t, beta1, self.momentum_decay) for t in (step, step + 1))
        of_gradient, of_mean = weights(products[0].item(), now, following)
        root = (1 - beta2**step) ** 0.5
        shrink = self.weight_decay / (of_gradient * root) if self.decoupled_weight_decay else 0.0
        for own, found, first, second in in_cache([parameters, gradients, means, squares]):
            # With β₁ = 0 the mean is the gradient itself, so that it can stand in for it, unchanged if finite.
            divide_(
                own,
                found,
                found,
                second,
                lr=lr * of_gradient * root,
                betas=(0.0, beta2),
                eps=self.eps * root,
                weight_decay=shrink,
            )
            divide_(
                own,
                found,
                first,
                second,
                lr=lr * of_mean * root,
                betas=(beta1, ALMOST_ONE),
                eps=self.eps * root,
                weight_decay=0.0,
            )

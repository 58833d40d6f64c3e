"""Stochastic gradient descent, with momentum and in Nesterov's form (L21, L22)."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError
from thalweg.parts.optimizers.kernels import is_half_on_cpu
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, decayed, in_range, is_off

if TYPE_CHECKING:
    from torch import Tensor


def sgd(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    weight_decay: "float | Tensor" = 0.0,
    momentum: "float | Tensor" = 0.0,
    dampening: "float | Tensor" = 0.0,
    nesterov: bool = False,
) -> "tuple[Tensor, Slots]":
    """The rule of `SGD`; the arguments are those of `Optimizer.update`.

    >>> import torch
    >>> g, b = torch.tensor(1.0), torch.tensor(2.0)
    >>> sgd(g, {"momentum_buffer": b}, 7, torch.tensor(5.0), lr=0.1, momentum=0.5)
    (tensor(-0.2000), {'momentum_buffer': tensor(2.)})
    """
    gradient = decayed(gradient, parameter, weight_decay)
    if is_off(momentum):
        return -lr * gradient, {}
    # The first buffer is the gradient itself, as in torch: the buffer starts at 0, the damping at the second step.
    damped = gradient if is_off(dampening) else gradient - (step > 1) * (dampening * gradient)
    buffer = momentum * slots["momentum_buffer"] + damped
    direction = gradient + momentum * buffer if nesterov else buffer
    return -lr * direction, {"momentum_buffer": buffer}


def look_ahead(
    gradient: "Callable[[Tensor], Tensor]", point: "Tensor", velocity: "Tensor", *, lr: float, momentum: float
) -> "tuple[Tensor, Tensor]":
    """One step of Nesterov's textbook form (L22), which takes the gradient where the momentum is about to lead.

    A training uses the rewritten form, `SGD(nesterov=True)`, whose gradient is taken where the parameters are.

    Args:
        gradient: of the loss, as a function of the point.
        point: φ.
        velocity: v, shaped like it; 0 at first.
        lr: η.
        momentum: μ.

    Returns:
        The next φ and v.

    >>> import torch
    >>> look_ahead(lambda point: 2 * point, torch.tensor(1.0), torch.tensor(-0.5), lr=0.1, momentum=0.8)
    (tensor(0.4800), tensor(-0.5200))
    """
    velocity = momentum * velocity - lr * gradient(point + momentum * velocity)
    return point + velocity, velocity


@dataclass(frozen=True, kw_only=True)
class SGD(Optimizer):
    r"""Gradient descent along an average of past gradients (L21); Nesterov's form looks ahead first (L22).

    With g_t the gradient plus λθ_{t−1}, momentum μ, dampening τ, learning rate η:

        b_t = μ b_{t−1} + (1 − τ) g_t,    b_1 = g_1
        θ_t = θ_{t−1} − η b_t                       (momentum)
        θ_t = θ_{t−1} − η (g_t + μ b_t)             (Nesterov, rewritten)

    Written out, b_t = g_t + μ g_{t−1} + μ² g_{t−2} + … (τ = 0): the average of past gradients with weights that fall
    by μ a step, times 1/(1 − μ). A steady gradient is thus followed at the rate η/(1 − μ), one that changes sign is
    averaged away; τ = μ makes it the plain exponential average.

    Nesterov's textbook form takes the gradient at the point the momentum is about to reach:

        v_t = μ v_{t−1} − η ∇L(φ_{t−1} + μ v_{t−1}),    φ_t = φ_{t−1} + v_t

    With θ_t = φ_t + μ v_t and v_t = −η b_t it becomes the rewritten form above, whose gradient is taken where the
    parameters are, as backward does. The two agree as long as η and μ stay constant.

    Args:
        lr: learning rate η, above 0; `"auto"` lets a race decide.
        weight_decay: λ of an L2 penalty, at least 0.
        momentum: μ, from 0 to below 1; 0.9 is the usual choice.
        dampening: τ, from 0 to 1; needs a look at each parameter's step count, so leave it at 0 for speed.
        nesterov: the look-ahead; needs momentum, and dampening 0.

    Raises:
        UsageError: for a value out of range; torch itself admits a momentum of 1 and above, which diverges.

    >>> SGD(lr=0.1, momentum=0.9, nesterov=True)
    SGD(lr=0.1, weight_decay=0.0, momentum=0.9, dampening=0.0, nesterov=True)

    Both forms of Nesterov's, on the loss φ²/2, whose gradient is φ; they differ by the look-ahead μ v alone:

    >>> import torch
    >>> theta, slots = torch.tensor(1.0), {"momentum_buffer": torch.tensor(0.0)}
    >>> phi, v = torch.tensor(1.0), torch.tensor(0.0)
    >>> for step in range(1, 4):
    ...     phi, v = look_ahead(lambda point: point, phi, v, lr=0.1, momentum=0.9)
    ...     change, slots = sgd(theta, slots, step, theta, lr=0.1, momentum=0.9, nesterov=True)
    ...     theta = theta + change
    >>> theta, phi + 0.9 * v
    (tensor(0.3273), tensor(0.3273))

    Source: Polyak 1964; Nesterov 1983; Sutskever et al. 2013, "On the importance of initialization and momentum in
    deep learning". As in torch, η multiplies the buffer when it is used, not when it is filled.
    """

    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", in_range(self.momentum, 0, 1), "a number from 0 to below 1")
        self._check("dampening", in_range(self.dampening, 0) and self.dampening <= 1, "a number from 0 to 1")
        self._check("nesterov", isinstance(self.nesterov, bool), "True or False")
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise UsageError(
                f"SGD got nesterov=True with momentum={self.momentum!r} and dampening={self.dampening!r}; "
                "Nesterov's form needs a momentum above 0 (0.9 is usual) and a dampening of 0."
            )

    @property
    def slots(self) -> tuple[str, ...]:
        if self.momentum == 0:
            return ()
        return ("momentum_buffer", "step") if self.dampening else ("momentum_buffer",)

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        return sgd(gradient, slots, step, parameter, **self._values(hyper))

    @property
    def usual_rates(self) -> tuple[float, float]:
        return 1e-2 * (1 - self.momentum), 10 * (1 - self.momentum)  # a steady gradient is followed at η / (1 − μ)

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"momentum": momentum} if self.momentum else super().momentum_field(momentum)

    def _fuses(self, parameter: "Tensor") -> bool:
        # With dampening torch's fused form fails where parameters get their first gradient at different steps.
        return super()._fuses(parameter) and not is_half_on_cpu(parameter) and not self.dampening

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        move = self._multi_tensor if is_half_on_cpu(parameters[0]) else self._fused
        if len(slots) < 2:  # no dampening: a buffer of 0 turns into the gradient by itself
            move(parameters, gradients, slots[0] if slots else [], lr, False)
            return
        buffers, steps = slots
        first = [step.item() == 1 for step in steps]  # synchronizes with the device
        for is_first in set(first):
            chosen = [i for i, value in enumerate(first) if value == is_first]
            parts = [[tensors[i] for i in chosen] for tensors in (parameters, gradients, buffers)]
            move(parts[0], parts[1], parts[2], lr, is_first)

    def _fused(
        self,
        parameters: "list[Tensor]",
        gradients: "list[Tensor]",
        buffers: "list[Tensor]",
        lr: float,
        is_first_step: bool,
    ) -> None:
        import torch

        torch._fused_sgd_(
            parameters,
            gradients,
            buffers,
            lr=lr,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
            maximize=False,
            is_first_step=is_first_step,
        )

    def _multi_tensor(
        self,
        parameters: "list[Tensor]",
        gradients: "list[Tensor]",
        buffers: "list[Tensor]",
        lr: float,
        is_first_step: bool,
    ) -> None:
        import torch

        if self.weight_decay:
            gradients = list(torch._foreach_add(gradients, parameters, alpha=self.weight_decay))
        if self.momentum:
            torch._foreach_mul_(buffers, self.momentum)
            torch._foreach_add_(buffers, gradients, alpha=1 if is_first_step else 1 - self.dampening)
            gradients = list(torch._foreach_add(gradients, buffers, alpha=self.momentum)) if self.nesterov else buffers
        torch._foreach_add_(parameters, gradients, alpha=-lr)

"""Muon: momentum whose matrix is made orthogonal before the step; what is no hidden matrix goes by AdamW (L25)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from thalweg.parts.optimizers.adamw import AdamW
from thalweg.parts.optimizers.optimizer import Optimizer, Slots, in_range, shrinkage

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

Coefficients = tuple[float, float, float]
JORDAN: Coefficients = (3.4445, -4.7750, 2.0315)  # the steepest at 0 that keeps all singular values near 1


def muon(
    gradient: "Tensor",
    slots: Slots,
    step: "int | Tensor",
    parameter: "Tensor",
    *,
    lr: "float | Tensor",
    weight_decay: "float | Tensor" = 0.1,
    momentum: "float | Tensor" = 0.95,
    nesterov: bool = True,
    ns_coefficients: Coefficients = JORDAN,
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str = "match_rms_adamw",
) -> "tuple[Tensor, Slots]":
    """The rule of `Muon` for one hidden matrix; the arguments are those of `Optimizer.update`.

    >>> import torch
    >>> g, zero = torch.tensor([[3.0, 0.0], [0.0, 0.01]]), torch.zeros(2, 2)
    >>> change, _ = muon(g, {"momentum_buffer": zero}, 1, zero, lr=1.0, adjust_lr_fn="original")
    >>> change.diagonal().tolist()  # both directions count, however small the gradient in one of them
    [-0.6875, -1.15625]
    """
    buffer = mix(slots["momentum_buffer"], gradient, 1 - momentum)
    direction = mix(gradient, buffer, momentum) if nesterov else buffer
    rows, columns = shape = direction.flatten(1).shape
    update = orthogonal(direction.reshape(rows, columns), ns_coefficients, ns_steps, eps).to(parameter.dtype)
    change = -lr * adjustment(shape, adjust_lr_fn) * update.reshape(parameter.shape)
    return change + shrinkage(parameter, lr, weight_decay), {"momentum_buffer": buffer}


def mix(a: "Tensor", b: "Tensor", share: "float | Tensor") -> "Tensor":
    """a + share (b − a); with a number as torch's own `lerp` rounds it, because all that follows starts from there."""
    import torch

    return a + share * (b - a) if isinstance(share, torch.Tensor) else torch.lerp(a, b, share)


def orthogonal(matrix: "Tensor", coefficients: Coefficients, steps: int, eps: float) -> "Tensor":
    """U S′ Vᵀ of the matrix U S Vᵀ, in bfloat16: every singular value is brought near 1 (L25).

    X ← aX + (bXXᵀ + c(XXᵀ)²) X, on X = matrix / ‖matrix‖, acts on the singular values alone.
    """
    import torch

    a, b, c = coefficients
    x = matrix.bfloat16()
    x = matrix.clone() if x is matrix else x  # torch scales a bfloat16 matrix, which may be the momentum, in place
    is_tall = matrix.shape[0] > matrix.shape[1]
    x = x.mT if is_tall else x
    x.div_(x.norm().clamp(min=eps))
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if is_tall else x


def adjustment(shape: "Sequence[int]", adjust_lr_fn: str) -> float:
    """The factor of the rate for a matrix of this shape.

    >>> adjustment((400, 100), "match_rms_adamw"), adjustment((400, 100), "original")
    (4.0, 2.0)
    """
    rows, columns = shape
    if adjust_lr_fn == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


@dataclass(frozen=True, kw_only=True)
class Muon(Optimizer):
    """Steps whose matrix has all its singular values near 1: directions of small gradients count too (L25).

    Of a hidden matrix, with gradient G_t, learning rate η:

        B_t = μ B_{t−1} + (1 − μ) G_t
        O_t = NewtonSchulz((1 − μ) G_t + μ B_t)              (Nesterov; else of B_t)
        W_t = W_{t−1} − η λ W_{t−1} − η · 0.2 √max(rows, columns) · O_t

    The factor 0.2 √max(rows, columns) gives a step the root mean square that AdamW's has, about 0.2 η, so that one rate
    serves both. A convolution's weight is the matrix [out, in · height · width].

    What goes where is found by itself. AdamW moves the output layers (the last ones with weights before the network's
    output, several heads each; a tied one is an embedding as well), embeddings, vectors and scalars, and grouped
    convolutions, which are several matrices. All other matrices and convolutions are Muon's, the first layer included.
    `describe_routing(network)` says it for your network. The last layers are found in the graph of the forward pass,
    which torch.fx draws without data; where it cannot, the last matrix in the order of definition counts as the output
    layer, and `also_adamw` names others.

    Args:
        lr: learning rate η of all parameters, above 0; `"auto"` lets a race decide. Best about a third of AdamW's.
        weight_decay: λ of all parameters that decay, at least 0; 0.1 as in torch.
        momentum: μ, from 0 to below 1; 0.95 is the usual choice.
        nesterov: whether the gradient enters once more.
        ns_coefficients: (a, b, c) of the iteration.
        eps: least norm to divide by, at least 0.
        ns_steps: iterations, from 1 to 99; 5 bring singular values from 0.01 to 1 of the largest into 0.5 to 1.5.
        adjust_lr_fn: `"match_rms_adamw"` is the factor above; `"original"` √max(1, rows/columns), with which Muon's own
            rate is about 0.02 and AdamW's would need another. torch's default is the latter.
        betas: (β₁, β₂) of AdamW, whose ε is 1e-8.
        also_adamw: names of modules or parameters that AdamW moves besides those above: `("decoder.policy",)`.

    Raises:
        UsageError: for a value out of range, or a name that the network does not have.

    >>> from torch import nn
    >>> print(Muon(lr=0.01).describe_routing(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))))
    Muon moves 1 tensor of 128 numbers: 0.weight
    AdamW moves 3 tensors of 50 numbers: 2.weight (output layer), 0.bias, 2.bias (vectors)

    Source: Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; Liu et al. 2025, "Muon is
    Scalable for LLM Training". The rule is `torch.optim.Muon`'s, which takes matrices only and routes nothing.
    """

    weight_decay: float = 0.1
    momentum: float = 0.95
    nesterov: bool = True
    ns_coefficients: Coefficients = JORDAN
    eps: float = 1e-7
    ns_steps: int = 5
    adjust_lr_fn: Literal["match_rms_adamw", "original"] = "match_rms_adamw"
    betas: tuple[float, float] = (0.9, 0.999)
    also_adamw: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("momentum", in_range(self.momentum, 0, 1), "a number from 0 to below 1")
        self._check("nesterov", isinstance(self.nesterov, bool), "True or False")
        three = isinstance(self.ns_coefficients, tuple) and len(self.ns_coefficients) == 3
        self._check("ns_coefficients", three, "a tuple of three numbers")
        self._check("eps", in_range(self.eps, 0), "a number of at least 0")
        whole = isinstance(self.ns_steps, int) and in_range(self.ns_steps, 1, 100)
        self._check("ns_steps", whole, "an integer from 1 to 99")
        self._check(
            "adjust_lr_fn", self.adjust_lr_fn in ("match_rms_adamw", "original"), "'match_rms_adamw' or 'original'"
        )
        self._check_betas()
        names = isinstance(self.also_adamw, tuple) and all(isinstance(name, str) for name in self.also_adamw)
        self._check("also_adamw", names, "a tuple of names of modules or parameters")

    @property
    def slots(self) -> tuple[str, ...]:
        return ("momentum_buffer",)

    @property
    def adamw(self) -> AdamW:
        """The rule of the other parameters."""
        return AdamW(lr=self.lr, weight_decay=self.weight_decay, betas=self.betas)

    def update(
        self,
        gradient: "Tensor",
        slots: Slots,
        step: "int | Tensor",
        parameter: "Tensor",
        hyper: Mapping[str, Any] | None = None,
    ) -> "tuple[Tensor, Slots]":
        """The rule for a hidden matrix; of several members at once only by `torch.func.vmap`."""
        values = self._values(hyper)
        return muon(gradient, slots, step, parameter, **{k: v for k, v in values.items() if k not in OF_ROUTING})

    def momentum_field(self, momentum: Any) -> dict[str, Any]:
        return {"momentum": momentum}

    def route(
        self, network: "nn.Module", parameters: "Sequence[nn.Parameter]"
    ) -> "list[tuple[Optimizer, list[nn.Parameter]]]":
        """Muon for the hidden matrices among the parameters, AdamW for the others."""
        from thalweg.parts.optimizers.routing import places

        found = places(network, self.also_adamw)
        hidden = [p for p in parameters if found[id(p)] == ""]
        others = [p for p in parameters if found[id(p)] != ""]
        return [(rule, own) for rule, own in ((self, hidden), (self.adamw, others)) if own]

    def describe_routing(self, network: "nn.Module") -> str:
        """Which tensors of the network go by which rule, and why, as text."""
        from thalweg.parts.optimizers.routing import described, places

        return described(network, places(network, self.also_adamw))

    def build(self, params: "Iterable[Any] | nn.Module") -> "torch.optim.Optimizer":
        """A `torch.optim.Optimizer` of our own, with a group for each rule.

        Args:
            params: a module, which is routed as in a training; or parameters, named parameters or groups of them. These
                tell only shapes and names: every matrix goes on Muon then, the output layer and embeddings too, unless
                `also_adamw` names them. Give the module, where there is one.
        """
        from thalweg.parts.optimizers.routing import build

        self._values(None)  # that the rate is a number
        return build(self, params)

    def _kernel(
        self, parameters: "list[Tensor]", gradients: "list[Tensor]", slots: "list[list[Tensor]]", lr: float
    ) -> None:
        import torch

        for parameter, gradient, buffer in zip(parameters, gradients, slots[0], strict=True):
            buffer.lerp_(gradient, 1 - self.momentum)
            matrix = (torch.lerp(gradient, buffer, self.momentum) if self.nesterov else buffer).flatten(1)
            update = orthogonal(matrix, self.ns_coefficients, self.ns_steps, self.eps).reshape(parameter.shape)
            if self.weight_decay:
                parameter.mul_(1 - lr * self.weight_decay)
            parameter.add_(update, alpha=-lr * adjustment(matrix.shape, self.adjust_lr_fn))


OF_ROUTING = ("betas", "also_adamw")  # fields that are not the rule's

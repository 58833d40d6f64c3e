"""How much curvature the steps of an optimizer bear: its limit, and the coordinates in which it holds."""

from collections.abc import Mapping

from torch import Tensor

from thalweg.parts.optimizers import SGD, Adam, AdamW, Optimizer, RMSprop

STANDING = 0.98  # of a mean of squares: it forgets a fiftieth with each step


def stability_limit(optimizer: Optimizer, rate: float) -> float | None:
    """The curvature of a quadratic above which an optimizer's steps along it grow.

    With learning rate η, momentum β and dampening τ:

        2 (1 + β) / (η (1 − τ))           SGD with momentum; 2 / η without
        2 (1 + β) / (η (1 + 2β))          in Nesterov's form
        2 (1 + β₁) / (η (1 − β₁))         Adam and AdamW, 38 / η for β₁ = 0.9, of the curvature that `preconditioner`
                                          scales; the averages of squares are taken as standing still
        2 (1 + β) / η                     RMSprop, of the same

    Args:
        optimizer: the plan's.
        rate: learning rate of the steps meant.

    Returns:
        None for other optimizers, where nothing moves, and where the averages of squares reach back fewer than fifty
        steps: they do not stand still beside steps to alternating sides.

    >>> stability_limit(SGD(lr=0.1), 0.1), round(stability_limit(Adam(lr=0.01), 0.01))
    (20.0, 3800)

    Source: Cohen et al. 2021, "Gradient descent on neural networks typically occurs at the edge of stability",
    appendix B; Cohen et al. 2022, "Adaptive gradient methods at the edge of stability".
    """
    if not rate > 0:
        return None
    if type(optimizer) is SGD:
        momentum = optimizer.momentum
        if optimizer.nesterov:
            return 2 * (1 + momentum) / (rate * (1 + 2 * momentum))
        damped = 1 - optimizer.dampening if momentum else 1.0
        return 2 * (1 + momentum) / (rate * damped)
    if type(optimizer) in (Adam, AdamW):
        assert isinstance(optimizer, Adam)
        mean, square = optimizer.betas
        return None if square < STANDING else 2 * (1 + mean) / (rate * (1 - mean))
    if type(optimizer) is RMSprop and not optimizer.centered and optimizer.alpha >= STANDING:
        return 2 * (1 + optimizer.momentum) / rate
    return None


def preconditioner(optimizer: Optimizer, state: Mapping[str, Tensor], steps: int) -> dict[str, Tensor] | None:
    """By parameter the root of what an adaptive optimizer multiplies gradients by: `(√v̂ + ε)^(−1/2)`.

    Args:
        optimizer: Adam, AdamW or RMSprop.
        state: its slots by parameter, `exp_avg_sq.0.weight`.
        steps: updates that were made.

    Returns:
        None for an optimizer that multiplies all by the same; empty where its state is not known.

    >>> import torch
    >>> preconditioner(RMSprop(lr=0.1, eps=0.0), {"square_avg.0.weight": torch.tensor([16.0])}, 9)
    {'0.weight': tensor([0.5000])}
    """
    if isinstance(optimizer, Adam):
        slot = "max_exp_avg_sq" if optimizer.amsgrad else "exp_avg_sq"
        seen = 1 - optimizer.betas[1] ** max(steps, 1)
    elif isinstance(optimizer, RMSprop):
        slot, seen = "square_avg", 1.0
    else:
        return None
    squares = {name[len(slot) + 1 :]: value for name, value in state.items() if name.startswith(f"{slot}.")}
    return {name: (value / seen).sqrt().add(optimizer.eps).pow(-0.5) for name, value in squares.items()}

"""Losses by name, and what a loss of the user's own is."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import TrainingError, UsageError, did_you_mean

LossFunction = Callable[[Any, Tensor], Tensor]


def like_target(output: Tensor, target: Tensor) -> Tensor:
    """`[N, 1]` outputs as `[N]` where the target is `[N]`, so that nothing broadcasts to `[N, N]`."""
    return output.reshape(target.shape) if output.shape != target.shape and output.numel() == target.numel() else output


def binary_cross_entropy(output: Tensor, target: Tensor) -> Tensor:
    """Binary cross-entropy of logits."""
    return F.binary_cross_entropy_with_logits(like_target(output, target), target)


def mse(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(like_target(output, target), target)


def mae(output: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(like_target(output, target), target)


def huber(output: Tensor, target: Tensor) -> Tensor:
    return F.huber_loss(like_target(output, target), target)


NAMED: dict[str, LossFunction] = {
    "cross_entropy": F.cross_entropy,
    "binary_cross_entropy": binary_cross_entropy,
    "nll": F.nll_loss,
    "mse": mse,
    "mae": mae,
    "huber": huber,
}
TORCH_FUNCTIONS: dict[Any, str] = {
    F.cross_entropy: "cross_entropy",
    F.binary_cross_entropy_with_logits: "binary_cross_entropy",
    F.nll_loss: "nll",
    F.mse_loss: "mse",
    F.l1_loss: "mae",
    F.huber_loss: "huber",
}
TORCH_MODULES: dict[type[nn.Module], str] = {
    nn.CrossEntropyLoss: "cross_entropy",
    nn.BCEWithLogitsLoss: "binary_cross_entropy",
    nn.NLLLoss: "nll",
    nn.MSELoss: "mse",
    nn.L1Loss: "mae",
    nn.HuberLoss: "huber",
}


def resolve_loss(loss: str | LossFunction) -> tuple[LossFunction, str | None]:
    """The function of a loss and its name; the name is None for a function of the user's own.

    Torch's losses, as functions or modules, get their name and are called unchanged.

    Raises:
        UsageError: for an unknown name, or for something that cannot be called.

    >>> resolve_loss("mse")[1], resolve_loss(nn.CrossEntropyLoss(label_smoothing=0.1))[1]
    ('mse', 'cross_entropy')
    """
    if isinstance(loss, str):
        if loss not in NAMED:
            raise UsageError(
                f"There is no loss {loss!r}.{did_you_mean(loss, list(NAMED))} Losses by name: {', '.join(NAMED)}; "
                "or pass a function (output, target) -> scalar."
            )
        return NAMED[loss], loss
    if not callable(loss):
        raise UsageError(
            f"loss got {loss!r}; pass a name ({', '.join(NAMED)}) or a function (output, target) -> scalar."
        )
    if isinstance(loss, nn.Module):
        return loss, TORCH_MODULES.get(type(loss))
    return loss, TORCH_FUNCTIONS.get(loss)


def require_scalar(loss: object) -> None:
    """Raises `TrainingError` unless the value that a loss function returned is a scalar tensor that can be derived."""
    if not isinstance(loss, Tensor):
        raise TrainingError(f"The loss returned {type(loss).__name__}, not a tensor; return a scalar tensor.")
    if loss.dim() != 0 and loss.numel() != 1:
        raise TrainingError(
            f"The loss returned a tensor of shape {list(loss.shape)}, one value is needed; reduce it, "
            "for example with .mean() over the samples."
        )
    if loss.is_complex() or not loss.is_floating_point():
        raise TrainingError(f"The loss returned {loss.dtype}; a real floating-point scalar is needed.")


def per_sample(loss: LossFunction, output: Any, target: Tensor) -> Tensor | None:
    """The loss of each sample `[N]`, or None for a loss that cannot be taken sample by sample."""
    if not isinstance(output, Tensor) or len(output) != len(target):
        return None
    with torch.no_grad():
        try:
            values = torch.func.vmap(lambda o, t: loss(o[None], t[None]))(output, target)
        except Exception:  # a user's loss may use what vmap cannot trace: item(), data-dependent branches
            return None
    return values if values.shape == (len(target),) else None

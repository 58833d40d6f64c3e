"""Losses by name, torch's and the user's own, with and without weights of the rows."""

import copy
import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.data.rows import StepFunction, StepOutput
from thalweg.errors import TrainingError, UsageError, did_you_mean
from thalweg.parts.metrics.forms import IGNORED, positions

LossFunction = Callable[..., Tensor]  # (output, target), and the rows' weights where there are any


def like_target(output: Tensor, target: Tensor) -> Tensor:
    """`[N, 1]` outputs as `[N]` where the target is `[N]`, so that nothing broadcasts to `[N, N]`."""
    return output.reshape(target.shape) if output.shape != target.shape and output.numel() == target.numel() else output


def weighted_mean(values: Tensor, weight: Tensor, counted: Tensor | None = None) -> Tensor:
    """`sum w_i l_ij / sum w_i` over the counted elements of `values`, whose rows have the weights `[N]`; 0 without any.

    >>> weighted_mean(torch.tensor([1.0, 4.0]), torch.tensor([3.0, 1.0]))
    tensor(1.7500)
    """
    each = weight.reshape(-1, *[1] * (values.dim() - 1)).expand_as(values)
    if counted is not None:
        each = each * counted
    total = each.sum()
    return (values * each).sum() / total.where(total > 0, 1)


def reduced(
    function: LossFunction, output: Tensor, target: Tensor, weight: Tensor | None, **options: Tensor | None
) -> Tensor:
    """The mean of a loss of torch's over all elements, which is one fused operation, or the weighted one."""
    if weight is None:
        return function(output, target, **options)
    return weighted_mean(function(output, target, reduction="none", **options), weight)


def per_class(function: LossFunction) -> LossFunction:
    """A loss of class indices, `[N]` or `[N, ...]` one per position, whose outputs may count classes last or in dim 1.

    Positions that are -100 count nowhere; where none counts the loss is 0.
    """

    def loss(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if target.dim() < 2 or target.is_floating_point():  # probabilities [N, classes] of mixed rows
            return reduced(function, output, target, weight)
        logits, true = positions(output, target)
        if weight is None:
            return function(logits, true, reduction="sum") / (true != IGNORED).sum().clamp_min(1)
        values = function(logits, true, reduction="none").reshape(target.shape)
        return weighted_mean(values, weight, target != IGNORED)

    return loss


def binary_cross_entropy(
    output: Tensor, target: Tensor, weight: Tensor | None = None, *, positive: Tensor | None = None
) -> Tensor:
    """Binary cross-entropy of logits `[N]` or `[N, T]`; `positive` are weights of the entries that are 1, per label."""
    return reduced(F.binary_cross_entropy_with_logits, like_target(output, target), target, weight, pos_weight=positive)


def mse(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    return reduced(F.mse_loss, like_target(output, target), target, weight)


def mae(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    return reduced(F.l1_loss, like_target(output, target), target, weight)


def huber(output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    return reduced(F.huber_loss, like_target(output, target), target, weight)


NAMED: dict[str, LossFunction] = {
    "cross_entropy": per_class(F.cross_entropy),
    "binary_cross_entropy": binary_cross_entropy,
    "nll": per_class(F.nll_loss),
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
    return loss, next((name for function, name in TORCH_FUNCTIONS.items() if function is loss), None)


def step_loss(output: StepOutput, _target: Tensor, *_weight: Tensor) -> Tensor:
    """The loss that the user's `step` made of the batch; what else it weighs is in there."""
    return output.loss


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


def num_items(target: Tensor, weight: Tensor | None = None) -> int | Tensor:
    """How many items a mean loss over this target averages: its rows, or its positions that are not ignored.

    With weights of the rows `[N]` it is the sum of the items' weights. A sum or a count of positions is a tensor on the
    target's device, so that nothing waits for it.

    >>> num_items(torch.tensor([3, 1])), num_items(torch.tensor([[3, 1], [2, IGNORED]]))
    (2, tensor(3))
    >>> num_items(torch.tensor([[3, 1], [2, IGNORED]]), torch.tensor([1.0, 0.5]))
    tensor(2.5000)
    """
    if target.dim() < 2 or target.is_floating_point():
        return len(target) if weight is None else weight.sum()
    counted = target != IGNORED
    return counted.sum() if weight is None else (counted.flatten(1).sum(1) * weight).sum()


def row_items(target: Tensor, weight: Tensor | None = None) -> Tensor:
    """`[N]` how many items of a mean loss each row has, times its weight; they sum to `num_items`."""
    wide = target.dim() > 1 and not target.is_floating_point()
    items = (target != IGNORED).flatten(1).sum(1) if wide else torch.ones(len(target), device=target.device)
    return items.double() if weight is None else items * weight.double()


def items_of(batch: tuple[Any, ...]) -> Any:
    """What a batch counts in a mean: its items, or the sum of their weights."""
    return num_items(*batch[1:])


class WeightedLoss(nn.Module):
    """One of torch's losses, called with the weights of the rows: `sum w_i l_i / sum w_i`.

    Class weights of its own multiply both sums, as torch's mean has them: `CrossEntropyLoss(weight=...)`.

    >>> loss = WeightedLoss(nn.MSELoss())
    >>> loss(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 1.0]), torch.tensor([3.0, 1.0]))
    tensor(1.7500)
    """

    def __init__(self, plain: LossFunction) -> None:
        super().__init__()
        self.plain = plain
        each: Any = copy.deepcopy(plain) if isinstance(plain, nn.Module) else partial(plain, reduction="none")
        if isinstance(plain, nn.Module):
            each.reduction = "none"
        self.each: LossFunction = each

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        if weight is None:
            return self.plain(output, target)
        values = self.each(output, target)
        by_class = target.shape == values.shape and not target.is_floating_point()
        counted: Tensor | None = None
        if by_class:
            ignored = getattr(self.plain, "ignore_index", IGNORED)
            counted = target != ignored
            own = getattr(self.plain, "weight", None)
            if own is not None:  # the values have it already, the sum of the weights needs it too
                total = own.to(values)[target.where(counted, 0)] * counted
                return weighted_sum(values, weight) / weighted_sum(total, weight)
        if getattr(self.plain, "reduction", "mean") == "sum":
            return weighted_sum(values, weight)
        return weighted_mean(values, weight, counted)


def weighted_sum(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight.reshape(-1, *[1] * (values.dim() - 1))).sum()


class LabelWeighted(nn.Module):
    """Binary cross-entropy whose positive entries weigh `positive` `[T]`, as `BCEWithLogitsLoss(pos_weight=)`."""

    positive: Tensor

    def __init__(self, positive: Tensor) -> None:
        super().__init__()
        self.register_buffer("positive", positive.float())

    def forward(self, output: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
        return binary_cross_entropy(output, target, weight, positive=self.positive.to(output.device))


class OwnWeighted(nn.Module):
    """A loss of the user's own that takes the rows' weights; where there are none at hand, all are 1."""

    def __init__(self, loss: LossFunction) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, target: Tensor, weight: Tensor | None = None) -> Tensor:
        weight = torch.ones(len(target), device=target.device) if weight is None else weight
        return self.loss(output, target, weight)


class ColumnLoss(nn.Module):
    """A loss of torch's under targets that were given as a column: it is called with `[N, 1]`, as the user's loop does.

    >>> ColumnLoss(nn.MSELoss())(torch.tensor([[1.0], [3.0]]), torch.tensor([0.0, 1.0]))
    tensor(2.5000)
    """

    def __init__(self, loss: LossFunction) -> None:
        super().__init__()
        self.loss = loss

    def forward(self, output: Any, target: Tensor, *weight: Tensor) -> Tensor:
        return self.loss(output, target.unsqueeze(1) if target.dim() == 1 else target, *weight)


def weighted_loss(loss: LossFunction, name: str | None, labels: Tensor | None = None) -> LossFunction:
    """A loss that takes the weights of the rows as a third argument.

    Args:
        loss: from `resolve_loss`.
        name: its name; None for a function of the user's own, which must take three arguments itself.
        labels: `[T]`, weights of the positive entries of each label.

    Raises:
        UsageError: for a loss of the user's own that takes two; for weights of labels under another loss than binary
            cross-entropy without weights of its own.
    """
    if labels is not None:
        if loss not in (binary_cross_entropy, F.binary_cross_entropy_with_logits):
            raise UsageError(
                "class_weights of a multi-label task need loss='binary_cross_entropy'. Give this loss its weights "
                "itself, as nn.BCEWithLogitsLoss(pos_weight=...)."
            )
        return LabelWeighted(labels)
    if name is not None:
        return loss if loss is NAMED[name] else WeightedLoss(loss)
    called = loss.forward if isinstance(loss, nn.Module) else loss
    try:
        inspect.signature(called).bind(None, None, None)
    except (TypeError, ValueError):
        shown = getattr(loss, "__name__", type(loss).__name__)
        raise UsageError(
            f"With weights a loss is called as loss(output, target, weight), and {shown} cannot be. Give it a third "
            "argument, the weights [N] of the rows, and return sum(w * l) / sum(w); or take a loss by name."
        ) from None
    return OwnWeighted(loss)


def find_loss(
    loss: str | LossFunction | None, step: StepFunction | None, *, weighted: bool
) -> tuple[LossFunction, str | None]:
    """The loss and its name; a step's own has none. Raises `UsageError` unless exactly one of them is given."""
    if step is None:
        if loss is None:
            raise UsageError("loss= is missing. Name one, or pass step=(model, batch) -> loss, which computes it.")
        return resolve_loss(loss)
    if loss is not None:
        raise UsageError(f"step= computes the loss, and loss={loss!r} was given too. Leave one of them out.")
    if not callable(step):
        raise UsageError(f"step got {step!r}; pass a function (model, batch) -> loss or (loss, output, target).")
    if weighted:
        raise UsageError("step= computes the loss, and weighs it: leave class_weights and sample_weights out.")
    return step_loss, None

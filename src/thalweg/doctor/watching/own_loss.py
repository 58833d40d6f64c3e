"""Networks that compute their own loss, as those of Transformers do: which loss it is, found by computing it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.data.rows import Inputs, call
from thalweg.doctor.watching.rows import inputs_of

TARGET = "labels"
BESIDE = (TARGET, "num_items_in_batch")  # arguments of the loss, not of the answers
CLOSE = 1e-3  # of the loss: below what another reduction or another loss would make, above rounding in half precision


@dataclass(frozen=True)
class OwnLoss:
    """A loss of a network's own by the name that torch has for it."""

    name: str

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        match self.name:
            case "cross_entropy":
                return F.cross_entropy(output, target)
            case "binary_cross_entropy_with_logits":
                return F.binary_cross_entropy_with_logits(output, target)
            case _:
                return F.mse_loss(output.reshape(target.shape), target)


class Answers(nn.Module):
    """The network without its loss.

    Args:
        model: what returns a mapping with `logits`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        found: Tensor = self.model(*args, **kwargs)["logits"]
        return found


@dataclass(frozen=True)
class Own:
    """What one call of a network that computes its own loss shows."""

    inputs: Inputs
    output: Tensor
    target: Tensor
    loss: OwnLoss


def own_loss(network: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], output: Any) -> Own | str:
    """The loss that such a network has computed, or why it is not known.

    >>> from types import SimpleNamespace
    >>> logits, labels = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([0, 1])
    >>> output = {"loss": F.cross_entropy(logits, labels), "logits": logits}
    >>> class Net(nn.Module):
    ...     def forward(self, words, labels=None): ...
    >>> found = own_loss(Net(), (), {"words": torch.zeros(2, 3), "labels": labels}, output)
    >>> found.loss, tuple(found.inputs)
    (OwnLoss(name='cross_entropy'), ('words',))
    """
    if not computes_loss(output):
        return f"the network returns {type(output).__name__}, not one tensor"
    target, answers = kwargs.get(TARGET), output["logits"]
    inputs = inputs_of(network, args, {name: value for name, value in kwargs.items() if name not in BESIDE})
    if inputs is None or not isinstance(target, Tensor):
        return "the network computes its own loss, of arguments that are no tensors of rows"
    with torch.no_grad():
        for loss in fitting(answers, target):
            if torch.allclose(loss(answers.float(), target), output["loss"].float(), rtol=CLOSE):  # synchronizes
                return Own(inputs, answers, target, loss)
    return f"the network computes its own loss, which is none of torch's on its answers and {TARGET!r} as they are"


def computes_loss(output: Any) -> bool:
    if not isinstance(output, Mapping):
        return False
    return all(isinstance(output.get(name), Tensor) for name in ("loss", "logits")) and output["loss"].dim() == 0


def fitting(output: Tensor, target: Tensor) -> list[OwnLoss]:
    """Losses that the shapes allow; one number or class for each row, not for each position."""
    if not target.is_floating_point():
        whole = output.dim() == 2 and output.shape[1] > 1 and target.shape == output.shape[:1]
        return [OwnLoss("cross_entropy")] if whole else []
    if output.numel() != target.numel() or len(output) != len(target):
        return []
    same = output.shape == target.shape
    return [OwnLoss("mse_loss"), *([OwnLoss("binary_cross_entropy_with_logits")] if same else [])]


def answers_of(network: nn.Module, inputs: Inputs) -> nn.Module:
    """The network itself, or without its loss where it returns both."""
    found: Any = call(network, inputs)
    known = not isinstance(found, Tensor) and isinstance(found, Mapping) and isinstance(found.get("logits"), Tensor)
    return Answers(network) if known else network

"""A network without the last operation on its outputs: what a softmax or sigmoid was given, as free numbers."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from thalweg.data.rows import Batch, Inputs, call
from thalweg.measure.head import FREE, Head, head_of
from thalweg.measure.untouched import untouched
from thalweg.train.clone import clone

MODULES = (
    *(nn.Softmax, nn.LogSoftmax, nn.Softmax2d, nn.Sigmoid, nn.LogSigmoid, nn.Hardsigmoid, nn.Tanh, nn.Softplus),
    *(nn.ReLU, nn.ReLU6, nn.Hardtanh),
)
FUNCTIONS = frozenset(
    (
        *(F.softmax, torch.softmax, Tensor.softmax, F.log_softmax, torch.log_softmax, Tensor.log_softmax),
        *(F.sigmoid, torch.sigmoid, Tensor.sigmoid, F.logsigmoid, F.hardsigmoid, F.softplus, F.relu6, F.hardtanh),
        *(F.tanh, torch.tanh, Tensor.tanh, F.relu, torch.relu, Tensor.relu, torch.exp, Tensor.exp),
    )
)
LAYERS = 3  # heads one behind the other: softmax twice happens, more does not


class Counted(TorchFunctionMode):
    """Counts the calls of last operations; call number `left_out` gives back what it got."""

    def __init__(self, left_out: int | None = None) -> None:
        super().__init__()
        self.left_out, self.calls = left_out, 0

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if function not in FUNCTIONS:
            return function(*args, **(kwargs or {}))
        self.calls += 1
        if self.calls - 1 == self.left_out:
            return args[0] if args else (kwargs or {})["input"]
        with torch._C.DisableTorchFunction():  # a function that calls another one counts once
            return function(*args, **(kwargs or {}))


class Headless(nn.Module):
    """A network whose call number `left_out` of a last operation is left out, where that is no module of its own."""

    def __init__(self, network: nn.Module, left_out: int) -> None:
        super().__init__()
        self.network, self.left_out = network, left_out

    def forward(self, *args: Any, **named: Any) -> Any:
        with Counted(self.left_out):
            return self.network(*args, **named)


def without_head(network: nn.Module, inputs: Inputs) -> nn.Module | None:
    """A clone that gives free numbers; None where it has no head or none that can be taken off.

    Args:
        network: any module that returns one tensor.
        inputs: a few rows.

    >>> network = nn.Sequential(nn.Linear(3, 2), nn.Softmax(dim=1))
    >>> without_head(network, torch.zeros(2, 3))
    Sequential(
      (0): Linear(in_features=3, out_features=2, bias=True)
      (1): Identity()
    )
    """
    if isinstance(inputs, Batch):
        return None
    found, head = clone(network), head_at(network, inputs)
    for _ in range(LAYERS):
        if head is None or head == FREE:
            break
        found = bared(found, inputs) or found
        head = head_at(found, inputs)
    return found if head == FREE and head_at(network, inputs) != FREE else None


def head_at(network: nn.Module, inputs: Inputs) -> Head | None:
    """The head in training mode, which is what the loss gets."""
    with untouched(network, training=True):
        output = call(network, inputs)
        return head_of(output) if isinstance(output, Tensor) else None


def bared(network: nn.Module, inputs: Inputs) -> nn.Module | None:
    """The clone without its last head, or None: a module is replaced, a function call is left out."""
    made: list[tuple[nn.Module, int, Tensor]] = []
    handles = [
        module.register_forward_hook(lambda module, _given, output: made.append((module, 0, output)))
        for module in network.modules()
        if isinstance(module, MODULES)
    ]
    with untouched(network, training=True), Counted() as counted:
        output = call(network, inputs)
    for handle in handles:
        handle.remove()
    assert isinstance(output, Tensor)
    own = [module for module, _, result in made if result.data_ptr() == output.data_ptr()]
    places = {id(module): place for place, module in network.named_modules()}
    if own and sum(module is own[-1] for module, _, _ in made) == 1 and places[id(own[-1])]:
        network.set_submodule(places[id(own[-1])], nn.Identity())
        return network
    return Headless(network, counted.calls - 1) if counted.calls else None

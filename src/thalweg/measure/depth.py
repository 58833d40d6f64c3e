"""Signal and gradient through depth at the start (L10): what tells rows apart forward, what of the loss comes back."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.measure.calls import first_tensor
from thalweg.measure.flow import spread
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading


def through_depth(
    network: nn.Module, loss: Callable[[Any, Tensor], Tensor], inputs: Inputs, target: Tensor
) -> list[Reading]:
    """Readings `depth.forward` and `depth.backward` of each weight layer, in the order in which they run.

    Forward is the root mean square of the layer's outputs around their mean over the rows, backward that of the
    gradient of the loss with regard to them. One pass forward and back in training mode: normalizations take the
    statistics of these rows. Of a layer that runs several times the first call is read.

    >>> network = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.constant_(network[0].weight, 0.5), nn.init.constant_(network[1].weight, 1.0)
    >>> x, y = torch.tensor([[1.0, 1.0], [-1.0, -1.0]]), torch.zeros(2, 1)
    >>> [(r.name, r.place, r.value) for r in through_depth(network, nn.functional.mse_loss, x, y)[:3]]
    [('depth.forward', '0', 1.0), ('depth.forward', '1', 2.0), ('depth.backward', '0', 2.0)]
    """
    forward: dict[str, Reading] = {}
    backward: dict[str, float] = {}
    handles = []

    def read(place: str, gradient: Tensor) -> None:
        backward.setdefault(place, root_mean_square(gradient))

    for place, module in network.named_modules():
        if not isinstance(module, WEIGHTED):
            continue

        def look(_module: nn.Module, _given: object, output: object, place: str = place) -> None:
            value = first_tensor(output)
            if value is None or not value.requires_grad or len(value) < 2 or place in forward:
                return
            forward[place] = Reading("depth.forward", spread(value), place, count=len(value))
            value.register_hook(partial(read, place))  # type: ignore[no-untyped-call]

        handles.append(module.register_forward_hook(look))
    try:
        with untouched(network, training=True):
            value = loss(call(network, inputs), target)
            if value.requires_grad:
                trainable = [p for p in network.parameters() if p.requires_grad]
                torch.autograd.grad(value.sum(), trainable, allow_unused=True)
    finally:
        for handle in handles:
            handle.remove()
    back = (Reading("depth.backward", backward[p], p, count=r.count) for p, r in forward.items() if p in backward)
    return [*forward.values(), *back]


def root_mean_square(value: Tensor) -> float:
    return float(value.detach().double().square().mean().sqrt())

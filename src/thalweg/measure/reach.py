"""Which parameters the loss reaches, and which tensors it reaches that the network does not own."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import seed_noise
from thalweg.data.rows import Inputs, call, tensors_of
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

NUDGES = (0.1, 1.0, 10.0)  # of a parameter's own size: how much it is moved to see whether the outputs depend on it
DRAWS = 2  # of each nudge: a weight of a dead unit, or a step that no row crosses, hides a single one
DEPENDS = 1e-4  # relative change of the outputs that counts: float32 noise is below 1e-5


def leaves_of(output: object) -> Iterator[Tensor]:
    """The tensors at which the history of the outputs begins."""
    waiting: list[Any] = [t.grad_fn for t in tensors_in(output)]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if hasattr(node, "variable"):
            yield node.variable
        waiting.extend(before for before, _ in node.next_functions)


def foreign_leaves(network: nn.Module, inputs: Inputs) -> dict[int, Tensor]:
    """Leaves of the outputs' history that are neither parameters of the network nor its inputs, by id."""
    own = {id(p) for p in network.parameters()}
    data = {t.untyped_storage().data_ptr() for t in tensors_of(inputs)}
    leaves = leaves_of(call(network, inputs))
    return {id(t): t for t in leaves if id(t) not in own and t.untyped_storage().data_ptr() not in data}


def describe_foreign(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Reading `parameter.foreign`: how many learnable numbers shape the outputs unknown to `parameters()`.

    Its note says whether they are `"kept"` between two calls (in a list, say) or made `"anew"` in each.
    """
    with untouched(network, training=True):
        first = foreign_leaves(network, inputs)
        second = foreign_leaves(network, inputs)
    size = sum(t.numel() for t in first.values())
    note = "kept" if first.keys() & second.keys() else "anew"
    return [Reading("parameter.foreign", size, note=note if first else "", count=len(first))]


def moves_outputs(network: nn.Module, inputs: Inputs, parameter: Tensor, *, nudges: Sequence[float] = NUDGES) -> float:
    """Relative change of the outputs, in evaluation mode, when `parameter` is moved; 0 where nothing depends on it.

    The largest over a few draws of the smallest nudge that changes anything: behind an argmax or a rounding nothing
    happens until a row crosses a border.
    """
    draw = torch.Generator().manual_seed(0)
    with untouched(network), torch.no_grad():
        seed_noise(0, 0)
        before = list(tensors_in(call(network, inputs)))
        size = max((float(b.abs().max()) for b in before if b.numel()), default=0.0)
        kept = parameter.detach().clone()
        scale = float(kept.double().square().mean().sqrt()) or 1.0
        change = 0.0
        for nudge in nudges:
            for _ in range(DRAWS):
                noise = torch.randn(kept.shape, generator=draw).to(kept)
                parameter.add_(nudge * scale * noise)
                seed_noise(0, 0)
                after = list(tensors_in(call(network, inputs)))
                parameter.copy_(kept)
                pairs = zip(before, after, strict=True)
                change = max(change, *(float((x - y).abs().max()) for x, y in pairs if x.numel()), 0.0)
            if change > DEPENDS * size:
                break
    return change / max(size, 1e-12)


def outputs_follow(network: nn.Module, inputs: Inputs, parameter: Tensor) -> bool:
    """Whether the outputs themselves have a gradient, so that it is the loss that is flat there."""
    with untouched(network, training=True):
        outputs = [t for t in tensors_in(call(network, inputs)) if t.requires_grad]
        weights = [torch.randn_like(t) for t in outputs]
        (gradient,) = torch.autograd.grad(outputs, [parameter], weights, allow_unused=True)
    return gradient is not None and bool(gradient.any())


def describe_reach(network: nn.Module, inputs: Inputs, gradients: Sequence[dict[str, Tensor | None]]) -> list[Reading]:
    """Parameters by whether they get a gradient.

    Readings at a parameter's name, each with its size as `count`: `parameter.detached` (it requires a gradient and got
    none on any batch) and `parameter.zero` (the gradient of loss and outputs was exactly zero on all). Their value is
    the relative change of the outputs when it is moved: 0 means that nothing depends on it. `parameter.frozen` is how
    many values require no gradient, `parameter.trainable` how many do.

    Args:
        network: the network the gradients belong to.
        inputs: a few rows.
        gradients: per batch the gradients by name, taken while the weights moved.
    """
    readings = []
    frozen = sum(p.numel() for p in network.parameters() if not p.requires_grad)
    trainable = sum(p.numel() for p in network.parameters() if p.requires_grad)
    for name, parameter in network.named_parameters():
        found = [g.get(name) for g in gradients]
        if not parameter.requires_grad:
            continue
        detached = all(g is None for g in found)
        if detached:
            readings.append(
                Reading("parameter.detached", moves_outputs(network, inputs, parameter), name, count=parameter.numel())
            )
        elif all(g is None or not bool(g.any()) for g in found) and not outputs_follow(network, inputs, parameter):
            # A tenth only: further away a dead unit comes alive, which is no step.
            moved = moves_outputs(network, inputs, parameter, nudges=NUDGES[:1])
            readings.append(Reading("parameter.zero", moved, name, count=parameter.numel()))
    readings.append(Reading("parameter.frozen", frozen))
    readings.append(Reading("parameter.trainable", trainable))
    return readings

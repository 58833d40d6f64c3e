"""Weight layers with nothing but linear operations between them (L02): found in autograd's graph, proven by numbers."""

import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch, Inputs, call, map_inputs, tensors_of
from thalweg.measure.head import MOVES, Head
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
AFFINE = (
    *MOVES,
    *("MeanBackward0", "MeanBackward1", "SumBackward1", "AvgPool2DBackward0", "AvgPool3DBackward0"),
    *("AdaptiveAvgPool1DBackward0", "AdaptiveAvgPool2DBackward0", "MkldnnAdaptiveAvgPool2DBackward0"),
    *("ConstantPadNdBackward0", "NativeBatchNormBackward0", "CudnnBatchNormBackward0"),
)
MAX_PAIRS = 16
ROUNDING = 1e-4  # of the largest value: rows that differ by less cannot be compared to three digits in float32
# Scales at which a network is compared with a straight line: near zero tanh is straight too, and a ReLU on one side.
SCALES = (1.0, -30.0, 1000.0)


@dataclass
class Trace:
    """What one pass saw: the layer behind each node, pairs of layers, and the tensors at their ends."""

    makers: dict[Any, str] = field(default_factory=dict)
    pairs: dict[tuple[str, str], list[Any]] = field(default_factory=dict)  # with the nodes between them
    inputs: dict[str, Tensor] = field(default_factory=dict)
    outputs: dict[str, Tensor] = field(default_factory=dict)


def layer_before(tensor: Tensor, makers: dict[Any, str]) -> tuple[str | None, list[Any]]:
    """The weight layer whose output reached `tensor` through nothing but affine operations, and the nodes passed."""
    nodes: list[Any] = [tensor.grad_fn]
    while nodes[-1] is not None and nodes[-1] not in makers and nodes[-1].name() in AFFINE:
        nodes.append(nodes[-1].next_functions[0][0])
    return makers.get(nodes[-1]), nodes


def readers(output: object) -> Counter[Any]:
    """How many operations read the result of each node in the history of the outputs."""
    waiting: list[Any] = [t.grad_fn for t in tensors_in(output) if t.grad_fn is not None]
    seen, found = set(waiting), Counter[Any](waiting)
    while waiting:
        for before, _ in waiting.pop().next_functions:
            found[before] += 1
            if before is not None and before not in seen:
                seen.add(before)
                waiting.append(before)
    return found


@contextmanager
def traced(network: nn.Module, trace: Trace, replaced: dict[str, Tensor]) -> Iterator[None]:
    """Fills `trace` during one forward pass; layers named in `replaced` get that input instead of their own."""
    handles = []
    for place, module in network.named_modules():
        if not isinstance(module, WEIGHTED):
            continue

        def enter(_module: nn.Module, given: tuple[Tensor, ...], place: str = place) -> tuple[Tensor, ...] | None:
            if place in replaced:
                return (replaced[place],)
            source, nodes = layer_before(given[0], trace.makers)
            trace.inputs.setdefault(place, given[0].detach())
            if source is not None:
                trace.pairs.setdefault((source, place), nodes)
            return None

        def leave(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor, place: str = place) -> None:
            trace.makers[output.grad_fn] = place
            trace.outputs.setdefault(place, output.detach())

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def collapsed_error(network: nn.Module, inputs: Inputs, trace: Trace, first: str, last: str) -> float:
    """How far the two layers are from one linear map, relative to their output.

    Two `nn.Linear` are compared with the one layer W₂W₁, W₂b₁ + b₂ on the activations that really reach them; others
    by superposition: g(u + v) + g(0) = g(u) + g(v).
    """
    one, two = network.get_submodule(first), network.get_submodule(last)
    if isinstance(one, nn.Linear) and isinstance(two, nn.Linear) and one.out_features == two.in_features:
        weight = two.weight.detach().double() @ one.weight.detach().double()
        bias = torch.zeros(two.out_features, dtype=torch.float64, device=weight.device)
        if one.bias is not None:
            bias = bias + two.weight.detach().double() @ one.bias.detach().double()
        if two.bias is not None:
            bias = bias + two.bias.detach().double()
        single = trace.inputs[first].double() @ weight.T + bias
        return relative(single.reshape(trace.outputs[last].shape), trace.outputs[last])
    u = trace.inputs[first]
    v = u.roll(1, 0)
    at = [ends(network, inputs, first, last, value) for value in (u + v, torch.zeros_like(u), u, v)]
    return relative(at[0] + at[1], at[2] + at[3])


def ends(network: nn.Module, inputs: Inputs, first: str, last: str, value: Tensor) -> Tensor:
    """The output of layer `last` when layer `first` receives `value`."""
    trace = Trace()
    with traced(network, trace, {first: value}):
        try:
            call(network, inputs)
        except Exception:  # a step of the user's own may refuse outputs that it would never get
            if last not in trace.outputs:
                raise
    return trace.outputs[last]


def relative(a: Tensor, b: Tensor) -> float:
    """Largest difference over the spread between rows; infinite where the rows differ by no more than rounding."""
    a, b = a.double(), b.double()
    spread = float((b - b.mean(0)).square().mean().sqrt())
    return float((a - b).abs().max()) / spread if spread > ROUNDING * float(b.abs().max()) else math.inf


def size_of(network: nn.Module, first: str, last: str) -> tuple[int, int]:
    """Weights of the two layers, and of the one layer that could replace them."""
    one: Any = network.get_submodule(first)
    two: Any = network.get_submodule(last)
    sizes = [getattr(m, "kernel_size", ()) for m in (one, two)]
    kernel = [a + b - 1 for a, b in zip(*sizes, strict=True)] if len(sizes[0]) == len(sizes[1]) else list(sizes[0])
    inputs = one.weight.shape[1] * getattr(one, "groups", 1)
    return one.weight.numel() + two.weight.numel(), inputs * two.weight.shape[0] * math.prod(kernel)


def linear_stacks(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Pairs of weight layers between which nothing is non-linear, in evaluation mode.

    Reading `stack.error` at place `"first → last"` is how far the pair is from one linear layer, and `stack.saved` the
    share of its weights that one layer would save; negative where the pair is a factorization (a bottleneck, a
    depthwise and a pointwise convolution), which is a reason to have two.
    """
    trace = Trace()
    with untouched(network):
        with traced(network, trace, {}):
            count = readers(call(network, inputs))
        with torch.no_grad():
            # A layer that is read elsewhere too, by a residual connection say, cannot be merged into the next one.
            alone = [pair for pair, nodes in trace.pairs.items() if all(count[node] == 1 for node in nodes)]
            pairs = alone[:MAX_PAIRS]
            errors = {pair: collapsed_error(network, inputs, trace, *pair) for pair in pairs}
    readings = []
    for (first, last), error in errors.items():
        own, single = size_of(network, first, last)
        place = f"{first} → {last}"
        readings.append(Reading("stack.error", error, place=place, count=len(trace.inputs[first])))
        readings.append(Reading("stack.saved", 1 - single / own, place=place))
    return readings


def before_head(output: Tensor, head: Head) -> Tensor | None:
    """What came into the head, up to what a softmax forgets; None for a head that cannot be undone."""
    if head.kind == "none":
        return output
    if head.kind == "sigmoid":
        return torch.logit(output.double(), eps=1e-12)
    if head.dim is not None and head.dim > 0:
        logits = output.double() if head.kind == "log_softmax" else output.double().clamp_min(1e-300).log()
        return logits - logits.mean(head.dim, keepdim=True)
    return None


def affine_error(network: nn.Module, inputs: Inputs, head: Head) -> Reading | None:
    """How far the whole network is from an affine map up to its head: f((u + v)/2) against (f(u) + f(v))/2.

    None where it cannot be told: indices as inputs, a step of the user's own, a head that cannot be undone, outputs
    that do not depend on the inputs or leave the range of numbers. `count` is the number of weight layers.
    """
    if isinstance(inputs, Batch) or not all(value.is_floating_point() for value in tensors_of(inputs)):
        return None
    num_layers = sum(isinstance(m, WEIGHTED) for m in network.modules())
    errors = []
    with untouched(network), torch.no_grad():
        for scale in SCALES:
            u = map_inputs(lambda value, scale=scale: value * scale, inputs)  # type: ignore[misc]
            v = map_inputs(lambda value: value.roll(1, 0), u)
            middle = map_inputs(lambda value: (value + value.roll(1, 0)) / 2, u)
            outputs = [call(network, value) for value in (u, v, middle)]
            if not all(isinstance(output, Tensor) for output in outputs):
                return None
            ends_ = [before_head(output, head) for output in outputs if isinstance(output, Tensor)]
            if any(end is None or not bool(end.isfinite().all()) for end in ends_):
                continue  # a saturated head at a large scale tells nothing
            a, b, c = (end for end in ends_ if end is not None)
            if saturated(a, head):
                continue
            errors.append(relative(c, (a + b) / 2))
    known = [error for error in errors if error < math.inf]
    return Reading("network.affine_error", max(known), count=num_layers) if known else None


def saturated(logits: Tensor, head: Head) -> bool:
    """Whether the head was so sure that its inputs cannot be recovered from float32 outputs."""
    limit = 12.0 if head.kind in ("sigmoid", "softmax") else math.inf
    return bool(logits.abs().max() > limit)

"""The structure of a network as one forward pass shows it (L01): layers, shapes, parameters, connections.

Nothing is read from names or source: hooks see which module runs on what, and autograd's graph says whose output
became whose input, through views, additions and functions that are no modules.
"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.data.rows import Batch, Inputs, call
from thalweg.errors import ModelError
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import Shape, Visit, Watcher, followed, hooked


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer of the table.

    Args:
        place: the module's path, `"features.0"`; empty for the network itself.
        kind: the module's class, `"Conv2d"`.
        inputs: shapes of the tensors that came in at its first call, without the batch dimension.
        output: shape of the first tensor that went out, without the batch dimension.
        parameters: how many numbers it learns or holds; a tied weight counts where it is used first.
        trainable: how many of them require a gradient.
        sources: places of the layers whose outputs reach it without passing another layer; `"input"` for the data.
        calls: how often it ran in one forward pass.
    """

    place: str
    kind: str
    inputs: tuple[Shape, ...]
    output: Shape
    parameters: int
    trainable: int
    sources: tuple[str, ...]
    calls: int = 1

    @property
    def out(self) -> str:
        """`"64×8×8"`."""
        return "×".join(map(str, self.output)) or "1"

    def to_json(self) -> dict[str, Any]:
        return asdict(self) | {"out": self.out}


def layers(network: nn.Module, inputs: Inputs) -> list[Layer]:
    """The layers of `network` in the order in which they begin to run on `inputs` (a few rows suffice).

    A layer is a module that calls no other module, or one that owns parameters itself. The network's weights, buffers,
    modes and the random generators stay as they are.

    Args:
        network: any module.
        inputs: a few rows as they enter it: a tensor, a tuple or a dict of tensors.

    Raises:
        ModelError: where the network cannot run on them; the message names the layer.

    >>> import torch
    >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    >>> for layer in layers(net, torch.zeros(2, 4)):
    ...     print(layer.place, layer.kind, layer.out, layer.parameters, *layer.sources)
    0 Linear 8 40 input
    1 ReLU 8 0 0
    2 Linear 2 18 1
    """
    watcher = Watcher()
    try:
        with untouched(network), hooked(network, watcher):
            call(network, followed(inputs, watcher))
    except Exception as error:
        raise explained(network, watcher, error, isinstance(inputs, Batch)) from error
    counted: set[int] = set()
    table = []
    for visit in watcher.visits.values():
        own = list(visit.module.parameters(recurse=not visit.has_children))
        if own or not visit.has_children:
            table.append(layer_of(visit, [p for p in own if id(p) not in counted]))
            counted.update(map(id, own))
    return table


def layer_of(visit: Visit, parameters: list[nn.Parameter]) -> Layer:
    return Layer(
        place=visit.place,
        kind=type(visit.module).__name__,
        inputs=tuple(tuple(t.shape[1:]) for t in visit.received),
        output=visit.output,
        parameters=sum(p.numel() for p in parameters),
        trainable=sum(p.numel() for p in parameters if p.requires_grad),
        sources=visit.sources,
        calls=visit.calls,
    )


def explain_forward_error(network: nn.Module, inputs: Inputs, error: Exception) -> ModelError:
    """A `ModelError` that names the layer at which `network(inputs)` fails, what it expects and what it received.

    Args:
        network: the module whose forward pass raised `error`.
        inputs: the inputs it raised it on.
        error: what was raised; its text ends the message.

    >>> import torch
    >>> net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    >>> print(explain_forward_error(net, torch.zeros(2, 1, 8, 9), RuntimeError("shapes")))
    Layer '1' (Linear) does not fit its input: it expects 64 values in the last dimension, and received [2, 72] of
    float32. Build it with in_features=72, or change what comes before it. (RuntimeError: shapes)
    """
    watcher = Watcher()
    lazy = any(is_lazy(p) for p in network.parameters())  # what has no values yet cannot be kept, and need not be
    try:
        with nullcontext() if lazy else untouched(network), hooked(network, watcher):
            call(network, followed(inputs, watcher))
    except Exception:  # the error is known; where it happens is what this pass is for
        return explained(network, watcher, error, isinstance(inputs, Batch))
    return ModelError(f"{type(network).__name__} failed on these inputs. ({type(error).__name__}: {error})")


def explained(network: nn.Module, watcher: Watcher, error: Exception, own_step: bool) -> ModelError:
    """The message for an error that left `watcher.stack` at the module where it happened."""
    reason = f"({type(error).__name__}: {error})"
    if not watcher.stack and own_step:
        return ModelError(
            f"step(model, batch) raised {type(error).__name__}: {error}. It gets {type(network).__name__} and a batch "
            "as the data give it: (inputs, target) for tensors and pairs, else what collate or the loader makes."
        )
    if not watcher.stack:
        return ModelError(f"{type(network).__name__} cannot be called with these inputs. {reason}")
    visit = watcher.stack[-1]
    name = f"Layer {visit.place!r} ({type(visit.module).__name__})" if visit.place else type(visit.module).__name__
    received = " and ".join(f"{list(t.shape)} of {str(t.dtype).removeprefix('torch.')}" for t in visit.received)
    value = visit.received[0] if visit.received else None
    advice = dtype_advice(visit.module, value) if value is not None else None
    if advice is None and value is not None:
        advice = next((say(visit.module, value) for kind, say in SHAPES if isinstance(visit.module, kind)), None)
    if advice is None:
        return ModelError(f"{name} failed; it received {received or 'no tensor'}. {reason}")
    expects, remedy = advice
    return ModelError(
        f"{name} does not fit its input: it expects {expects}, and received {received}. {remedy} {reason}"
    )


Advice = tuple[str, str] | None  # what a layer expects, and what to do


def dtype_advice(module: nn.Module, value: Tensor) -> Advice:
    """Advice where the type of the numbers is wrong."""
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        if value.is_floating_point():
            return "integer indices", "Give it the indices as int64: x.long()."
        low, high = int(value.min()), int(value.max())
        if low < 0 or high >= module.num_embeddings:
            size = module.num_embeddings
            found = f"They run from {low} to {high}."
            return (
                f"indices from 0 to {size - 1}",
                f"{found} Build it with num_embeddings={high + 1} or mend the indices.",
            )
        return None
    weight = next(iter(module.parameters(recurse=False)), None)
    if weight is None or weight.dtype == value.dtype:
        return None
    wanted = str(weight.dtype).removeprefix("torch.")
    return (
        f"numbers of {wanted}",
        f"Convert the data with x.to(torch.{wanted}), or the model with model.to({value.dtype}).",
    )


def linear_advice(module: Any, value: Tensor) -> Advice:
    if value.shape[-1] == module.in_features:
        return None
    remedy = f"Build it with in_features={value.shape[-1]}, or change what comes before it."
    return f"{module.in_features} values in the last dimension", remedy


def convolution_advice(module: Any, value: Tensor) -> Advice:
    spatial = len(module.kernel_size)
    if value.dim() not in (spatial + 1, spatial + 2):
        shape = "[N, C, " + ", ".join("LHW"[1:] if spatial == 2 else "L" if spatial == 1 else "DHW") + "]"
        return f"inputs of shape {shape}", "Reshape the data, for example x.unsqueeze(1) for one channel."
    channels = value.shape[-spatial - 1]
    if channels != module.in_channels:
        remedy = f"Build it with in_channels={channels}, or move the channels to dimension 1 with x.movedim(-1, 1)."
        return f"{module.in_channels} channels in dimension 1", remedy
    return f"at least {list(module.kernel_size)} positions", "Pad, or use fewer pooling layers or smaller kernels."


def norm_advice(module: Any, value: Tensor) -> Advice:
    size = getattr(module, "num_features", None) or module.num_channels
    if value.dim() < 2 or value.shape[1] == size:
        return None
    return f"{size} channels in dimension 1", f"Build it for {value.shape[1]} channels."


def layer_norm_advice(module: Any, value: Tensor) -> Advice:
    wanted = list(module.normalized_shape)
    if list(value.shape[-len(wanted) :]) == wanted:
        return None
    return f"last dimensions of {wanted}", f"Build it with normalized_shape={list(value.shape[-len(wanted) :])}."


def recurrent_advice(module: Any, value: Tensor) -> Advice:
    if value.dim() not in (2, 3):
        return "sequences of shape [N, T, C] (batch_first=True) or [T, N, C]", "Add the missing dimension."
    if value.shape[-1] == module.input_size:
        return None
    return f"{module.input_size} values in the last dimension", f"Build it with input_size={value.shape[-1]}."


# No layer registers here: these are torch's own constructors, for which a remedy can be named.
SHAPES: tuple[tuple[Any, Callable[[Any, Tensor], Advice]], ...] = (
    (nn.Linear, linear_advice),
    (nn.modules.conv._ConvNd, convolution_advice),
    (nn.modules.batchnorm._NormBase | nn.GroupNorm, norm_advice),
    (nn.LayerNorm, layer_norm_advice),
    (nn.RNNBase, recurrent_advice),
)

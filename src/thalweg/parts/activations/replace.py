"""Puts one activation in the place of those between a network's layers (L07)."""

from collections.abc import Iterator

import torch
from torch import nn

from thalweg.errors import ModelError
from thalweg.parts.activations.activation import Activation
from thalweg.parts.activations.flow import Flow, held, own_width
from thalweg.parts.activations.gelu import GELU
from thalweg.parts.activations.hard_sigmoid import HardSigmoid
from thalweg.parts.activations.last_prelu import LastPReLU
from thalweg.parts.activations.prelu import PReLU
from thalweg.parts.activations.recognize import activation_of, is_activation
from thalweg.parts.activations.relu import ReLU
from thalweg.parts.activations.sigmoid import Sigmoid
from thalweg.parts.activations.softplus import Softplus
from thalweg.parts.activations.tanh import Tanh

Holder = tuple[nn.Module, str, str]  # a module, the name of its attribute, and the path of that from the network
SQUASHING = (Sigmoid, Tanh, HardSigmoid, Softplus)  # may also be meant for an output or a gate
LAYERS = (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer)
FAST: dict[Activation, int] = {ReLU(): 1, GELU(): 2}  # what an encoder layer's fast path, in evaluation mode, knows


def replace_activations(network: nn.Module, activation: Activation) -> list[str]:
    """Puts `activation` in the place of every activation between the layers of `network`, in place.

    Modules are replaced wherever they are held; one that is held or called in several places stays one. Functions
    held as attributes (`self.act = F.relu`, `nn.TransformerEncoderLayer.activation`) become modules. Left alone are
    what ends the network, gates (outputs that multiply another tensor), the inside of `nn.LSTM` and its like, and,
    where the code around cannot be traced, sigmoid, tanh and softplus, which may be either. What `forward` calls as a
    function, `F.relu(x)`, cannot be reached.

    Args:
        network: changed in place; not run. Each module's `forward` is traced with `torch.fx` on a copy.
        activation: a part of `tw.activations`. With one slope per channel, the channels are those of the layer before.

    Returns:
        The places that were changed, each once; last what was left alone, and why. Empty where there is none.

    Raises:
        ModelError: where there are activations, but all had to be left alone; for `PReLU(shared=False)` where the
            channels cannot be told.

    >>> from thalweg.parts.activations import SiLU
    >>> network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1), nn.Sigmoid())
    >>> replace_activations(network, SiLU()), network[1], network[3]
    (['1', 'not at 3 (it ends the network)'], SiLU(), Sigmoid())
    """
    flow = Flow(network)
    changes, left = [], []
    for group in groups(network):
        if reason := why_left(flow, group[0]):
            left.append(f"not at {group[0][2]} ({reason})")
        else:
            changes.append((group, replacement(flow, group[0], activation)))
    for group, module in changes:
        for owner, name, _ in group:
            put(module, owner, name)
            if isinstance(owner, nn.TransformerEncoderLayer):
                owner.activation_relu_or_gelu = FAST.get(activation, 0)
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoder) and not getattr(module.layers[0], "activation_relu_or_gelu", True):
            module.use_nested_tensor = False  # which only the fast path of its layers takes
    left += [f"not {', '.join(names)} in forward of {place} (functions)" for place, names in flow.functions.items()]
    places = [path for group, _ in changes for _, _, path in group]
    if left and not places:
        raise ModelError(
            f"{activation} changes nothing in {type(network).__name__}: {'; '.join(left)}. Write what it is to replace "
            "as a module between two layers, or leave the field at None."
        )
    return [*places, "; ".join(left)] if left else places


def put(module: nn.Module, owner: nn.Module, name: str) -> None:
    """Makes it an attribute, also in the place of a function."""
    if name in owner.__dict__:
        del owner.__dict__[name]
    setattr(owner, name, module)


def groups(network: nn.Module) -> list[list[Holder]]:
    """The activations of a network, each with all places that hold it; a function is held in each place by itself."""
    found: dict[object, list[Holder]] = {}
    for owner, name, path in holders(network, ""):
        value = getattr(owner, name)
        key = id(value) if isinstance(value, nn.Module) else (id(owner), name)
        if (owner, name) not in [(o, n) for o, n, _ in found.get(key, [])]:
            found.setdefault(key, []).append((owner, name, path))
    return list(found.values())


def holders(module: nn.Module, path: str) -> Iterator[Holder]:
    """Every attribute that holds an activation, in order; not within another activation or a parametrization."""
    if isinstance(module, nn.utils.parametrize.ParametrizationList):
        return
    prefix = f"{path}." if path else ""
    for name in held(module):
        yield module, name, prefix + name
    for name, child in module._modules.items():
        if child is None:
            continue
        if is_activation(child):
            yield module, name, prefix + name
        else:
            yield from holders(child, prefix + name)


def called_at(holder: Holder) -> nn.Module | tuple[nn.Module, str]:
    """The activation as `Flow` knows it: the module, or the owner and name of a function."""
    owner, name, _ = holder
    value = getattr(owner, name)
    return value if isinstance(value, nn.Module) else (owner, name)


def why_left(flow: Flow, holder: Holder) -> str:
    """Why an activation is to be left alone; empty where it stands between layers."""
    owner, name, _ = holder
    if isinstance(owner, LAYERS):
        return ""
    fates = flow.fates(called_at(holder))
    squashes = isinstance(activation_of(getattr(owner, name)), SQUASHING)
    if "gate" in fates:
        return "a gate"
    if fates == {"end"} or (squashes and "end" in fates):
        return "it ends the network"
    return (
        "it may be a gate or an output: the code around it cannot be traced" if squashes and "unknown" in fates else ""
    )


def replacement(flow: Flow, holder: Holder, activation: Activation) -> nn.Module:
    """The module for one place, in the mode, on the device and in the type of what is around it."""
    owner, _, path = holder
    if isinstance(activation, PReLU) and not activation.shared:
        feeds = isinstance(owner, LAYERS)
        widths = {own_width(owner.get_submodule("linear1"))} if feeds else flow.width_before(called_at(holder))
        built = one_slope_per_channel(activation, widths, path)
    else:
        built = activation.build()
    like = nearest(flow.network, path)
    return built.to(like.device, like.dtype).train(owner.training)


def nearest(network: nn.Module, path: str) -> torch.Tensor:
    """The first parameter of the innermost module around a place that has one: parts may differ in type."""
    while path:
        path = path.rpartition(".")[0]
        for parameter in network.get_submodule(path).parameters():
            if parameter.is_floating_point():
                return parameter
    return torch.empty(0)


def one_slope_per_channel(activation: PReLU, widths: set[tuple[int, str] | None], path: str) -> nn.Module:
    """The module for the channels of the layer before it, along the dimension in which that has them."""
    width = next(iter(widths))
    if len(widths) > 1 or width is None:
        why = "it comes after layers of several widths" if len(widths) > 1 else "the layer before it cannot be told"
        raise ModelError(
            f"{activation!r} needs the number of channels at {path!r}, and {why}. Take PReLU(), with one slope for the "
            "layer, or write the modules into the network: activation.build(channels=...)."
        )
    channels, dim = width
    return LastPReLU(channels, init=activation.slope) if dim == "last" else activation.build(channels)

"""What each tensor of a layer is, and its fans: how many independent inputs an output sums over, and the reverse.

Fans count what really meets, on average over positions: of a strided convolution an input reaches
kernel / stride outputs per channel, of a transposed one an output is reached by kernel / stride inputs. Borders, where
padding meets fewer, are not counted.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from thalweg.parts.initializers.initializer import Role
from thalweg.parts.normalization.modules.channels import ChannelLayerNorm, ChannelRMSNorm

NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, ChannelLayerNorm, ChannelRMSNorm)
RECURRENT = (nn.RNNBase, nn.RNNCellBase)
LAYERS = (nn.Linear, _ConvNd, nn.Bilinear, nn.Embedding, nn.EmbeddingBag, nn.MultiheadAttention, *RECURRENT)


@dataclass(frozen=True)
class Weight:
    """A tensor of weights: one or several linear maps.

    Args:
        name: attribute of its module.
        fan_in: independent inputs that each output of one map sums over.
        fan_out: outputs of one map that each input reaches.
        role: what it does; recurrent weights and embeddings are drawn apart.
        called: what a table calls it.
        groups: maps that lie one below the other along the outputs.
        transposed: whether inputs come first, `[inputs, outputs / groups, *kernel]`.
        inside: whether what follows it is inside the layer (gates, attention), so that its gain is 1.
        padding: the row that stays 0, of an embedding.
    """

    name: str
    fan_in: float
    fan_out: float
    role: Role = "weight"
    called: str = "weight"
    groups: int = 1
    transposed: bool = False
    inside: bool = False
    padding: int | None = None

    def shape(self, tensor: Tensor) -> tuple[int, ...]:
        """The shape with outputs first, `[groups · outputs, inputs, *kernel]`."""
        if not self.transposed:
            return tuple(tensor.shape)
        inputs, outputs, *kernel = tensor.shape
        return (outputs * self.groups, inputs // self.groups, *kernel)

    def stored(self, tensor: Tensor) -> Tensor:
        """A tensor with outputs first, as the layer stores it."""
        if not self.transposed:
            return tensor
        outputs, inputs, *kernel = tensor.shape
        split = tensor.view(self.groups, outputs // self.groups, inputs, *kernel).transpose(1, 2)
        return split.reshape(self.groups * inputs, outputs // self.groups, *kernel)


def weights_of(module: nn.Module, terms: float | None = None) -> list[Weight]:
    """The weights among a layer's own tensors; none of a module that is no layer of torch's.

    Args:
        module: the layer.
        terms: rows that an `EmbeddingBag` sums up, as seen; with the mean 1 / rows.

    >>> weights_of(nn.ConvTranspose2d(8, 6, 4, stride=2, groups=2))
    [Weight(name='weight', fan_in=16.0, fan_out=48.0, role='weight', called='weight', groups=2, transposed=True, ...)]
    """
    match module:
        case nn.Linear():
            return [Weight("weight", module.in_features, module.out_features)]
        case _ConvNd():
            return [convolution(module)]
        case nn.Bilinear():
            one, two, outputs = module.in1_features, module.in2_features, module.out_features
            return [Weight("weight", one * two, outputs * (one + two) / 2)]
        case nn.Embedding():
            return [Weight("weight", 1, 1, "embedding", "embedding", padding=module.padding_idx)]
        case nn.EmbeddingBag():
            return [Weight("weight", terms or 1, terms or 1, "embedding", "embedding", padding=module.padding_idx)]
        case nn.MultiheadAttention():
            return attention(module)
        case nn.RNNBase() | nn.RNNCellBase():
            return list(recurrent(module))
    return []


def convolution(module: Any) -> Weight:
    positions, steps, groups = prod(module.kernel_size), prod(module.stride), module.groups
    fan_in, fan_out = module.in_channels // groups * positions, module.out_channels // groups * positions
    if isinstance(module, _ConvTransposeNd):
        return Weight("weight", fan_in / steps, float(fan_out), groups=groups, transposed=True)
    return Weight("weight", float(fan_in), fan_out / steps, groups=groups)


def attention(module: Any) -> list[Weight]:
    """Queries, keys and values; the projection after them is a linear layer of its own."""
    size = module.embed_dim
    if module.in_proj_weight is not None:
        return [Weight("in_proj_weight", size, size, called="queries, keys, values", groups=3, inside=True)]
    inputs = {"queries": ("q", size), "keys": ("k", module.kdim), "values": ("v", module.vdim)}
    return [
        Weight(f"{letter}_proj_weight", width, size, called=called, inside=True)
        for called, (letter, width) in inputs.items()
    ]


def recurrent(module: Any) -> Iterator[Weight]:
    """The weights of all layers and directions; gates lie one below the other."""
    gates = 4 if isinstance(module, nn.LSTM | nn.LSTMCell) else 3 if isinstance(module, nn.GRU | nn.GRUCell) else 1
    for name, tensor in module.named_parameters(recurse=False):
        if name.startswith("weight_hr"):
            outputs, inputs = tensor.shape
            yield Weight(name, inputs, outputs, called="projection", inside=True)
        elif name.startswith("weight"):
            outputs, inputs = tensor.shape[0] // gates, tensor.shape[1]
            role: Role = "recurrent" if name.startswith("weight_hh") else "weight"
            called = ("recurrent " if role == "recurrent" else "") + ("gates" if gates > 1 else "weight")
            yield Weight(name, inputs, outputs, role, called, groups=gates, inside=True)


def constants_of(module: nn.Module) -> dict[str, tuple[str, float]]:
    """What each tensor that is no weight is called, and its value at the start, by the name of the attribute."""
    if isinstance(module, NORMS):
        return {"weight": ("scale", 1.0), "bias": ("shift", 0.0)}
    if isinstance(module, RECURRENT):
        return {n: ("bias", 0.0) for n, _ in module.named_parameters(recurse=False) if n.startswith("bias")}
    if isinstance(module, nn.MultiheadAttention):
        return {"in_proj_bias": ("bias", 0.0)}
    return {"bias": ("bias", 0.0)} if isinstance(module, LAYERS) else {}

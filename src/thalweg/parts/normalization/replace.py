"""Puts a normalization in the place of a network's own, or on the weights of its layers."""

from collections import Counter
from collections.abc import Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.utils.parametrize import is_parametrized

from thalweg.errors import ModelError
from thalweg.parts.normalization.group_norm import GroupNorm
from thalweg.parts.normalization.layer_norm import LayerNorm
from thalweg.parts.normalization.modules.any_rank import BatchNormNd, InstanceNormNd
from thalweg.parts.normalization.modules.channels import ChannelLayerNorm, ChannelRMSNorm, LastRMSNorm
from thalweg.parts.normalization.modules.ghost import GhostBatchNormNd
from thalweg.parts.normalization.modules.synchronized import SyncBatchNormNd
from thalweg.parts.normalization.normalization import Normalization, OutputNormalization, WeightNormalization
from thalweg.parts.normalization.rms_norm import RMSNorm
from thalweg.parts.normalization.weight_standardization import WeightStandardization

# Modules that normalize channels in dimension 1, and the dimensions of places after it. BatchNorm1d takes 0 or 1.
CHANNELS: dict[type[nn.Module], int | None] = {
    nn.BatchNorm1d: None,
    nn.BatchNorm2d: 2,
    nn.BatchNorm3d: 3,
    nn.SyncBatchNorm: None,
    nn.InstanceNorm1d: 1,
    nn.InstanceNorm2d: 2,
    nn.InstanceNorm3d: 3,
    nn.GroupNorm: None,
    BatchNormNd: None,
    GhostBatchNormNd: None,
    SyncBatchNormNd: None,
    InstanceNormNd: None,
    ChannelLayerNorm: None,
    ChannelRMSNorm: None,
}
LAST = (nn.LayerNorm, nn.RMSNorm, LastRMSNorm)  # those that normalize the last dimensions
NORMS = (_NormBase, nn.GroupNorm, ChannelLayerNorm, ChannelRMSNorm, *LAST)
KEPT = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")  # where both have it, of one shape
Left = dict[str, list[str]]  # why something was left alone -> places


def replace_normalization(
    network: nn.Module, normalization: Normalization, *, originals: Mapping[str, Tensor] | None = None
) -> list[str]:
    """Changes the norms, or the weights, of a network in place; says where.

    A norm of channels in dimension 1 (batch, group, instance, and ours) is replaced by any other; torch's layer and RMS
    norm, over the last dimensions, by one another. The new norm has the old one's weights and running estimates where
    it has such of the same shape, its device, dtype and mode; a module that is used at several places stays one. A
    normalization of weights goes on linear and convolutional layers.

    Args:
        network: any module.
        normalization: a part of `tw.normalization`.
        originals: of a normalization of weights, those behind it as a run has saved them, by the place of their layers:
            it is put on these layers and no others, and not twice. What a layer holds otherwise decides, such as
            zeros, may differ by now.

    Returns:
        The changed places, with the number of groups where group norm took another than asked for; last what was left
        alone, with the reason: `"not at head (the last layer)"`.

    Raises:
        ModelError: where something could be meant, but everything had to be left alone.

    >>> network = nn.Sequential(nn.Conv2d(3, 24, 3), nn.BatchNorm2d(24), nn.ReLU())
    >>> replace_normalization(network, GroupNorm())
    ['1 (12 groups)']
    >>> network[1]
    GroupNorm(12, 24, eps=1e-05, ...)
    """
    changed: list[str] = []
    left: Left = {}
    if isinstance(normalization, WeightNormalization):
        if normalization.norm is not None:
            changed, left = replace_norms(network, normalization.norm)
        if originals is None:
            on_weights, left_weights = normalize_weights(network, normalization)
        else:
            on_weights, left_weights = normalize_saved_weights(network, normalization, originals), {}
        changed, left = changed + on_weights, left | left_weights
    elif isinstance(normalization, OutputNormalization):
        changed, left = replace_norms(network, normalization)
    notes = [f"not at {', '.join(places)} ({reason})" for reason, places in left.items()]
    if notes and not changed:
        raise ModelError(
            f"{normalization} changes nothing in {type(network).__name__}: {'; '.join(notes)}. Leave the field at "
            "None, or take a normalization that fits."
        )
    return changed + (["; ".join(notes)] if notes else [])


def replace_norms(network: nn.Module, part: OutputNormalization) -> tuple[list[str], Left]:
    new: dict[nn.Module, nn.Module] = {}
    changed: list[str] = []
    left: Left = {}
    for place, module in network.named_modules():
        if not isinstance(module, NORMS):
            continue
        if reason := obstacle(place, module, part):
            left.setdefault(reason, []).append(place or type(network).__name__)
            continue
        new[module] = carried(network, module, built(module, part))
        groups = getattr(new[module], "num_groups", None)
        other = isinstance(part, GroupNorm) and groups != part.groups
        changed.append(f"{place} ({groups} groups)" if other else place)
    for parent in network.modules():
        for name, child in parent.named_children():
            if child in new:
                setattr(parent, name, new[child])
    keep_off_fast_path(network)
    return changed, left


def obstacle(place: str, module: nn.Module, part: OutputNormalization) -> str:
    """Why a norm cannot be replaced by the part; empty where it can."""
    if not place:
        return "it is the network itself, which cannot be another module"
    if isinstance(module, LazyModuleMixin):
        return "its channels are known only after a first call; call the network once before"
    if type(module) in LAST:
        if isinstance(part, LayerNorm | RMSNorm):
            return ""
        return f"{type(module).__name__} over the last dimensions, which only LayerNorm and RMSNorm can replace"
    return "" if type(module) in CHANNELS else f"{type(module).__name__} is a class of its own"


def built(module: Any, part: OutputNormalization) -> nn.Module:
    if type(module) in LAST:
        assert isinstance(part, LayerNorm | RMSNorm)
        return part.of_last(module.normalized_shape)
    channels = module.num_features if isinstance(module, _NormBase) else module.num_channels
    if isinstance(part, GroupNorm) and getattr(module, "num_groups", 0) in (
        part.groups_of(channels, d) for d in (2, 0)
    ):
        # Whether there are places is not known of a group norm; one with the groups for either stays so divided.
        return nn.GroupNorm(module.num_groups, channels, part.eps, part.affine)
    return part.build(channels, dims=CHANNELS[type(module)])


@torch.no_grad()
def carried(network: nn.Module, old: nn.Module, new: nn.Module) -> nn.Module:
    """The new norm with the old one's weights, estimates, device, dtype and mode."""
    tensors = chain(old.parameters(), old.buffers(), network.parameters())
    like = next((tensor for tensor in tensors if tensor.is_floating_point()), None)
    if like is not None:
        new.to(like.device, like.dtype)
    for name in KEPT:
        own, found = getattr(new, name, None), getattr(old, name, None)
        if own is not None and found is not None and own.shape == found.shape:
            own.copy_(found)
            own.requires_grad_(found.requires_grad)
    return new.train(old.training)


def keep_off_fast_path(network: nn.Module) -> None:
    """torch's fused encoder layer computes a layer norm whatever `norm1` is, and fails where that has no bias."""
    for module in network.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            norms: tuple[nn.Module, ...] = (module.norm1, module.norm2)
            if any(not isinstance(norm, nn.LayerNorm) or norm.bias is None for norm in norms):
                module.activation_relu_or_gelu = 0  # one of the conditions of the fused form


def normalize_weights(network: nn.Module, part: WeightNormalization) -> tuple[list[str], Left]:
    layers = [(place, m) for place, m in network.named_modules() if isinstance(m, nn.Linear | _ConvNd)]
    owners = Counter(id(p) for m in network.modules() for p in m._parameters.values())
    changed: list[str] = []
    left: Left = {}
    for i, (place, layer) in enumerate(layers):
        reason = part.obstacle(layer)
        if not reason and owners[id(layer.weight)] > 1:
            reason = "its weight is that of another layer too"
        if not reason and isinstance(part, WeightStandardization) and i == len(layers) - 1:
            reason = "the last layer, whose scale is to be learned"
        if reason:
            left.setdefault(reason, []).append(place or type(network).__name__)
        else:
            changed.append(place or type(network).__name__)
            part.apply(layer)  # which gives the layer's class another name
    return changed, left


@torch.no_grad()
def normalize_saved_weights(
    network: nn.Module, part: WeightNormalization, originals: Mapping[str, Tensor]
) -> list[str]:
    """Puts the part on the layers whose saved weights it has normalized; says which."""
    layers = [(place, m) for place, m in network.named_modules() if place in originals]
    for place, layer in layers:
        if not is_parametrized(layer, "weight"):
            weight: Any = layer.weight
            if weight.shape == originals[place].shape:  # else the names of what does not fit are told on loading
                weight.copy_(originals[place])
                part.apply(layer)
    return [place or type(network).__name__ for place, _ in layers]

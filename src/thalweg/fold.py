"""Batch norms folded into the layers before them: the same outputs with fewer operations."""

from dataclasses import dataclass

from torch import nn

from thalweg.data.rows import Inputs
from thalweg.measure.folds import Pair, foldable
from thalweg.parts.normalization.folding import fold_
from thalweg.train.clone import clone


@dataclass(frozen=True)
class Folded:
    """What `fold_batch_norm` made.

    Args:
        network: the copy, in evaluation mode; a folded norm is an `nn.Identity`.
        pairs: places of the layers, and of the norms that became a part of them.
        left: the other norms' places, with the reason.
    """

    network: nn.Module
    pairs: list[Pair]
    left: dict[str, str]

    def __str__(self) -> str:
        lines = [f"{norm} folded into {layer}" for layer, norm in self.pairs]
        return "\n".join(lines + [f"{place} left: {reason}" for place, reason in self.left.items()])


def fold_batch_norm(network: nn.Module, inputs: Inputs) -> Folded:
    """A copy of a network for use, with batch norms folded into the linear or convolutional layers before them.

    Where a batch norm alone reads what a layer gives, both are one linear map in evaluation mode:

        γ (W x + b − μ̂) / √(σ̂² + ε) + β = s W x + s (b − μ̂) + β,     s = γ / √(σ̂² + ε)

    Which these are is seen in one forward pass, whatever the network's code looks like. A norm whose layer is read
    elsewhere too, runs twice or shares its weights stays.

    Args:
        network: any module; it stays as it is.
        inputs: a few rows as they enter it.

    Returns:
        A `Folded`: the copy, the folded pairs, and the norms that were left, with reasons. Training it has another
        meaning than training the network.

    Raises:
        ModelError: for a network that cannot be copied.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    >>> folded = fold_batch_norm(network, torch.zeros(2, 1, 8, 8))
    >>> print(folded)
    1 folded into 0
    >>> folded.network[1]
    Identity()

    Source: Jacob et al. 2018, "Quantization and training of neural networks", section 3.2. Difference from
    `torch.nn.utils.fusion`: the pairs are found, and transposed convolutions may have groups.
    """
    pairs, left = foldable(network, inputs)
    copy = clone(network).eval()
    for layer, norm in pairs:
        module = copy.get_submodule(norm)
        assert isinstance(module, nn.modules.batchnorm._BatchNorm)
        fold_(copy.get_submodule(layer), module)
        for parent in copy.modules():
            for name, child in list(parent.named_children()):
                if child is module:
                    setattr(parent, name, nn.Identity())
    return Folded(copy, pairs, left)

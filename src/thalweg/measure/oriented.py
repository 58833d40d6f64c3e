"""Modules that are no layers of torch's: whether they are one matrix, and which way round, or a normalization.

It is decided by running them on what they received, not by their names.
"""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from thalweg.measure.calls import first_tensor
from thalweg.measure.weights import Weight

CLOSE = {torch.float64: 1e-9, torch.float32: 1e-4}  # relative to the largest output
SCALES = (4.0, 1000.0)  # by which the input of a normalization is multiplied


def unknown_layer(module: nn.Module, given: tuple[Any, ...], output: object) -> "Weight | Literal['norm'] | None":
    """Its one matrix with its orientation, `"norm"` for a normalization, or None for anything else."""
    if any(True for name, _ in module.named_children() if name != "parametrizations"):
        return None
    value, result = first_tensor(given), first_tensor(output)
    if value is None or result is None or not value.is_floating_point() or value.dtype not in CLOSE:
        return None
    own = dict(module.named_parameters(recurse=False))
    matrices = [name for name, p in own.items() if p.dim() == 2]
    with torch.no_grad(), torch._C.DisableTorchFunction():
        if len(matrices) == 1 and len(own) <= 2:
            return oriented(matrices[0], own, value.detach(), result.detach())
        if all(p.dim() == 1 for p in own.values()) and value.shape == result.shape and value.dim() > 1:
            return "norm" if forgets_scale(module, value.detach()) else None
    return None


def oriented(name: str, own: dict[str, nn.Parameter], value: Tensor, result: Tensor) -> Weight | None:
    """The matrix, where x W or x Wᵀ, plus the bias, is the output; None where neither or both are."""
    matrix = own[name]
    bias = next((p for other, p in own.items() if other != name), None)
    fits = {}
    for transposed in (True, False):
        factor = matrix if transposed else matrix.T
        fits[transposed] = value.shape[-1] == len(factor) and same(value @ factor, result, bias)
    if fits[True] == fits[False]:
        return None
    inputs, outputs = matrix.shape if fits[True] else matrix.shape[::-1]
    return Weight(name, inputs, outputs, transposed=fits[True])


def same(found: Tensor, result: Tensor, bias: Tensor | None) -> bool:
    if bias is not None and bias.shape == found.shape[-1:]:
        found = found + bias
    if found.shape != result.shape or found.dtype not in CLOSE or not bool(result.any()):
        return False
    return bool((found - result).abs().max() <= CLOSE[found.dtype] * result.abs().max())


def forgets_scale(module: nn.Module, value: Tensor) -> bool:
    """Whether the output stays when the input is multiplied: what normalizations do, and hardly anything else."""
    try:
        small, large = (first_tensor(module.forward(value * scale)) for scale in SCALES)
    except Exception:  # it wants more than one tensor
        return False
    if small is None or large is None or not bool(small.any()):
        return False
    spread = float((small - small.mean()).abs().max())
    return spread > 0 and float((small - large).abs().max()) <= 1e-3 * spread


def scale_of(module: nn.Module, given: tuple[Any, ...], output: object) -> str | None:
    """The name of the one tensor of a normalization that its output is proportional to, tried by doubling it."""
    own = list(module.named_parameters(recurse=False))
    value, result = first_tensor(given), first_tensor(output)
    if len(own) != 1 or value is None or result is None or not bool(result.any()):
        return None
    name, tensor = own[0]
    with torch.no_grad(), torch._C.DisableTorchFunction():
        tensor.mul_(2)
        doubled = first_tensor(module.forward(value.detach()))
        tensor.mul_(0.5)  # exact
        return name if doubled is not None and same(doubled, 2 * result.detach(), None) else None


def terms_of(module: nn.EmbeddingBag, given: tuple[Any, ...], named: dict[str, Any]) -> float:
    """Rows that a bag sums up, on average; 1 / rows where it takes their mean, 1 for the largest."""
    indices = given[0] if given else named["input"]
    offsets: Any = given[1] if len(given) > 1 else named.get("offsets")
    factors = given[2] if len(given) > 2 else named.get("per_sample_weights")
    bags = len(indices) if indices.dim() == 2 else len(offsets) - int(module.include_last_offset)
    counted = indices != module.padding_idx if module.padding_idx is not None else torch.ones_like(indices)
    if factors is not None:
        return float((counted * factors.detach().square()).sum() / max(bags, 1)) or 1.0
    rows = float(counted.sum() / max(bags, 1)) or 1.0
    return {"sum": rows, "mean": 1 / rows}.get(module.mode, 1.0)

"""Reading and writing one tensor of a layer, parametrized or not."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from thalweg.data.noise import global_rng_kept

POWER_ITERATIONS = 15  # as torch's spectral_norm makes when it is put on


def key_of(module: nn.Module, name: str) -> int:
    """One number for one tensor, also where layers share it."""
    if is_parametrized(module, name):
        return id(next(chain_of(module, name).parameters()))
    return id(getattr(module, name))


def chain_of(module: Any, name: str) -> Any:
    """The parametrizations of a tensor."""
    return module.parametrizations[name]


def is_frozen(module: nn.Module, name: str) -> bool:
    if is_parametrized(module, name):
        return not any(p.requires_grad for p in chain_of(module, name).parameters())
    return not getattr(module, name).requires_grad


def put(module: nn.Module, name: str, values: Tensor) -> str:
    """Writes a tensor, through its parametrization if it has one; says what there is to say, or why it was left."""
    with torch.no_grad():
        tensor: Tensor = getattr(module, name)
        values = values.to(device=tensor.device, dtype=tensor.dtype)
        if not is_parametrized(module, name) and name not in module._parameters:
            return "left: it is computed before each call, from parameters of other names"
        if not is_parametrized(module, name):
            tensor.copy_(values)
            return ""
        chain = chain_of(module, name)
        try:
            with global_rng_kept():  # that of an orthogonal matrix draws columns that the weight does not have
                torch.manual_seed(0)
                setattr(module, name, values)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            return f"left: {type(chain[0]).__name__} cannot be given a weight ({str(error).splitlines()[0]})"
        modes = {part: part.training for part in chain.modules()}
        chain.train()
        for _ in range(POWER_ITERATIONS if list(chain.buffers()) else 0):
            chain()  # an estimate that it keeps, of the largest singular value, follows the new weights
        for part, mode in modes.items():
            part.training = mode
        exact = torch.allclose(chain(), values, rtol=1e-3, atol=1e-6)
        return f"through {type(chain[0]).__name__.lstrip('_')}" + ("" if exact else ", which changes it")


def widest(dtype: torch.dtype) -> torch.dtype:
    """The type that numbers are drawn in: float64 for itself, else float32."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def spread(tensor: Tensor) -> float:
    """Deviation of the entries."""
    return float(tensor.detach().double().std(correction=0)) if tensor.numel() else 0.0

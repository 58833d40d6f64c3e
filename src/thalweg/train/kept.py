"""A module as it was at one moment, to start trainings from: a copy, or where it is large, its tensors on the disk."""

import copy
import shutil
import tempfile
import weakref
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from thalweg.errors import StoreError
from thalweg.train.best import KEPT_BYTES, size_of
from thalweg.train.clone import clone, tensors
from thalweg.train.tensor_file import write_tensors


class KeptModule:
    """A module without its tensors, which lie in a temporary file until the last reference is gone.

    The user's module, the start of a run and the network that is trained would otherwise be three in memory.

    Args:
        module: it is read, never changed. All its parameters have a shape.

    >>> kept = KeptModule(nn.Linear(2, 3))
    >>> kept.__name__, kept.copy()
    ('Linear', Linear(in_features=2, out_features=3, bias=True))
    """

    def __init__(self, module: nn.Module) -> None:
        self.__name__ = type(module).__name__
        folder = tempfile.mkdtemp(prefix="thalweg-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        self._file = Path(folder) / "module.safetensors"
        originals = [*module.parameters(), *module.buffers()]
        with self._file.open("wb") as stream:
            write_tensors(stream, {str(k): value for k, value in enumerate(originals)})
        self._shapes = [like(value, torch.empty_like(value, device="meta")) for value in originals]
        memo = {id(value): shape for value, shape in zip(originals, self._shapes, strict=True)}
        self._skeleton = copy.deepcopy(module, memo)

    def copy(self) -> nn.Module:
        """The module as it was: values, layout, ties, modes and hooks."""
        values = load_file(self._file)
        memo = {}
        for k, shape in enumerate(self._shapes):
            memo[id(shape)] = like(shape, torch.empty_like(shape, device="cpu").copy_(values[str(k)]))
        return copy.deepcopy(self._skeleton, memo)


def like(original: Tensor, value: Tensor) -> Tensor:
    """The value as a parameter or as a buffer, as the original is one."""
    value = value.detach()
    return nn.Parameter(value, original.requires_grad) if isinstance(original, nn.Parameter) else value


def keep(module: nn.Module) -> nn.Module | KeptModule:
    """The module as it is now, whatever happens to the user's own: in memory while it is small.

    Raises:
        ModelError: for a module that cannot be copied, with the reason.
    """
    plain = all(type(p) is nn.Parameter and p.is_cpu for p in module.parameters())
    if not plain or any(map(is_lazy, module.buffers())) or size_of(tensors(module)) <= KEPT_BYTES:
        return clone(module)
    try:
        return KeptModule(module)
    except (OSError, StoreError):  # no room on the disk, or a tensor that a file has no word for
        return clone(module)

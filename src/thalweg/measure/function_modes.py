"""Modes of torch's functions that begin and end at different places of a loop, not around a block."""

from typing import Any

import torch
from torch.overrides import TorchFunctionMode, _pop_mode, _push_mode
from torch.utils._device import DeviceContext


def insert(mode: TorchFunctionMode) -> None:
    """Puts a mode at the bottom of torch's stack, over a default device: what others put on and take off stays theirs.

    Unlike a `with`, it may be taken off in another order than it was put on.
    """
    stack = popped()
    if stack and isinstance(stack[-1], DeviceContext):
        _push_mode(stack.pop())  # type: ignore[no-untyped-call]
    for each in (mode, *reversed(stack)):
        _push_mode(each)  # type: ignore[no-untyped-call]


def remove(mode: TorchFunctionMode) -> None:
    """Takes a mode out of torch's stack, wherever it is; nothing where it is not in it."""
    for each in reversed([each for each in popped() if each is not mode]):
        _push_mode(each)  # type: ignore[no-untyped-call]


def popped() -> list[Any]:
    """All modes, taken off; the last one was at the bottom."""
    return [_pop_mode() for _ in range(torch._C._len_torch_function_stack())]  # type: ignore[no-untyped-call]

"""Modes of torch's functions that begin and end at different places of a loop, not around a block."""

from typing import Any

from torch.overrides import TorchFunctionMode, _len_torch_function_stack, _pop_mode, _push_mode
from torch.utils._device import DeviceContext


def insert(mode: TorchFunctionMode) -> None:
    """Puts a mode at the bottom of torch's stack, over a default device: what others put on and take off stays theirs.

    Unlike a `with`, it may be taken off in another order than it was put on.
    """
    stack = popped()
    if stack and isinstance(stack[-1], DeviceContext):
        _push_mode(stack.pop())
    for each in (mode, *reversed(stack)):
        _push_mode(each)


def remove(mode: TorchFunctionMode) -> None:
    """Takes a mode out of torch's stack, wherever it is; nothing where it is not in it."""
    for each in reversed([each for each in popped() if each is not mode]):
        _push_mode(each)


def popped() -> list[Any]:
    """All modes, taken off; the last one was at the bottom."""
    return [_pop_mode() for _ in range(_len_torch_function_stack())]

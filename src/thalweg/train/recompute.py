"""Gradient checkpointing: activations inside repeated blocks are computed again in the backward pass, not kept."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from thalweg.errors import ModelError

LEAST = 2  # blocks, for it to save anything


def blocks_of(network: nn.Module) -> list[nn.Module]:
    """The blocks that are computed again: members of the `ModuleList`s and `Sequential`s that are modules of several.

    Of nested lists the innermost count. A single layer is none: its input has to be kept in any case.

    Raises:
        ModelError: where nothing is repeated.
    """
    found = list(dict.fromkeys(find_blocks(network)))  # a shared block once
    if len(found) < LEAST:
        raise ModelError(
            f"gradient_checkpointing found {len(found)} blocks in {type(network).__name__}: it computes the members of "
            "nn.Sequential and nn.ModuleList again. Put the repeated blocks into one, or set it to False."
        )
    return found


def find_blocks(module: nn.Module) -> Iterator[nn.Module]:
    repeats = isinstance(module, nn.ModuleList | nn.Sequential)
    for child in module.children():
        inner = list(find_blocks(child))
        yield from inner
        callable_alone = not isinstance(child, nn.ModuleList | nn.ModuleDict)
        if repeats and not inner and callable_alone and any(child.children()) and any(True for _ in child.parameters()):
            yield child


@contextmanager
def recomputing(blocks: list[nn.Module]) -> Iterator[None]:
    """Within it, a forward pass of the blocks keeps their inputs only. The numbers are those without it, to the bit.

    Dropout draws the same again, because the generator's state is kept per block; and the buffers are for that time as
    they were before the block: running estimates move once, and what reads them reads the same.
    """
    own = [block.__dict__.get("forward") for block in blocks]
    for block in blocks:
        block.forward = again(block, block.forward)
    try:
        yield
    finally:
        for block, forward in zip(blocks, own, strict=True):
            del block.forward  # the class's own shows again
            if forward is not None:
                block.forward = forward


def again(block: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    def contexts() -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        before = [(m, name, b.clone()) for m in block.modules() for name, b in m._buffers.items() if b is not None]
        return nullcontext(), standing_in(before)

    return partial(checkpoint, forward, use_reentrant=False, context_fn=contexts)


@contextmanager
def standing_in(buffers: list[tuple[nn.Module, str, Tensor]]) -> Iterator[None]:
    """Within it the modules have these buffers instead of their own, which may be written and are then forgotten."""
    kept = [module._buffers[name] for module, name, _ in buffers]
    for module, name, value in buffers:
        module._buffers[name] = value
    try:
        yield
    finally:
        for (module, name, _), own in zip(buffers, kept, strict=True):
            module._buffers[name] = own

"""Hooks that see which module runs on what, and whose output became whose input."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from thalweg.data.rows import Inputs, map_inputs

Shape = tuple[int, ...]


@dataclass
class Visit:
    """What was seen of one module: what it received, where that came from, the shape of what it gave."""

    place: str
    module: nn.Module
    received: list[Tensor]
    sources: tuple[str, ...]
    output: Shape = ()
    has_children: bool = False
    calls: int = 1


def tensors_in(value: object) -> Iterator[Tensor]:
    """The tensors in nested tuples, lists and dicts."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_in(item)


class Watcher:
    """Notes every module call of a forward pass.

    `producers` maps a node of autograd's graph to the layer that made it, `makers` a tensor without history. `stack`
    holds the modules that are running: after an error its last entry is where it happened.
    """

    def __init__(self) -> None:
        self.visits: dict[str, Visit] = {}
        self.stack: list[Visit] = []
        self.producers: dict[Any, str] = {}
        self.makers: dict[int, tuple[Tensor, str]] = {}  # by id; the tensor is held so that no id is used again

    def mark(self, tensors: Iterable[Tensor], place: str) -> None:
        for tensor in tensors:
            if tensor.grad_fn is not None:
                self.producers[tensor.grad_fn] = place
            else:
                self.makers[id(tensor)] = (tensor, place)

    def sources_of(self, tensor: Tensor) -> Iterator[str]:
        """Walks back from a tensor to the nearest outputs of layers."""
        if id(tensor) in self.makers:
            yield self.makers[id(tensor)][1]
        waiting, seen = [tensor.grad_fn], set()
        while waiting:
            node = waiting.pop()
            if node is None or node in seen:
                continue
            seen.add(node)
            if node in self.producers:
                yield self.producers[node]
            else:
                waiting.extend(before for before, _ in node.next_functions)

    def enter(self, place: str, module: nn.Module, arguments: object) -> None:
        received = list(tensors_in(arguments))
        sources = tuple(dict.fromkeys(source for tensor in received for source in self.sources_of(tensor)))
        if self.stack:
            self.stack[-1].has_children = True
        visit = Visit(place, module, received, sources)
        self.stack.append(visit)
        first = self.visits.setdefault(place, visit)
        if first is not visit:
            first.calls += 1
            first.sources = tuple(dict.fromkeys(first.sources + sources))

    def leave(self, output: object) -> None:
        visit = self.stack.pop()
        visit.output = tuple(next((t.shape[1:] for t in tensors_in(output)), ()))
        if not visit.has_children:
            self.mark(tensors_in(output), visit.place)


@contextmanager
def hooked(network: nn.Module, watcher: Watcher) -> Iterator[None]:
    """Hooks of `watcher` on every module, removed afterwards."""
    handles = []
    for place, module in network.named_modules():

        def enter(module: nn.Module, given: tuple[Any, ...], named: dict[str, Any], place: str = place) -> None:
            watcher.enter(place, module, (given, named))

        def leave(_module: nn.Module, _given: tuple[Any, ...], output: object) -> None:
            watcher.leave(output)

        handles.append(module.register_forward_pre_hook(enter, with_kwargs=True))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def followed(inputs: Inputs, watcher: Watcher) -> Inputs:
    """The inputs with a history that autograd can follow, so that a layer fed by the data is seen to be."""

    def follow(value: Tensor) -> Tensor:
        if value.is_floating_point():
            value = value.detach().clone().requires_grad_() * 1
        watcher.mark([value], "input")
        return value

    return map_inputs(follow, inputs)

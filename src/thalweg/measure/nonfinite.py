"""The first operation of a step that turned finite numbers into infinity or NaN, found by replaying the step.

The replay sees every operation of the forward and the backward pass. An infinity that is put in on purpose (a mask
filled with -inf before a softmax) is followed too, and blamed only where it becomes NaN.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Inputs, call, tensors_of
from thalweg.readings import Reading

Direction = Literal["forward", "backward"]
Span = tuple[float | None, float | None]
LOSS = "loss"  # the place of operations outside of the network
MOST_ROWS = 8  # row numbers that are stored
# Operations that write constants: an infinity of theirs is wanted.
CONSTANT = ("full", "full_like", "new_full", "fill", "masked_fill", "scalar_tensor", "lift_fresh")


@dataclass(frozen=True)
class NonFinite:
    """Where finite numbers were first lost.

    Args:
        kind: `"operation"`, or `"parameter"`, `"buffer"`, `"input"` or `"target"` that was not finite to begin with.
        place: path of the module that ran the operation, `"loss"` outside of the network; or the tensor's name.
        operation: `"aten.log"`, in the backward pass `"aten.div in SqrtBackward0"`; empty where none is to blame.
        direction: `"forward"` or `"backward"`.
        share: of the entries of the result that are not finite, 0 to 1.
        rows: positions in the batch whose results are not finite; empty unless the result is as long as the batch.
        low: smallest entry of the finite operands; None where there were none.
        high: largest entry.
    """

    kind: Literal["operation", "parameter", "buffer", "input", "target"]
    place: str
    operation: str
    direction: Direction
    share: float
    rows: tuple[int, ...]
    low: float | None
    high: float | None


def find_nonfinite(
    network: nn.Module, loss: Callable[[Any, Tensor], Tensor], inputs: Inputs, target: Tensor, *, step: int, seed: int
) -> NonFinite | None:
    """Replays one step and names the first non-finite operation, or returns None where the step is finite.

    Args:
        network: a clone in the state before the step and in its mode; its buffers move as in the step.
        loss: `(output, target) -> scalar`.
        inputs: the batch.
        target: the batch.
        step: number of the step; with `seed` it decides the noise, as in the training.
        seed: of the run's noise.

    >>> head = nn.Linear(1, 1, bias=False)
    >>> _ = nn.init.zeros_(head.weight)
    >>> found = find_nonfinite(head, lambda o, t: o.log().mean(), torch.ones(4, 1), torch.ones(4), step=0, seed=0)
    >>> found.operation, found.place, found.share, found.rows
    ('aten.log', 'loss', 1.0, (0, 1, 2, 3))
    """
    parameters = [p for p in network.parameters() if p.requires_grad]
    replay = _Replay(network, inputs, target)
    one_thread = torch.autograd.set_multithreading_enabled(False)  # modes are seen by their own thread only
    with global_rng_kept(), replay.following(network), one_thread, replay:
        seed_noise(seed, step)
        value = loss(call(network, inputs), target)
        if not finite(value):
            return replay.origin_of(value)
        replay.backward = True
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    bad = next((g for g in gradients if g is not None and not finite(g)), None)
    return None if bad is None else replay.origin_of(bad)


def locate_nonfinite(
    network: nn.Module,
    loss: Callable[[Any, Tensor], Tensor],
    inputs: Inputs,
    target: Tensor,
    *,
    step: int,
    seed: int,
    rows: Sequence[int] = (),
) -> list[Reading]:
    """What `find_nonfinite` found, as readings; empty where the step is finite.

    `nonfinite.first` has the share of entries lost, their place, and as note `"aten.log forward"` (for a tensor that
    was not finite before the step `"parameter"`, `"buffer"`, `"input"`, `"target"`); its interval is the range of the
    finite operands. `nonfinite.row` gives up to eight of the rows at fault, by the numbers in `rows`; its count is
    that of all rows at fault.
    """
    found = find_nonfinite(network, loss, inputs, target, step=step, seed=seed)
    if found is None:
        return []
    note = f"{found.operation} {found.direction}" if found.kind == "operation" else found.kind
    first = Reading("nonfinite.first", found.share, found.place, step, found.low, found.high, len(found.rows), note)
    numbers = [rows[k] if rows else k for k in found.rows]
    return [first, *(Reading("nonfinite.row", n, found.place, step, count=len(numbers)) for n in numbers[:MOST_ROWS])]


class _Replay(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Looks at the operands and the result of every operation, and follows what is not finite back to its origin."""

    def __init__(self, network: nn.Module, inputs: Inputs, target: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.rows = len(target)
        self.backward = False
        self.path: list[str] = []
        self.places: dict[Any, str] = {}  # of the nodes of autograd's graph
        self.origins: dict[int, tuple[NonFinite, bool]] = {}  # by storage; the flag says that it was put in on purpose
        self.held: list[Tensor] = []  # so that no storage with an origin is used again
        for name, parameter in network.named_parameters():
            self._given("parameter", name, parameter)
        for name, buffer in network.named_buffers():
            self._given("buffer", name, buffer, wanted=True)
        for value in tensors_of(inputs):
            self._given("input", "input", value)
        self._given("target", "target", target)

    def _given(self, kind: Any, name: str, value: Tensor, *, wanted: bool = False) -> None:
        if not finite(value):
            rows = self._rows(value) if kind in ("input", "target") else ()
            self._remember(value, NonFinite(kind, name, "", "forward", lost(value), rows, None, None), wanted)

    @contextmanager
    def following(self, network: nn.Module) -> Iterator[None]:
        """Knows which module is running, and which module made which node of the graph."""
        names = {module: name or type(module).__name__ for name, module in network.named_modules()}
        handles = []
        for module in names:
            handles.append(module.register_forward_pre_hook(lambda m, _: self.path.append(names[m])))
            handles.append(module.register_forward_hook(self._leave))
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _leave(self, _module: nn.Module, _inputs: Any, output: Any) -> None:
        place = self.path.pop()
        waiting = [t.grad_fn for t in tree_leaves(output) if isinstance(t, Tensor)]
        while waiting:
            node = waiting.pop()
            if node is not None and node not in self.places:
                self.places[node] = place
                waiting.extend(before for before, _ in node.next_functions)

    def __torch_dispatch__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        operands = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        spoiled = [t for t in operands if not finite(t)]
        had_nan = any(bool(t.isnan().any()) for t in spoiled)
        low, high = span_of([t for t in operands if t.is_floating_point()]) if not spoiled else (None, None)
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, Tensor) and not finite(value):
                self._blame(value, str(function).rpartition(".")[0], spoiled, had_nan, (low, high))
        return result

    def _blame(self, value: Tensor, operation: str, spoiled: list[Tensor], had_nan: bool, span: Span) -> None:
        origins = [found for t in spoiled if (found := self.origins.get(storage(t)))]
        origin = next((found for found in origins if not found[1]), None)
        if origin is None and origins and (had_nan or not value.isnan().any()):
            origin = origins[0]
        if origin is None:
            wanted = operation.removeprefix("aten.").rstrip("_") in CONSTANT and not value.isnan().any()
            direction: Direction = "forward"
            place = self.path[-1] if self.path else LOSS
            if self.backward:
                node = torch._C._current_autograd_node()
                place, direction = self.places.get(node, LOSS), "backward"
                operation = f"{operation} in {node.name()}"
            origin = NonFinite("operation", place, operation, direction, lost(value), self._rows(value), *span), wanted
        self._remember(value, *origin)

    def _rows(self, value: Tensor) -> tuple[int, ...]:
        if value.dim() == 0 or len(value) != self.rows:
            return ()
        bad = ~value.detach().isfinite().reshape(self.rows, -1).all(1)
        return tuple(bad.nonzero().flatten().tolist())

    def _remember(self, value: Tensor, origin: NonFinite, wanted: bool) -> None:
        self.origins[storage(value)] = (origin, wanted)
        self.held.append(value)

    def origin_of(self, value: Tensor) -> NonFinite:
        outside = NonFinite("operation", LOSS, "outside of torch", "forward", lost(value), (), None, None)
        return self.origins.get(storage(value), (outside, False))[0]


def storage(value: Tensor) -> int:
    return int(dense(value).untyped_storage()._cdata)


def dense(value: Tensor) -> Tensor:
    value = value.detach()
    return value._values() if value.is_sparse else value


def finite(value: Tensor) -> bool:
    """Whether all entries are finite."""
    return not value.is_floating_point() or bool(dense(value).isfinite().all())


def lost(value: Tensor) -> float:
    """The share of entries that are not finite."""
    return 1 - float(dense(value).isfinite().double().mean())


def span_of(values: list[Tensor]) -> Span:
    """The smallest and the largest entry of several tensors."""
    filled = [dense(v) for v in values if v.numel()]
    if not filled:
        return None, None
    return min(float(v.min()) for v in filled), max(float(v.max()) for v in filled)

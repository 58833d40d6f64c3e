"""A tape of what a loop does between the network's output and `backward`, and the loss that is read off it.

The loss of a loop of the user's own is no object that could be asked for: it is a few calls of torch's functions. While
a tape runs, it notes these calls. From the tensor that `backward` is called on they are followed back to the network's
output; the tensor that comes from outside and has a row per row of the batch is the target, and what lies between is
the loss, as a function that can be called again.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

from thalweg.data.noise import global_rng_kept
from thalweg.measure.function_modes import insert, remove

MOST_CALLS = 512  # between output and loss; a longer tape is not followed
SMALL_BATCH = 4  # rows up to which a number equal to them is taken for something else: `2 * loss`, `dim=1`
NAMED_LOSSES = frozenset(
    (
        *("cross_entropy", "nll_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "mse_loss"),
        *("l1_loss", "smooth_l1_loss", "huber_loss", "kl_div", "multi_margin_loss", "multilabel_margin_loss"),
        *("multilabel_soft_margin_loss", "soft_margin_loss", "poisson_nll_loss", "gaussian_nll_loss"),
    )
)
# What only rewrites a target; the tensor before it is what a person calls the target.
REWRITES = frozenset(
    (
        *("one_hot", "unsqueeze", "squeeze", "view", "reshape", "flatten", "float", "double", "long", "int", "bool"),
        *("to", "type", "type_as", "cuda", "cpu", "contiguous"),
    )
)
WRITES = frozenset(("__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__", "__idiv__", "__ipow__"))
STATEFUL = frozenset(("batch_norm", "instance_norm", "sync_batch_norm", "embedding_renorm_"))
RANDOM = ("rand", "dropout", "bernoulli", "normal", "multinomial")
SHAPED = frozenset(("view", "reshape", "arange", "zeros", "ones", "full", "expand", "new_zeros", "new_ones", "eye"))
DIVIDES = frozenset(("div", "true_divide", "__truediv__", "__div__"))
MULTIPLIES = frozenset(("mul", "multiply", "__mul__", "__rmul__"))
NEGATES = frozenset(("neg", "negative", "__neg__"))
KEEPS = frozenset(("mean", "sum", "squeeze", "reshape", "view", "clone", "to", "float"))  # a single number


@dataclass
class Noted:
    """One call: what was called with what, and what it returned."""

    function: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    result: Any

    @property
    def name(self) -> str:
        return name_of(self.function)

    @property
    def writes(self) -> bool:
        """Whether it changes its first argument: `x.mul_(2)`, `x += 1`, `x[0] = 1`."""
        name = self.name
        return name in WRITES or (name.endswith("_") and not name.endswith("__"))

    @property
    def keeps_state(self) -> bool:
        """Whether to call it again would change something: running estimates, a generator of the loop's own."""
        given = tree_leaves((self.args, self.kwargs))
        return self.name in STATEFUL or "out" in self.kwargs or any(isinstance(a, torch.Generator) for a in given)

    @property
    def moves_nothing(self) -> bool:
        """Whether it gave back what it got, as `x.float()` does of a float32."""
        return not self.writes and any(self.result is a for a in self.args)


class Tape(TorchFunctionMode):
    """Notes the calls of torch's functions, and tells of `backward` before it runs. Nothing is changed by it.

    Args:
        on_backward: gets the tensor that `backward` is called on.
        on_gradients: called when `backward` is over.
    """

    def __init__(self, on_backward: Callable[[Tensor], None], on_gradients: Callable[[], None] = lambda: None) -> None:
        super().__init__()
        self.on_backward, self.on_gradients = on_backward, on_gradients
        self.notes: list[Noted] = []
        self.noting = False
        self.autocast: tuple[str, torch.dtype] | None = None

    def begin(self, device: str) -> None:
        """Notes from here on."""
        self.notes.clear()
        self.noting = True
        on = torch.is_autocast_enabled(device)
        self.autocast = (device, torch.get_autocast_dtype(device)) if on else None

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if function is Tensor.backward:
            self.noting = False
            self.on_backward(args[0])
            function(*args, **kwargs)  # type: ignore[no-untyped-call]
            self.on_gradients()
            return None
        result = function(*args, **kwargs)
        if self.noting:
            if isinstance(result, Tensor | tuple | list) or name_of(function) == "__setitem__":
                self.notes.append(Noted(function, args, kwargs, result))
            self.noting = len(self.notes) <= MOST_CALLS
        return result


def name_of(function: Any) -> str:
    return getattr(function, "__name__", "")


@contextmanager
def taping(on_backward: Callable[[Tensor], None]) -> Iterator[Tape]:
    """A tape for the time of a block."""
    tape = Tape(on_backward)
    insert(tape)
    try:
        yield tape
    finally:
        remove(tape)


@dataclass(frozen=True)
class Slot:
    """A place for a tensor: the result of a call, the network's output, the target, or one of the constants."""

    number: int


class Rows:
    """The place of a number that was the batch's length."""


OUTPUT, TARGET = Slot(-1), Slot(-2)


class UnreadableLossError(Exception):
    """Why no loss can be read off a tape."""


@dataclass(frozen=True)
class TapedLoss:
    """A loss that was read off a tape, `(output, target) -> scalar`.

    Args:
        calls: function, arguments with places for tensors, and the place of the result, in their order.
        constants: tensors from outside that are no target.
        result: place of the loss.
        name: of torch's loss function, where it is one on the output itself; else empty.
        autocast: device and type of a mixed precision that it was computed in.
    """

    calls: tuple[tuple[Callable[..., Any], Any, Any, Slot], ...]
    constants: dict[int, Tensor]
    result: Slot
    name: str
    autocast: tuple[str, torch.dtype] | None = None

    def __call__(self, output: Tensor, target: Tensor) -> Tensor:
        values: dict[int, Any] = {**self.constants, OUTPUT.number: output, TARGET.number: target}

        def fill(value: Any) -> Any:
            if isinstance(value, Slot):
                return values[value.number]
            return len(target) if isinstance(value, Rows) else value

        mixed = nullcontext() if self.autocast is None else torch.autocast(self.autocast[0], self.autocast[1])
        with mixed:
            for function, args, kwargs, place in self.calls:
                values[place.number] = function(*tree_map(fill, args), **tree_map(fill, kwargs))
        found = values[self.result.number]
        assert isinstance(found, Tensor)
        return found

    def repeats(self, output: Tensor, target: Tensor, value: Tensor) -> bool:
        """Whether it gives bit by bit the value that the loop had; no random number is drawn for it."""
        with torch.no_grad(), global_rng_kept():
            found = self(output.detach().clone(), target)
        return torch.equal(found, value.detach().to(found.dtype))  # synchronizes


@dataclass(frozen=True)
class Link:
    """A tensor between the loss and what `backward` is called on, which is `factor` times this one."""

    tensor: Tensor
    factor: float
    name: str
    scaler: bool = True  # whether only tensors multiplied it, as the scaler of a mixed precision does


def chain(notes: list[Noted], root: Tensor) -> list[Link]:
    """From `root` down through multiplications by numbers, as long as there are any.

    >>> x = torch.ones(2, requires_grad=True)
    >>> with taping(lambda root: None) as tape:
    ...     tape.begin("cpu")
    ...     root = -torch.nn.functional.mse_loss(x, torch.zeros(2)) / 4
    >>> [(link.name, link.factor) for link in chain(tape.notes, root)]
    [('div', 1.0), ('neg', 0.25), ('mse_loss', -0.25)]
    """
    makers = {id(n.result): n for n in notes if isinstance(n.result, Tensor) and not n.moves_nothing}
    found, factor, tensor, scaler = [], 1.0, root, True
    while True:
        note = makers.get(id(tensor))
        found.append(Link(tensor, factor, note.name if note else "", scaler))
        below = None if note is None else scaled_by(note)
        if below is None:
            return found
        tensor, factor, scaler = below[0], factor * below[1], scaler and below[2]


def scaled_by(note: Noted) -> tuple[Tensor, float, bool] | None:
    """The tensor that a call multiplied by a number, the number, and whether that is a tensor; None for others."""
    args = note.args
    if not args or note.writes or not all(isinstance(a, Tensor | int | float) for a in args):
        return None
    if isinstance(args[0], Tensor) and args[0].dim() == 0:
        if note.name in NEGATES:
            return args[0], -1.0, False
        if note.name in KEEPS:
            return args[0], 1.0, True
    if len(args) != 2 or note.name not in (*MULTIPLIES, *DIVIDES):
        return None
    pairs = [(args[0], args[1])] + ([(args[1], args[0])] if note.name in MULTIPLIES else [])
    for scaled, by in pairs:
        outside = not isinstance(by, Tensor) or (by.dim() == 0 and not by.requires_grad)
        if isinstance(scaled, Tensor) and scaled.requires_grad and scaled.dim() == 0 and outside:
            number = float(by)  # synchronizes where a scaler's factor lies on a device
            factor = 1 / number if number and note.name in DIVIDES else number
            return (scaled, factor, isinstance(by, Tensor) and number > 0) if number else None
    return None


def loss_in(links: list[Link]) -> Link:
    """The link that is the loss: below a scaler's factor; and where a named loss was turned round, that loss."""
    if links[-1].factor < 0 and links[-1].name in NAMED_LOSSES:
        return links[-1]
    return [link for link in links if link.scaler][-1]


class Reader:
    """Reads a loss off a tape.

    Args:
        notes: the calls.
        output: what the network returned, a tensor.
        rows: of the batch.
    """

    def __init__(self, notes: list[Noted], output: Tensor, rows: int) -> None:
        self.notes, self.output, self.rows = notes, output, rows
        self.versions: dict[int, int] = {id(output): OUTPUT.number}  # tensors that depend on the output
        self.arguments: list[dict[int, int]] = []  # of each call, the versions of its arguments that do
        self.outside: dict[int, Noted] = {}  # calls whose results do not
        for number, note in enumerate(notes):
            self._follow(number, note)

    def _follow(self, number: int, note: Noted) -> None:
        given = [t for t in tree_leaves((note.args, note.kwargs)) if isinstance(t, Tensor)]
        used = {id(t): self.versions[id(t)] for t in given if id(t) in self.versions}
        self.arguments.append(used)
        if note.moves_nothing:
            return
        if not isinstance(note.result, Tensor):
            for t in tree_leaves(note.result) if used else ():
                self.versions[id(t)] = -9 - number  # one of several results: not followed further
        elif used:
            self.versions[id(note.result)] = number
        else:
            self.outside[id(note.result)] = note
        if note.name == "__setitem__" and used:
            self.versions[id(note.args[0])] = -9 - number

    def read(self, loss: Tensor, autocast: tuple[str, torch.dtype] | None = None) -> tuple[TapedLoss, Tensor]:
        """The loss as a function, and this batch's target.

        Raises:
            UnreadableLossError: with the reason.
        """
        last = self.versions.get(id(loss))
        if last is None or last < 0:
            raise UnreadableLossError("it is not made from the network's output by single calls of torch's functions")
        needed, waiting = set(), [last]
        while waiting:
            number = waiting.pop()
            if number in needed or number == OUTPUT.number:
                continue
            if number < 0:
                raise UnreadableLossError("an operation in it gives several results or writes in place")
            needed.add(number)
            waiting.extend(self.arguments[number].values())
        calls, target_calls, target = self._with_target(sorted(needed))
        constants: dict[int, Tensor] = {}
        written = [self._template(n, target, target_calls, constants) for n in calls]
        head = self.notes[last]
        direct = head.name in NAMED_LOSSES and head.args and head.args[0] is self.output
        return TapedLoss(tuple(written), constants, Slot(last), head.name if direct else "", autocast), target

    def _with_target(self, needed: list[int]) -> tuple[list[int], dict[int, int], Tensor]:
        """The calls with those that rewrite the target put before them, places of these, and the target."""
        used = [t for n in needed for t in self._batch_tensors(self.notes[n], self.arguments[n])]
        sources, rewriting = self._sources(used, loosely=False)
        if len(sources) > 1:  # y and 1 - y are one target
            sources, rewriting = self._sources(used, loosely=True)
        if len(sources) != 1:
            raise UnreadableLossError(
                "no tensor with a row per row of the batch goes into it, so that there is no target"
                if not sources
                else f"{len(sources)} tensors with a row per row of the batch go into it: which is the target?"
            )
        order = {id(note): k for k, note in enumerate(self.notes)}
        rewriting = sorted({id(n): n for n in rewriting}.values(), key=lambda n: order[id(n)])
        places = {id(note.result): order[id(note)] for note in rewriting}
        return [*(order[id(n)] for n in rewriting), *needed], places, next(iter(sources.values()))

    def _sources(self, used: list[Tensor], *, loosely: bool) -> tuple[dict[int, Tensor], list[Noted]]:
        """What the tensors were rewritten from, and the calls that did it."""
        sources: dict[int, Tensor] = {}
        rewriting: list[Noted] = []
        for source in used:
            while (note := self.outside.get(id(source))) and (before := self._rewritten(note, loosely)) is not None:
                rewriting.append(note)
                source = before
            sources[id(source)] = source
        return sources, rewriting

    def _rewritten(self, note: Noted, loosely: bool) -> Tensor | None:
        tensors = [t for t in tree_leaves((note.args, note.kwargs)) if isinstance(t, Tensor)]
        one = len(tensors) == 1 and tensors[0].dim() > 0 and len(tensors[0]) == self.rows
        drawn = any(word in note.name for word in RANDOM)
        return tensors[0] if one and (note.name in REWRITES or (loosely and not drawn)) else None

    def _batch_tensors(self, note: Noted, used: dict[int, int]) -> list[Tensor]:
        given: Any = (note.args, note.kwargs)
        if note.name in NAMED_LOSSES:  # its other tensors are weights of classes
            given = note.args[1] if len(note.args) > 1 else note.kwargs.get("target")
        found = [t for t in tree_leaves(given) if isinstance(t, Tensor) and id(t) not in used]
        return [t for t in found if t.dim() > 0 and len(t) == self.rows and not t.requires_grad]

    def _template(
        self, number: int, target: Tensor, rewritten: dict[int, int], constants: dict[int, Tensor]
    ) -> tuple[Callable[..., Any], Any, Any, Slot]:
        note, used = self.notes[number], self.arguments[number]
        counts = note.name in SHAPED or (note.name in (*DIVIDES, *MULTIPLIES) and self.rows > SMALL_BATCH)

        def place(value: Any) -> Any:
            if isinstance(value, Tensor):
                if id(value) in used:
                    return Slot(used[id(value)])
                if id(value) in rewritten:
                    return Slot(rewritten[id(value)])
                if note.writes:
                    raise UnreadableLossError("a tensor from outside is written to")
                if value is target:
                    return TARGET
                key = -1000 - len(constants)
                constants[key] = value.detach()
                return Slot(key)
            if counts and type(value) in (int, float) and value == self.rows:
                if self.rows in self.output.shape[1:]:
                    raise UnreadableLossError("a number in it may be the batch's length or a size of the outputs")
                return Rows()
            return value

        if note.keeps_state:
            raise UnreadableLossError("to call it again would change a state that it keeps")
        if note.name == "__setitem__":
            raise UnreadableLossError("it writes into a tensor")
        return note.function, tree_map(place, note.args), tree_map(place, note.kwargs), Slot(number)

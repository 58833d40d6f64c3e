"""What notes the calls of a forward pass for a tape, and what a tape cannot hold."""

from collections.abc import Callable, Mapping
from inspect import signature
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.measure.watcher import tensors_in
from thalweg.train.population.calls import Calls
from thalweg.train.population.tape import Call, NotBatched, Slot, name_of, slots_in

# Numbers of tensors that reach Python: what follows may depend on them.
READS = frozenset(
    (
        *("item", "tolist", "numpy", "__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__"),
        *("__contains__", "__dlpack__", "equal", "allclose", "is_nonzero", "data_ptr"),
    )
)
# The shape of their results depends on values.
SHAPED_BY_VALUES = frozenset(
    (
        *("nonzero", "argwhere", "masked_select", "unique", "unique_consecutive", "bincount", "histc", "combinations"),
        *("_pack_padded_sequence", "_pad_packed_sequence", "nonzero_static", "ctc_loss"),
    )
)
HOOKS = frozenset(("register_hook", "register_post_accumulate_grad_hook", "retain_grad", "backward", "grad", "set_"))
METADATA = frozenset(("detach_", "resize_", "resize_as_", "set_", "as_strided_", "swap_"))
BATCH_NORMS = frozenset((F.batch_norm, torch.batch_norm, F.instance_norm, torch.instance_norm))
DROPOUTS = frozenset(
    (
        *(F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout),
        *(torch.dropout, torch.dropout_, torch.alpha_dropout, torch.alpha_dropout_),
        *(torch.feature_dropout, torch.feature_dropout_, torch.feature_alpha_dropout, torch.feature_alpha_dropout_),
    )
)
RECURRENT = frozenset((torch.lstm, torch.gru, torch.rnn_tanh, torch.rnn_relu))
ALIKE = {"copy_": "copied", "zero_": "zeroed"}  # writes in place for which torch has no pure form of a like name


def copied(target: Tensor, source: Tensor, non_blocking: bool = False) -> Tensor:
    """`target.copy_(source)` without the write."""
    return source.to(target.dtype).expand(target.shape)


def zeroed(target: Tensor) -> Tensor:
    """`target.zero_()` without the write."""
    return torch.zeros_like(target)


def argument(function: Callable[..., Any], name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function written in Python gets for one of its parameters."""
    bound = signature(function).bind(*args, **kwargs)
    bound.apply_defaults()
    return bound.arguments[name]


def draws_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> int:
    """How many draws of noise a call makes that a population makes for each member: each has a number of its own.

    One for a call of a dropout while training, whatever its p; one for `x.bernoulli_(keep)` and for attention with
    dropout; and one between each two layers of a recurrent network with dropout.
    """
    if function in DROPOUTS:
        if isinstance(function, FunctionType):
            return int(bool(argument(function, "training", args, kwargs)))
        return int(bool(kwargs.get("train", args[2] if len(args) > 2 else True)))
    if function is Tensor.bernoulli_:
        return 1
    if function is F.scaled_dot_product_attention:
        return int((args[4] if len(args) > 4 else kwargs.get("dropout_p", 0.0)) > 0)
    if function in RECURRENT and not isinstance(args[3], list | tuple):  # else a packed sequence
        num_layers, dropout, training = args[4:7]
        return num_layers - 1 if dropout > 0 and training else 0
    return 0


class Recorder(Calls):
    """Notes the calls of torch's functions; raises `NotBatched` at the first that a tape cannot hold.

    Args:
        parameters, buffers: of the network, by name.
        inputs: the inputs' tensors.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], inputs: tuple[Tensor, ...]
    ) -> None:
        super().__init__()
        self.values: dict[int, Tensor] = {}  # holds on to all: an id or an address is given to no other meanwhile
        self.numbers: dict[int, int] = {}  # by id
        self.calls: list[Call] = []
        self.draws = 0
        self.parameters = {name: self.add(value) for name, value in parameters.items()}
        self.buffers = {name: self.add(value) for name, value in buffers.items()}
        self.inputs = tuple(self.add(value) for value in inputs)
        self.varying = set(self.values)
        self.constants: set[int] = set()
        self.followed = {number for number, value in self.values.items() if value.requires_grad}
        self.mixed = torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")
        self.reason: NotBatched | None = None  # kept where the network catches it

    def add(self, value: Tensor) -> int:
        """A new slot for a tensor, or the one that it has."""
        if id(value) not in self.numbers:
            number = len(self.values)
            self.numbers[id(value)], self.values[number] = number, value
        return self.numbers[id(value)]

    def refuse(self, reason: str) -> None:
        self.reason = NotBatched(reason)
        raise self.reason

    def given(self, value: Tensor) -> int:
        """The slot of an argument; a tensor that no call made is a constant."""
        known = id(value) in self.numbers
        number = self.add(value)
        if value.requires_grad and (not known or number not in self.followed):
            self.refuse("the gradient of a tensor comes from elsewhere, as from an autograd.Function of its own")
        if not known:
            self.constants.add(number)
        return number

    def template(self, value: Any) -> Any:
        """A nesting with slots in place of tensors."""
        if isinstance(value, Tensor):
            return Slot(self.given(value))
        if isinstance(value, tuple):
            items = [self.template(item) for item in value]
            named = hasattr(value, "_fields")
            return type(value)(*items) if named else value if isinstance(value, torch.Size) else tuple(items)
        if isinstance(value, list):
            return [self.template(item) for item in value]
        if isinstance(value, dict):
            return {key: self.template(item) for key, item in value.items()}
        return value

    def take(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        tensors = list(tensors_in((args, kwargs)))
        if getattr(function, "__name__", "") == "__set__":
            if isinstance(args[1], Tensor):
                self.refuse("it puts another tensor in the place of one (x.data = y)")
            if args[1] is True and args[0].requires_grad:
                return None  # x.requires_grad = True, of an input: ours has a gradient already
        varying = any(self.numbers.get(id(t)) in self.varying for t in tensors)
        if varying:
            self.refuse_reads(function, args)
        versions = [t._version for t in tensors]
        template = self.template((args, kwargs))
        draws = draws_of(function, args, kwargs)
        state = generators()
        result = function(*args, **kwargs)
        if draws and any(result is t and t._version == v for t, v in zip(tensors, versions, strict=True)):
            result = result.view_as(result)  # dropout of p=0, whose argument may be read again without it
        if not draws and generators() != state:
            self.refuse(f"{name_of(function)} draws random numbers")
        mutated = [t for t, version in zip(tensors, versions, strict=True) if t._version != version]
        if function is Tensor.__setitem__ or any(True for _ in tensors_in(result)):
            if (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")) != self.mixed:
                self.refuse("it switches mixed precision within its forward pass")
            self.note(function, template, result, mutated, draws, varying)
        return result

    def refuse_reads(self, function: Any, args: tuple[Any, ...]) -> None:
        name = name_of(function)
        if name in READS:
            self.refuse(f"its Python code reads the value of a tensor ({name.strip('_')})")
        if name in SHAPED_BY_VALUES or (name == "where" and len(args) == 1):
            self.refuse(f"the shape of what {name} returns depends on values")
        if name in HOOKS and not (name == "grad" and len(args) == 1):  # that one reads the attribute
            self.refuse(f"its forward pass calls {name}")
        if name == "__getitem__":
            index = args[1] if isinstance(args[1], tuple | list) else (args[1],)
            if any(isinstance(i, Tensor) and i.dtype in (torch.bool, torch.uint8) for i in index):
                self.refuse("it picks elements by a mask: their number depends on values")

    def note(self, function: Any, template: Any, result: Any, mutated: list[Tensor], draws: int, varying: bool) -> None:
        """Notes a call that returned or changed tensors."""
        args, kwargs = template
        layer = self.draws if draws else None
        self.draws += draws
        target = None
        keeps = function in BATCH_NORMS and bool(mutated)
        if keeps:
            if any(self.numbers[id(t)] not in self.buffers.values() for t in mutated):
                self.refuse(f"{name_of(function)} updates a tensor that is no buffer")
        elif mutated:
            target = self.target(args, mutated, name_of(function))
            function, args, kwargs = pure_form(function, args, kwargs)
        elif all(id(t) in self.numbers for t in tensors_in(result)) and not draws:
            return  # it gave back what it got, as `x.float()` does of a float32
        if target is not None:
            self.written(target)
        slots = Slot(target) if target is not None else self.template_of_result(result)
        made = {slot.number for slot in slots_in(slots)}
        if varying or draws:
            self.varying |= made
            if target is not None:
                place = address(self.values[target])
                self.varying |= {n for n, value in self.values.items() if address(value) == place}
        gradient = torch.is_grad_enabled()
        self.calls.append(Call(function, args, kwargs, slots, gradient, layer, target, keeps=keeps))

    def written(self, target: int) -> None:
        """A write may give a gradient to what shares the target's memory."""
        place = address(self.values[target])
        self.followed |= {n for n, value in self.values.items() if value.requires_grad and address(value) == place}

    def template_of_result(self, result: Any) -> Any:
        self.followed |= {self.add(value) for value in tensors_in(result) if value.requires_grad}
        for value in tensors_in(result):
            self.add(value)
        return self.template(result)

    def target(self, args: tuple[Any, ...], mutated: list[Tensor], name: str) -> int:
        """The slot that a call wrote to."""
        slot = args[0] if args else None
        if not isinstance(slot, Slot):
            raise NotBatched(f"{name} writes to another tensor than its first argument")
        if any(address(t) != address(self.values[slot.number]) for t in mutated) or name in METADATA:
            self.refuse(f"{name} writes in a way that is not followed")
        known = {address(self.values[n]): n for n in (*self.constants, *self.parameters.values())}
        if (found := known.get(address(self.values[slot.number]))) is not None and self.values[found].numel():
            self.refuse(f"it writes to {'a constant' if found in self.constants else 'a parameter'} ({name})")
        return slot.number


def pure_form(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, tuple[Any, ...], Any]:
    """A function that writes in place as one that does not, with its arguments."""
    name = name_of(function)
    if name in ("__setitem__", "bernoulli_"):
        return function, args, kwargs
    if name in ALIKE:
        return globals()[ALIKE[name]], args, kwargs
    if name.endswith("_") and not name.endswith("__"):
        for home in (Tensor, torch, F):
            if (found := getattr(home, name[:-1], None)) is not None:
                return found, args, kwargs
    elif name.startswith("__i") and (found := getattr(Tensor, f"__{name[3:]}", None)) is not None:
        return found, args, kwargs
    elif isinstance(function, FunctionType) and "inplace" in signature(function).parameters:
        bound = signature(function).bind(*args, **kwargs)
        bound.arguments["inplace"] = False
        return function, bound.args, bound.kwargs
    raise NotBatched(f"{name} writes in place and has no form that does not")


def address(value: Tensor) -> int:
    """Of the memory that a tensor lies in; views share it."""
    return value.untyped_storage().data_ptr()


def generators() -> list[bytes]:
    """The state of torch's generators."""
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        states.append(torch.cuda.get_rng_state())
    return [state.numpy().tobytes() for state in states]

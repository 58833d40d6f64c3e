"""Any `torch.optim.Optimizer`, as it is: of torch, of another package, or of your own."""

import importlib
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError
from thalweg.parts.optimizers.foreign import Foreign, refuse_closure, require_arguments

if TYPE_CHECKING:
    import torch

Options = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class Torch(Foreign):
    """Any subclass of `torch.optim.Optimizer`, imported by its path and run as it is.

    A plan takes the class itself, too, or a `functools.partial` of it, and makes this part of it:

        Plan(optimizer=torch.optim.ASGD)
        Plan(optimizer=functools.partial(torch.optim.Adafactor, lr=0.01, d=2.0))

    Schedule and race set the rate of its groups at each step. Biases, norms and embeddings are in a group without
    decay, where the class has a `weight_decay`. Its state is saved bit by bit: tensors and numbers of its parameters,
    and the numbers of its groups; what it keeps as attributes of its own is not, as in its `state_dict`. One that has
    `train()` and `eval()`, as schedule-free ones do, is validated and kept with the weights of its `eval()`.

    Args:
        kind: path of the class: `"torch.optim.Adafactor"`, `"my_package.MyOptimizer"`.
        lr: learning rate, above 0; `"auto"` lets a race decide.
        weight_decay: passed on, where it is not 0 or the class takes it; 0 also where the class has another default,
            which a plan that is given the class itself keeps.
        options: its other arguments, `(("momentum", 0.9),)` or a dict: numbers, texts, booleans, None, tuples of these.

    Raises:
        UsageError: for options that are no plain values; when it is built, where there is no such class, it does not
            take an argument, or its step needs a closure, as LBFGS.

    >>> import torch
    >>> part = Torch(kind="torch.optim.Rprop", lr=0.01, options={"etas": (0.5, 1.2)})
    >>> type(part.build([torch.nn.Parameter(torch.zeros(2))])).__name__
    'Rprop'

    Source: `torch.optim`. Nothing differs from PyTorch but who calls it.
    """

    kind: str = ""
    options: Options = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("kind", isinstance(self.kind, str) and "." in self.kind, "a path like 'torch.optim.Adafactor'")
        given = self.options.items() if isinstance(self.options, Mapping) else self.options
        pairs = isinstance(given, tuple | list) or isinstance(self.options, Mapping)
        self._check("options", pairs, "a dict, or pairs of a name and a value")
        plain_options = tuple((name, plain(value)) for name, value in given)
        object.__setattr__(self, "options", plain_options)
        good = all(isinstance(name, str) and is_plain(value) for name, value in plain_options)
        self._check(
            "options", good, "names, and values that JSON knows: numbers, texts, booleans, None, tuples of them"
        )
        own = {"lr", "weight_decay", "params"} & {name for name, _ in plain_options}
        if own:
            raise UsageError(f"Torch got {own.pop()!r} among its options; it is an argument of Torch itself.")

    @classmethod
    def of(cls, given: Any) -> "Torch":
        """The part of a class, or of a `functools.partial` of it with keyword arguments.

        Raises:
            UsageError: for another class, positional arguments, or a class that cannot be imported by its path.
        """
        named, values = (given.func, dict(given.keywords)) if isinstance(given, partial) else (given, {})
        kind = required_optimizer(named, str(named))
        if isinstance(given, partial) and given.args:
            raise UsageError(f"The partial of {kind.__name__} has positional arguments; give them by name.")
        refuse_closure(kind)
        require_arguments(kind, values)
        decay = values.pop("weight_decay", default_of(kind, "weight_decay"))
        return cls(kind=path_of(kind), lr=values.pop("lr", "auto"), weight_decay=decay, options=tuple(values.items()))

    @property
    def usual_rates(self) -> tuple[float, float]:
        return 1e-4, 1.0  # of what kind it is, is not known

    def build(self, params: Iterable[Any]) -> "torch.optim.Optimizer":
        kind = self.import_kind()
        values = {"lr": self._values(None)["lr"], **dict(self.options)}
        if self.weight_decay or takes(kind, "weight_decay"):
            values["weight_decay"] = self.weight_decay
        require_arguments(kind, values)
        refuse_closure(kind)
        built: torch.optim.Optimizer = kind(params, **values)
        return built

    def import_kind(self) -> type:
        """The class. Raises `UsageError` where there is none at the path, or it is no optimizer."""
        module, _, name = self.kind.rpartition(".")
        try:
            kind = getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError) as error:
            raise UsageError(
                f"There is no optimizer {self.kind!r} ({error}). Give the path that it is imported by, such as "
                "'torch.optim.Adafactor'; install its package, where it is not of torch."
            ) from error
        return required_optimizer(kind, self.kind)


def plain(value: Any) -> Any:
    """Lists as tuples, so that a plan from JSON equals the one it was written from."""
    return tuple(plain(item) for item in value) if isinstance(value, list | tuple) else value


def is_plain(value: Any) -> bool:
    return (
        value is None
        or isinstance(value, str | int | float)
        or (isinstance(value, tuple) and all(map(is_plain, value)))
    )


def is_optimizer(kind: Any) -> bool:
    """Whether it is a subclass of torch's Optimizer: asked without importing torch, which its maker has done."""
    bases = kind.__mro__[1:] if isinstance(kind, type) else ()
    return any(base.__module__ == "torch.optim.optimizer" and base.__name__ == "Optimizer" for base in bases)


def required_optimizer(kind: Any, name: str) -> type:
    if isinstance(kind, type) and is_optimizer(kind):
        return kind
    raise UsageError(
        f"{name} is no subclass of torch.optim.Optimizer. Give such a class, a functools.partial of it, or a part such "
        "as tw.optimizers.AdamW(lr=0.001)."
    )


def takes(kind: type, name: str) -> bool:
    try:
        require_arguments(kind, (name,))
    except UsageError:
        return False
    return True


def default_of(kind: type, name: str) -> float:
    import inspect

    found = inspect.signature(kind).parameters.get(name)
    return found.default if found is not None and isinstance(found.default, int | float) else 0.0


def path_of(kind: type) -> str:
    """The shortest path that gives this class: `torch.optim.ASGD` of `torch.optim.asgd.ASGD`."""
    names = kind.__module__.split(".")
    for end in range(1, len(names) + 1):
        module = sys.modules.get(".".join(names[:end]))
        if getattr(module, kind.__qualname__, None) is kind:
            return ".".join([*names[:end], kind.__qualname__])
    raise UsageError(
        f"{kind.__qualname__} of {kind.__module__} cannot be imported by a path, which a plan and its run need to be "
        "read again. Define the class at the top of a module."
    )

"""The calls of torch's functions that a network makes, those inside its attention among them."""

from collections.abc import Callable
from types import FunctionType
from typing import Any

from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def opened(function: Callable[..., Any]) -> Callable[..., Any]:
    """One of `torch.nn.functional`'s own, without its question whether a mode takes the call: it takes those inside."""
    assert isinstance(function, FunctionType)
    names = {**function.__globals__, "has_torch_function": lambda _: False}
    found = FunctionType(function.__code__, names, function.__name__, function.__defaults__, function.__closure__)
    found.__kwdefaults__ = function.__kwdefaults__
    return found


OPENED = {F.multi_head_attention_forward: opened(F.multi_head_attention_forward)}


class Calls(TorchFunctionMode):
    """Within it `take` answers each call of torch's functions; `OPENED` ones make theirs one by one."""

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if function not in OPENED:
            return self.take(function, args, kwargs or {})
        with self:
            return OPENED[function](*args, **kwargs or {})

    def take(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """What a call returns. Calls made in here are torch's own."""
        return function(*args, **kwargs)

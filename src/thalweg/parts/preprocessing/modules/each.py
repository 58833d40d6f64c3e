"""Several tensors, each by itself; several preparations, one after the other."""

from collections.abc import Callable
from typing import Any, cast

from torch import Tensor, nn

from thalweg.data.rows import Inputs, tensors_of
from thalweg.parts.preprocessing.modules.fitted import Fitted


class Each(nn.Module):
    """A fitted module for each tensor of a tuple or dict of inputs.

    Args:
        parts: in the order of the tensors.
        names: of a dict's entries; None for a tuple.
    """

    def __init__(self, parts: list[Fitted], names: tuple[str, ...] | None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.names = names

    def forward(self, inputs: Inputs) -> Inputs:
        return self._each(lambda part, value: part(value), inputs)

    def inverse(self, inputs: Inputs) -> Inputs:
        return self._each(lambda part, value: part.inverse(value), inputs)

    def between(self, inputs: Inputs) -> Inputs:
        """`forward` in the dtypes of the computation, for what prepares it further."""
        return self._each(lambda part, value: part.between(value), inputs)

    def _each(self, function: Callable[[Any, Tensor], Tensor], inputs: Inputs) -> Inputs:
        if self.names is None:
            return tuple(function(part, value) for part, value in zip(self.parts, tensors_of(inputs), strict=True))
        assert isinstance(inputs, dict)
        return {name: function(part, inputs[name]) for name, part in zip(self.names, self.parts, strict=True)}

    @property
    def form(self) -> dict[str, Any]:
        names = None if self.names is None else list(self.names)
        return {"module": "Each", "names": names, "parts": [part.form for part in self.parts]}

    @property
    def report(self) -> str:
        return "; ".join(filter(None, (str(part.report) for part in self.parts)))


class InTurn(Fitted):
    """Fitted modules one after the other; between them float64 stays float64."""

    def __init__(self, parts: list[Fitted]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    @property
    def links(self) -> list[Fitted]:
        return cast(list[Fitted], list(self.parts))

    def prepare(self, x: Tensor) -> Tensor:
        for part in self.links:
            x = part.prepare(x)
        return x

    def undo(self, y: Tensor) -> Tensor:
        for part in reversed(self.links):
            y = part.undo(y)
        return y

    @property
    def form(self) -> dict[str, Any]:
        return super().form | {"parts": [part.form for part in self.parts]}

    def told(self, names: tuple[str, ...] = ()) -> str:
        return "; ".join(filter(None, (part.told(names) for part in self.links)))


def after(before: "Fitted | Each | None", then: "Fitted | Each") -> "Fitted | Each":
    """One module for both."""
    if before is None:
        return then
    if isinstance(before, Each):
        assert isinstance(then, Each)
        pairs = zip(before.parts, then.parts, strict=True)
        return Each([in_turn(one, two) for one, two in pairs], before.names)
    return in_turn(before, then)


def in_turn(*modules: Any) -> InTurn:
    """The modules in their order, nested ones unfolded."""
    return InTurn([link for m in modules for link in (m.links if isinstance(m, InTurn) else [m])])

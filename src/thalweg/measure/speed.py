"""What slows a step down and can be seen without timing it: numbers wider than needed, and waits for the device."""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from thalweg.data.rows import Inputs, call, tensors_of
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading

# Methods of a tensor whose result is needed by Python, so that it waits until the device has done all its work.
WAITING = frozenset({"item", "tolist", "numpy", "cpu", "__bool__", "__float__", "__int__", "__index__", "nonzero"})
OURS = (str(Path(__file__).parents[1]), str(Path(torch.__file__).parent))
MOST = 4  # places that are told


def wide_numbers(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Readings `speed.wide` at the places `"parameters"` and `"inputs"`: the share of their numbers that are float64.

    >>> [(r.place, r.value) for r in wide_numbers(nn.Linear(2, 2).double(), torch.zeros(3, 2))]
    [('parameters', 1.0), ('inputs', 0.0)]
    """
    parts: tuple[tuple[str, Iterable[Tensor]], ...] = (
        ("parameters", network.parameters()),
        ("inputs", tensors_of(inputs)),
    )
    found = []
    for place, tensors in parts:
        floats = [t for t in tensors if t.is_floating_point()]
        numbers = sum(t.numel() for t in floats)
        wide = sum(t.numel() for t in floats if t.dtype == torch.float64)
        if numbers:
            found.append(Reading("speed.wide", wide / numbers, place, count=numbers))
    return found


class Waits(TorchFunctionMode):
    """Counts, while it is on, the calls that wait for the device, by the line of the user's code they come from."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[tuple[str, str]] = Counter()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name in WAITING and (place := caller()):
            self.found[place, name] += 1
        return func(*args, **(kwargs or {}))


def caller() -> str:
    """`"model.py:31"`, the innermost line outside of torch and of this package; empty where there is none."""
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(OURS) and not file.startswith("<"):
            return f"{Path(file).name}:{frame.f_lineno}" if frame.f_code.co_name != "<module>" else ""
        frame = frame.f_back
    return ""


def synchronizations(network: nn.Module, loss: Callable[..., Tensor], inputs: Inputs, target: Tensor) -> list[Reading]:
    """Readings `speed.waits`: calls in one forward pass and loss that wait for the device, one per line of code.

    The place is file and line, the note the method, the value how often. One without place and 0 where there is none.
    """
    waits = Waits()
    with untouched(network, training=True), waits:
        loss(call(network, inputs), target)
    device = str(target.device)
    found = [Reading("speed.waits", n, place, note=name) for (place, name), n in waits.found.most_common(MOST)]
    return [Reading("speed.waits", sum(waits.found.values()), note=device), *found]

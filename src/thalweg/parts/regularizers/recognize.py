"""Where a network drops something while training, and with which probability (L30)."""

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.nn.modules.dropout import _DropoutNd

from thalweg.parts.regularizers.drop_connect import DropConnect

ATTRIBUTES = ("dropout", "dropout_p")  # of modules that call a function: attention, recurrent layers, one's own
BRANCHES = ("drop_prob",)  # timm's and Hugging Face's DropPath


@dataclass(frozen=True)
class Noise:
    """A module that drops something, and the attribute that holds the probability.

    Args:
        name: its place in the network.
        module: itself.
        attribute: "p", "dropout", "dropout_p" or "drop_prob".
        what: "outputs", or "branches" or "weights" of stochastic depth and DropConnect.
        per_row: whether each row is known to get noise of its own; False where a batch shares it, or nothing tells.
    """

    name: str
    module: nn.Module
    attribute: str
    what: str = "outputs"
    per_row: bool = True

    @property
    def p(self) -> float:
        return float(getattr(self.module, self.attribute))

    @property
    def place(self) -> str:
        """`"2"` for a dropout layer, `"encoder.attention.dropout"` for a number of another module."""
        parts = [self.name] if self.attribute == "p" else [self.name, self.attribute]
        return ".".join(part for part in parts if part) or type(self.module).__name__


def noises(network: nn.Module) -> list[Noise]:
    """Every module of the network that drops something, also with probability 0.

    Recognized are torch's dropout modules and ours; attention and recurrent layers; any module with a number
    `dropout` or `dropout_p`; and any whose branches drop with `drop_prob`, or by the name StochasticDepth.

    >>> net = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1), nn.LSTM(4, 4, num_layers=2, dropout=0.2))
    >>> [(noise.place, noise.p) for noise in noises(net)]
    [('1', 0.1), ('2.dropout', 0.2)]
    """
    found = []
    for name, module in network.named_modules():
        if isinstance(module, _DropoutNd):
            found.append(Noise(name, module, "p"))
        elif isinstance(module, DropConnect):
            found.append(Noise(name, module, "p", "weights", module.mode == "row"))
        elif type(module).__name__ == "StochasticDepth" and is_probability(getattr(module, "p", None)):
            found.append(Noise(name, module, "p", "branches", getattr(module, "mode", "row") == "row"))
        elif isinstance(module, nn.RNNBase):
            if module.num_layers > 1:  # a single layer drops nothing, whatever the number
                found.append(Noise(name, module, "dropout"))
        else:
            known = isinstance(module, nn.MultiheadAttention)
            own = [a for a in ATTRIBUTES if is_probability(vars(module).get(a))]
            found += [Noise(name, module, attribute, per_row=known) for attribute in own]
            paths = [a for a in BRANCHES if is_probability(vars(module).get(a))]
            found += [Noise(name, module, attribute, "branches") for attribute in paths]
    return found


def is_probability(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1

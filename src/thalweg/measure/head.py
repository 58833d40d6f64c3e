"""The head of a network: the last operation on its outputs, and with it the values they can take at all.

It is read from autograd's graph, so that `nn.Softmax`, `F.softmax` and `x.softmax(1)` are the same.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

# Operations that move values without changing them.
MOVES = (
    *("ViewBackward0", "UnsafeViewBackward0", "ReshapeAliasBackward0", "SqueezeBackward0", "SqueezeBackward1"),
    *("UnsqueezeBackward0", "TransposeBackward0", "TBackward0", "PermuteBackward0", "SelectBackward0"),
    *("SliceBackward0", "CloneBackward0", "ToCopyBackward0", "AliasBackward0", "ExpandBackward0"),
)
# Range of each elementwise operation that limits its output.
RANGES: dict[str, tuple[str, float, float]] = {
    "SigmoidBackward0": ("sigmoid", 0.0, 1.0),
    "HardsigmoidBackward0": ("hardsigmoid", 0.0, 1.0),
    "TanhBackward0": ("tanh", -1.0, 1.0),
    "ReluBackward0": ("relu", 0.0, torch.inf),
    "ExpBackward0": ("exp", 0.0, torch.inf),
    "SoftplusBackward0": ("softplus", 0.0, torch.inf),
    "AbsBackward0": ("abs", 0.0, torch.inf),
    "LogSigmoidBackward0": ("logsigmoid", -torch.inf, 0.0),
}
SIMPLEX_TOLERANCE = 1e-4  # of a row's sum; float32 rounds a sum of 1,000 probabilities to 1e-6


@dataclass(frozen=True)
class Head:
    """The last operation and the range of the outputs.

    Args:
        kind: `"softmax"`, `"log_softmax"`, `"sigmoid"`, `"tanh"`, `"relu"`, ... or `"none"`.
        low: lower end of each output.
        high: upper end of each output.
        dim: dimension over which a softmax adds up to 1, counted from the front.
        size: how many values a softmax runs over.
        inner: the head before a softmax: softmax twice, softmax of sigmoids.
        central: whether outputs are meant to equal numeric targets; not under a Poisson or a quantile loss, where R2
            says nothing.
    """

    kind: str
    low: float = -torch.inf
    high: float = torch.inf
    dim: int | None = None
    size: int | None = None
    inner: "Head | None" = None
    central: bool = True

    def outputs(self, free: Tensor) -> Tensor:
        """Free numbers mapped onto (the closure of) the head's range, smoothly.

        >>> Head("relu", 0.0, torch.inf).outputs(torch.tensor([-2.0, 3.0]))
        tensor([4., 9.])
        """
        if self.inner is not None:
            free = self.inner.outputs(free)
        if self.dim is not None:
            return F.log_softmax(free, self.dim) if self.kind == "log_softmax" else F.softmax(free, self.dim)
        if self.low > -torch.inf and self.high < torch.inf:
            return self.low + (self.high - self.low) * torch.sigmoid(free)
        if self.low > -torch.inf:
            return self.low + free.square()
        return self.high - free.square() if self.high < torch.inf else free

    def free(self, outputs: Tensor) -> Tensor:
        """Free numbers that `outputs()` maps to these outputs, or near them where they are out of range."""
        tiny = 1e-6
        if self.inner is not None:  # the inner head's values lie between 0 and 1, the right ones at the upper end
            values = replace(self, inner=None).free(outputs)
            low, high = values.amin(), values.amax()
            return self.inner.free((values - low) / (high - low).clamp_min(tiny))
        if self.dim is not None:
            return outputs if self.kind == "log_softmax" else outputs.clamp_min(tiny).log()
        if self.low > -torch.inf and self.high < torch.inf:
            return torch.logit(((outputs - self.low) / (self.high - self.low)).clamp(tiny, 1 - tiny))
        if self.low > -torch.inf:
            return (outputs - self.low).clamp_min(tiny).sqrt()
        return (self.high - outputs).clamp_min(tiny).sqrt() if self.high < torch.inf else outputs


FREE = Head("none")


def head_of(output: Tensor) -> Head:
    """The head of a network from its outputs `[N, ...]`, which must carry their history.

    >>> x = torch.randn(4, 3, requires_grad=True)
    >>> head_of(x.softmax(1)).kind, head_of(torch.sigmoid(x).squeeze()).kind, head_of(2 * x).kind
    ('softmax', 'sigmoid', 'none')
    """
    return head_at(output.grad_fn, output) or simplex_of(output.detach())


def head_at(node: Any, output: Tensor) -> Head | None:
    """The head whose result a node of autograd's graph is; None where it is another operation."""
    moved = False
    while node is not None and node.name() in MOVES:
        moved = True
        node = node.next_functions[0][0]
    name = node.name() if node is not None else ""
    if name in ("SoftmaxBackward0", "LogSoftmaxBackward0") and not moved:
        dim = signed(node._saved_dim) % output.dim()
        kind = "softmax" if name[0] == "S" else "log_softmax"
        before = head_at(node.next_functions[0][0], output)
        # Only what lies between 0 and 1 limits a softmax; log_softmax before it changes nothing.
        inner = before if before is not None and before.kind in ("softmax", "sigmoid", "hardsigmoid") else None
        return Head(kind, dim=dim, size=output.shape[dim], inner=inner)
    if name in RANGES:
        return Head(*RANGES[name])
    if name in ("HardtanhBackward0", "ClampBackward1", "ClampMinBackward0"):
        low = getattr(node, "_saved_min_val", getattr(node, "_saved_min", None))
        high = getattr(node, "_saved_max_val", getattr(node, "_saved_max", None))
        return Head("clamp", -torch.inf if low is None else float(low), torch.inf if high is None else float(high))
    return None


def signed(value: int) -> int:
    """Autograd saves a dimension of -1 as an unsigned number."""
    return value - 2**64 if value >= 2**63 else value


def simplex_of(output: Tensor) -> Head:
    """A softmax written by hand shows in the values: no output is negative and every row adds up to 1."""
    for dim in {dim for dim in (1, output.dim() - 1) if 0 < dim < output.dim()}:
        total = output.sum(dim)
        if bool((output >= 0).all()) and bool(((total - 1).abs() < SIMPLEX_TOLERANCE).all()) and len(output) > 1:
            return Head("softmax", dim=dim, size=output.shape[dim])
    return FREE

"""The property card of an activation: range, saturation, gains, cost, all computed from its function."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isinf
from statistics import NormalDist
from typing import TYPE_CHECKING, Literal

import torch

from thalweg.parts.activations.activation import Activation
from thalweg.parts.activations.cost import cost
from thalweg.parts.activations.gain import backward_gain, derivative, expectation, gain, values

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

SATURATED = 0.01  # of the derivative's largest absolute value: below it, a unit hardly passes a gradient
FAR = (1e4, 1e8)  # a function that still moves between these has no bound
TorchName = Literal["linear", "sigmoid", "tanh", "relu", "leaky_relu", "selu"]
CONVENTIONS: dict[str, TorchName] = {  # our parts -> the names that torch.nn.init.calculate_gain knows
    "Identity": "linear",
    "Sigmoid": "sigmoid",
    "Tanh": "tanh",
    "ReLU": "relu",
    "LeakyReLU": "leaky_relu",
    "PReLU": "leaky_relu",
    "SELU": "selu",
}
Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Card:
    """Properties of one activation φ; prints as a table.

    Args:
        activation: the part.
        range: lowest and highest value of φ, reached or approached.
        derivative_range: the same of φ′; at a kink both sides count.
        saturation: the intervals of x where |φ′(x)| is below 1 % of its maximum. A turning point, as of GELU at −0.75,
            is a short one.
        saturated_share: share of standard-normal x within them.
        gain: 1/√E[φ(z)²], z standard normal: keeps the variance forward (L09).
        backward_gain: 1/√E[φ′(z)²]: keeps the gradient's variance.
        torch_gain: `torch.nn.init.calculate_gain`'s convention; None where it has none.
        mean: E[φ(z)].
        monotone: whether φ never falls (or never rises).
        forward_cost: seconds of the forward pass relative to ReLU's, on this machine; None where not measured.
        backward_cost: the same of the backward pass.

    >>> from thalweg.parts.activations import Sigmoid
    >>> print(Sigmoid().card())
    Sigmoid()
      range                       0 to 1
      derivative's range          0 to 0.25
      saturated                   x < -5.986, x > 5.986  (|φ'| below 1 % of its maximum)
      of standard-normal x        2.1e-07 %
      gain, forward               1.846  (torch's convention: 1)
      gain, backward              4.723
      mean at standard-normal x   0.5  (not zero-centered)
      monotone                    yes
      cost relative to ReLU       not measured: card(measure=True)
    """

    activation: Activation
    range: Span
    derivative_range: Span
    saturation: tuple[Span, ...]
    saturated_share: float
    gain: float
    backward_gain: float
    torch_gain: float | None
    mean: float
    monotone: bool
    forward_cost: float | None = None
    backward_cost: float | None = None

    @property
    def zero_centered(self) -> bool:
        """Whether standard-normal x give outputs of mean 0."""
        return abs(self.mean) < 1e-6

    def rows(self) -> list[tuple[str, str]]:
        """What the table shows: name and value."""
        saturated = ", ".join(map(shown_span, self.saturation)) or "nowhere"
        convention = "none" if self.torch_gain is None else f"{self.torch_gain:.4g}"
        cost = "not measured: card(measure=True)"
        if self.forward_cost is not None and self.backward_cost is not None:
            cost = f"forward {self.forward_cost:.2f}, backward {self.backward_cost:.2f}  (measured here)"
        mean = 0.0 if self.zero_centered else self.mean
        return [
            ("range", shown_range(self.range)),
            ("derivative's range", shown_range(self.derivative_range)),
            ("saturated", f"{saturated}  (|φ'| below {SATURATED:.0%} of its maximum)".replace("%", " %")),
            ("of standard-normal x", f"{100 * self.saturated_share:.2g} %"),
            ("gain, forward", f"{self.gain:.4g}  (torch's convention: {convention})"),
            ("gain, backward", f"{self.backward_gain:.4g}"),
            ("mean at standard-normal x", f"{mean:.4g}  ({'' if self.zero_centered else 'not '}zero-centered)"),
            ("monotone", "yes" if self.monotone else "no"),
            ("cost relative to ReLU", cost),
        ]

    def __str__(self) -> str:
        return "\n".join([repr(self.activation), *(f"  {name:<27} {value}" for name, value in self.rows())])

    def _repr_html_(self) -> str:
        from thalweg.show.notebook import pairs_html

        return pairs_html(repr(self.activation), self.rows())


def card(activation: Activation, *, measure: bool = False) -> Card:
    """The card of an activation; `measure` times it beside ReLU on the CPU."""
    x = line(activation.kinks)
    phi, slope = values(activation, x), derivative(activation, x)

    def derivative_of(at: "Tensor") -> "Tensor":
        return derivative(activation, at)

    saturation = saturated(derivative_of, x, slope)
    slopes = limits(derivative_of, x, slope)
    normal = NormalDist()
    forward, backward = cost(activation) if measure else (None, None)
    return Card(
        activation=activation,
        range=limits(lambda at: values(activation, at), x, phi),
        derivative_range=slopes,
        saturation=saturation,
        saturated_share=sum(normal.cdf(high) - normal.cdf(low) for low, high in saturation),
        gain=gain(activation),
        backward_gain=backward_gain(activation),
        torch_gain=torch_gain(activation),
        mean=expectation(lambda z: values(activation, z), activation.kinks),
        monotone=slopes[0] >= -1e-9 or slopes[1] <= 1e-9,
        forward_cost=forward,
        backward_cost=backward,
    )


def line(kinks: Sequence[float]) -> "Tensor":
    """The numbers φ is looked at: evenly in the logarithm from 1e-6 to 1e8 on both sides, and both sides of a kink."""
    half = torch.logspace(-6, 8, 14 * 800, dtype=torch.float64)
    sides = [k + side * max(abs(k), 1.0) * 1e-12 for k in kinks for side in (-1, 1)]
    return torch.cat([half, -half, torch.tensor([0.0, *sides], dtype=torch.float64)]).sort().values


def limits(function: "Callable[[Tensor], Tensor]", x: "Tensor", y: "Tensor") -> Span:
    """Infimum and supremum; infinite where the function still moves far out."""
    return 0.0 - supremum(lambda at: -function(at), x, -y), supremum(function, x, y)


def supremum(function: "Callable[[Tensor], Tensor]", x: "Tensor", y: "Tensor") -> float:
    near, far = (float(function(torch.tensor([-at, at], dtype=torch.float64)).max()) for at in FAR)
    if far > max(2 * near, near + 1):
        return inf
    for _ in range(3):  # a smooth maximum between two numbers: look closer
        top = int(y.argmax())
        low, high = x[max(top - 1, 0)], x[min(top + 1, len(x) - 1)]
        x = torch.cat([x[top : top + 1], torch.lerp(low, high, torch.linspace(0, 1, 1001, dtype=torch.float64))])
        y = function(x)
    return float(y.max()) + 0.0


def saturated(slope_of: "Callable[[Tensor], Tensor]", x: "Tensor", slope: "Tensor") -> tuple[Span, ...]:
    """The intervals where the derivative is small; their ends are found by bisection."""
    most = float(slope.abs().max())
    small = slope.abs() < SATURATED * most
    edges = torch.nonzero(small[1:] != small[:-1]).flatten()
    low, high = x[edges], x[edges + 1]
    for _ in range(60):
        middle = (low + high) / 2
        is_low = (slope_of(middle).abs() < SATURATED * most) == small[edges]
        low, high = torch.where(is_low, middle, low), torch.where(is_low, high, middle)
    ends = [float(v) for v in (low + high) / 2]
    ends = [-inf, *ends] if bool(small[0]) else ends
    ends = [*ends, inf] if bool(small[-1]) else ends
    return tuple(zip(ends[::2], ends[1::2], strict=True))


def torch_gain(activation: Activation) -> float | None:
    name = CONVENTIONS.get(type(activation).__name__)
    if name is None:
        return None
    return float(torch.nn.init.calculate_gain(name, getattr(activation, "slope", None)))


def shown_range(span: Span) -> str:
    low, high = (("∞" if end > 0 else "−∞") if isinf(end) else f"{end + 0.0:.4g}" for end in span)
    return f"{low} to {high}"


def shown_span(span: Span) -> str:
    low, high = (f"{0.0 if abs(end) < 1e-9 else end:.4g}" for end in span)
    if isinf(span[0]):
        return f"x < {high}"
    return f"x > {low}" if isinf(span[1]) else f"{low} < x < {high}"

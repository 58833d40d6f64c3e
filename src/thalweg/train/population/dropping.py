"""One ordinary network trained with the noise that it has as a member of a population."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.data.rows import Inputs, call
from thalweg.measure.untouched import untouched
from thalweg.train.population.calls import Calls
from thalweg.train.population.counter import MemberNoise, Workspace, drawn_shape, streams
from thalweg.train.population.recorder import DROPOUTS, RECURRENT, draws_of

BY_CHANNEL = frozenset((F.dropout1d, F.dropout2d, F.dropout3d, torch.feature_dropout, torch.feature_dropout_))
ALPHA = frozenset((F.alpha_dropout, torch.alpha_dropout, torch.alpha_dropout_))
ALPHA_BY_CHANNEL = frozenset((F.feature_alpha_dropout, torch.feature_alpha_dropout, torch.feature_alpha_dropout_))
IDLE = frozenset((F.alpha_dropout, F.feature_alpha_dropout))  # unless they are told to train
OTHERS = frozenset((F.scaled_dot_product_attention, Tensor.bernoulli_, *RECURRENT))
UNBATCHED = {F.dropout1d: 2, F.dropout3d: 4}  # dimensions of an input without rows


class Draw(NamedTuple):
    """One draw of a forward pass: its probability of dropping, its shape and kind."""

    p: float
    shape: tuple[int, ...]
    kind: str
    dtype: torch.dtype


class CounterDropout(Calls):
    """Whatever drops inside draws from the counter: calls of dropout, attention, recurrent layers, `bernoulli_`.

    The calls are numbered in their order, as a population numbers them.

    Args:
        seed: of the noise.
        workspace: on the device that is drawn on; its own on the CPU, where none is given.

    >>> layer = nn.Dropout(0.5)
    >>> with CounterDropout(seed=3).at(0):
    ...     layer(torch.ones(6))
    tensor([0., 0., 2., 0., 0., 0.])
    """

    def __init__(self, seed: int, workspace: Workspace | None = None) -> None:
        super().__init__()
        self.own, self.workspace = streams(seed), workspace or Workspace()
        self.draws: list[Draw] = []  # of a pass, in their order
        self.ahead: list[tuple[Draw, Tensor]] = []  # with their factors, those that were drawn before
        self.noise = MemberNoise.after(self.own, 0, self.workspace)

    def at(self, step: int) -> "CounterDropout":
        """Begins the forward pass of the step after so many updates."""
        self.draws = []
        self.noise = MemberNoise.after(self.own, step, self.workspace)
        return self

    def take(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if function in DROPOUTS:
            return self.dropout(function, *args, **kwargs)
        if function not in OTHERS or not draws_of(function, args, kwargs):
            return function(*args, **kwargs)
        if function in RECURRENT:
            return self.recurrent(function, *args, **kwargs)
        return self.attention(*args, **kwargs) if function is F.scaled_dot_product_attention else self.draw(*args)

    def next(self, draw: Draw) -> int:
        """The number of a draw that is about to be made."""
        self.draws.append(draw)
        return len(self.draws) - 1

    def drop(self, x: Tensor, p: float, kind: str = "elements") -> Tensor:
        draw = Draw(p, tuple(drawn_shape(x.shape, kind)), kind, x.dtype)
        layer = self.next(draw)
        if layer < len(self.ahead) and self.ahead[layer][0] == draw:
            return x * self.ahead[layer][1]
        if not kind.startswith("alpha"):  # x as it is: of x[None] the gradient would be a copy
            return x * self.noise.factors(draw.shape, p, layer=layer, dtype=x.dtype)[0]
        return self.noise.dropout(x[None], p, layer=layer, kind=kind)[0]

    def dropout(
        self,
        function: Any,
        input: Tensor,  # noqa: A002 - torch's name
        p: float = 0.5,
        training: bool | None = None,
        inplace: bool = False,
        train: bool = True,
    ) -> Tensor:
        """A call of one of torch's dropouts."""
        if not (function not in IDLE if training is None else training) or not train:
            return input
        kind = "elements"
        if function in BY_CHANNEL | ALPHA_BY_CHANNEL:
            kind = "channels" if function in BY_CHANNEL else "alpha channels"
        elif function in ALPHA:
            kind = "alpha"
        alone = input.dim() == UNBATCHED.get(function)
        dropped = self.drop(input[None], p, kind)[0] if alone else self.drop(input, p, kind)
        in_place = inplace or getattr(function, "__name__", "").endswith("_")
        return input.copy_(dropped) if in_place else dropped

    def draw(self, target: Tensor, keep: float = 0.5, **_: Any) -> Tensor:
        """`target.bernoulli_(keep)`."""
        layer = self.next(Draw(1 - keep, tuple(target.shape), "bernoulli", target.dtype))
        drawn = self.noise.bernoulli(target.shape, keep, layer=layer, dtype=target.dtype)
        return target.copy_(drawn[0])

    def attention(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> Tensor:
        """`scaled_dot_product_attention`, with its weights in sight."""
        if enable_gqa:
            repeats = query.shape[-3] // key.shape[-3]
            key, value = key.repeat_interleave(repeats, -3), value.repeat_interleave(repeats, -3)
        scores = query @ key.mT * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            attn_mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -torch.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        return self.drop(scores.softmax(-1), dropout_p) @ value

    def recurrent(
        self,
        function: Any,
        x: Tensor,
        hidden: Any,
        parameters: list[Tensor],
        has_biases: bool,
        num_layers: int,
        p: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool,
    ) -> tuple[Tensor, ...]:
        """A recurrent network layer by layer, with dropout between them on `[T, B, H]`, as torch has it."""
        x = x.transpose(0, 1) if batch_first else x
        directions = 2 if bidirectional else 1
        each = len(parameters) // num_layers
        lasts = []
        for layer in range(num_layers):
            own = slice(layer * directions, (layer + 1) * directions)
            first = hidden[own] if isinstance(hidden, Tensor) else tuple(h[own] for h in hidden)
            weights = parameters[layer * each : (layer + 1) * each]
            x, *last = function(x, first, weights, has_biases, 1, 0.0, train, bidirectional, False)
            lasts.append(last)
            x = self.drop(x, p) if layer < num_layers - 1 else x
        output = x.transpose(0, 1) if batch_first else x
        return output, *(torch.cat(parts) for parts in zip(*lasts, strict=True))


def dropout_rates(network: nn.Module, inputs: Inputs) -> list[float]:
    """The probabilities of a network's draws in a forward pass while training, in their order."""
    device = next((parameter.device for parameter in network.parameters()), "cpu")
    mode = CounterDropout(0, Workspace(device))
    with untouched(network, training=True), torch.no_grad(), mode.at(0):
        call(network, inputs)
    return [draw.p for draw in mode.draws]

"""Recurrent layers: the gates' inputs of all times in one product, then one step after the other for all members.

LSTM:  c = σ(f) c + σ(i) tanh(g),  h = σ(o) tanh(c)           i, f, g, o = W x + b + R h
GRU:   h = (1 − z) n + z h,  n = tanh(Wₙ x + bₙ + r (Rₙ h + dₙ))   r, z = σ(W x + b + R h + d)
RNN:   h = φ(W x + b + R h)
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Rule, Run, Value, rank, spread
from thalweg.train.population.rules.linear import linear
from thalweg.train.population.tape import NotBatched

State = tuple[Tensor, ...]  # [K, B, H] each
Weights = list[
    Tensor
]  # of one layer and direction, of each member: W, R, and b, d, and the projection, where there are
Cell = Callable[[list[Tensor], Weights, bool, State], tuple[list[Tensor], State]]


def lstm_cell(inputs: list[Tensor], weights: Weights, biased: bool, state: State) -> tuple[list[Tensor], State]:
    """Outputs of all times, and the last state, of the gates' inputs at each time `[K, B, 4H]`."""
    hidden, cell = state
    recurrent = weights[1].mT
    projection = weights[-1].mT if len(weights) in (3, 5) else None
    outputs = []
    for given in inputs:
        i, f, g, o = torch.baddbmm(given, hidden, recurrent).chunk(4, -1)
        cell = f.sigmoid() * cell + i.sigmoid() * g.tanh()
        hidden = o.sigmoid() * cell.tanh()
        if projection is not None:
            hidden = torch.bmm(hidden, projection)
        outputs.append(hidden)
    return outputs, (hidden, cell)


def gru_cell(inputs: list[Tensor], weights: Weights, biased: bool, state: State) -> tuple[list[Tensor], State]:
    (hidden,) = state
    recurrent, size = weights[1].mT, weights[1].shape[-1]
    offset = weights[3].unsqueeze(1) if biased else None
    outputs = []
    for given in inputs:
        own = torch.bmm(hidden, recurrent) if offset is None else torch.baddbmm(offset, hidden, recurrent)
        reset, keep = (given[..., : 2 * size] + own[..., : 2 * size]).sigmoid().chunk(2, -1)
        new = torch.addcmul(given[..., 2 * size :], reset, own[..., 2 * size :]).tanh()
        hidden = torch.lerp(new, hidden, keep)
        outputs.append(hidden)
    return outputs, (hidden,)


def rnn_cell_of(bend: Callable[[Tensor], Tensor]) -> Cell:
    def rnn_cell(inputs: list[Tensor], weights: Weights, biased: bool, state: State) -> tuple[list[Tensor], State]:
        (hidden,) = state
        recurrent = weights[1].mT
        outputs = []
        for given in inputs:
            hidden = bend(torch.baddbmm(given, hidden, recurrent))
            outputs.append(hidden)
        return outputs, (hidden,)

    return rnn_cell


def of(cell: Cell, *, one_offset: bool = True) -> Rule:
    """The rule of a recurrent layer of torch's.

    Args:
        cell: all times of one layer in one direction.
        one_offset: whether the two biases are added, so that both go with the inputs.
    """

    def recurrent(
        run: Run,
        input: Value,  # noqa: A002
        hx: Value | tuple[Value, ...] | list[Value],
        flat_weights: list[Value],
        has_biases: bool,
        num_layers: int,
        dropout: float,
        train: bool,
        bidirectional: bool,
        batch_first: bool = False,
    ) -> Any:
        if not isinstance(has_biases, bool):
            raise NotBatched("a recurrent layer runs over a packed sequence")
        first = hx if isinstance(hx, tuple | list) else (hx,)
        starts = [spread(part, run.members).unbind(1) for part in first]
        weights = [spread(weight, run.members) for weight in flat_weights]
        directions = 2 if bidirectional else 1
        per_layer = len(weights) // (num_layers * directions)
        x: Value = flipped(input) if batch_first else input
        ends: list[State] = []
        for layer in range(num_layers):
            if layer and dropout > 0 and train and run.noise is not None:
                assert isinstance(x, Each)  # [K, T, B, H]: elements are counted with the times first
                x = Each(run.noise.dropout(x.tensor, dropout, layer=run.layer + layer - 1))
            sides = []
            for backward in range(directions):
                number = layer * directions + backward
                own = weights[number * per_layer : (number + 1) * per_layer]
                inputs = gates(run, x, own, has_biases, one_offset)[:: -1 if backward else 1]
                outputs, state = cell(inputs, own, has_biases, tuple(start[number] for start in starts))
                sides.append(torch.stack(outputs[:: -1 if backward else 1], 1))
                ends.append(state)
            x = Each(sides[0] if directions == 1 else torch.cat(sides, -1))
        output = flipped(x) if batch_first else x
        return output, *(Each(torch.stack(part, 1)) for part in zip(*ends, strict=True))

    return recurrent


def gates(run: Run, x: Value, weights: Weights, biased: bool, one_offset: bool) -> list[Tensor]:
    """The gates' inputs `[K, B, G·H]` at each time, of x `[T, B, inputs]`."""
    offset = None
    if biased:
        offset = Each(weights[2] + weights[3] if one_offset else weights[2])
    found = linear(run, x, Each(weights[0]), offset)
    return list(found.tensor.unbind(1))


def cell_of(cell: Cell, *, one_offset: bool = True) -> Rule:
    """The rule of a cell of torch's: one step."""

    def step(
        run: Run,
        input: Value,  # noqa: A002
        hx: Value | tuple[Value, ...] | list[Value],
        w_ih: Value,
        w_hh: Value,
        b_ih: Value | None = None,
        b_hh: Value | None = None,
    ) -> Any:
        if rank(input) != 2:
            return NotImplemented
        given = [each for each in (w_ih, w_hh, b_ih, b_hh) if each is not None]
        weights = [spread(weight, run.members) for weight in given]
        state = tuple(spread(part, run.members) for part in (hx if isinstance(hx, tuple | list) else (hx,)))
        once = Each(input.tensor.unsqueeze(1)) if isinstance(input, Each) else input.unsqueeze(0)
        _, after = cell(gates(run, once, weights, len(given) == 4, one_offset), weights, len(given) == 4, state)
        return tuple(map(Each, after)) if isinstance(hx, tuple | list) else Each(after[0])

    return step


def flipped(x: Value) -> Value:
    """Rows and times exchanged."""
    return Each(x.tensor.transpose(1, 2)) if isinstance(x, Each) else x.transpose(0, 1)


RULES: dict[Any, Rule] = {
    torch.lstm: of(lstm_cell),
    torch.gru: of(gru_cell, one_offset=False),
    torch.rnn_tanh: of(rnn_cell_of(torch.tanh)),
    torch.rnn_relu: of(rnn_cell_of(torch.relu)),
    torch.lstm_cell: cell_of(lstm_cell),
    torch.gru_cell: cell_of(gru_cell, one_offset=False),
    torch.rnn_tanh_cell: cell_of(rnn_cell_of(torch.tanh)),
    torch.rnn_relu_cell: cell_of(rnn_cell_of(torch.relu)),
}

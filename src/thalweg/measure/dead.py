"""Dead units: ReLU units that no row of many activates, so that no gradient reaches their incoming weights (L05)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from thalweg.measure.calls import Call, Calls
from thalweg.readings import Reading


class DeadUnits:
    """Counts units that stay at exactly 0 over all rows that pass while attached.

    A unit is a feature of a ReLU or ReLU6, or a channel at all positions. Inactive on every row means a gradient of
    exactly 0 for its incoming weights from every row. One batch says little (70 % zeros are a healthy ReLU, and a rare
    feature may sleep through it); over a thousand distinct rows it is a fact.

    Args:
        network: the module that is called, in evaluation mode and with weights that stand still.

    >>> network = nn.Sequential(nn.Linear(3, 4), nn.ReLU())
    >>> _ = nn.init.constant_(network[0].bias, -100.0)
    >>> dead = DeadUnits(network)
    >>> with dead.attached(), torch.no_grad():
    ...     for batch in torch.randn(2000, 3).split(500):
    ...         _ = network(batch)
    >>> [(r.name, r.place, r.value, r.count) for r in dead.readings(step=7)]
    [('units.dead', '1', 1.0, 2000), ('units.alive', '1', 0, 4)]
    """

    def __init__(self, network: nn.Module) -> None:
        self._calls = Calls(network, self._note)
        self._largest: dict[str, Tensor] = {}
        self._rows: dict[str, int] = {}
        self._kinds: dict[str, str] = {}

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Watches the forward passes inside."""
        with self._calls.attached():
            yield

    def _note(self, call: Call) -> None:
        if call.shape is None or not call.shape.dies:
            return
        largest = call.largest()
        known = self._largest.get(call.place)
        if known is None or known.shape != largest.shape:
            self._largest[call.place], self._rows[call.place] = largest, 0
            self._kinds[call.place] = call.kind
        else:
            torch.maximum(known, largest, out=known)
        self._rows[call.place] += len(call.output)

    def readings(self, step: int) -> list[Reading]:
        """`units.dead` per layer, the share with the number of rows; `units.alive`, how many of how many."""
        found = []
        for place, largest in self._largest.items():
            alive, units, kind = int(largest.count_nonzero()), largest.numel(), self._kinds[place]  # synchronizes
            found.append(Reading("units.dead", 1 - alive / units, place, step, count=self._rows[place], note=kind))
            found.append(Reading("units.alive", alive, place, step, count=units, note=kind))
        return found

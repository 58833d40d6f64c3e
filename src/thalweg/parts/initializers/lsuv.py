"""LSUV, layer-sequential unit variance: the scale of each layer is measured on data (L11)."""

from dataclasses import dataclass

from thalweg.parts.initializers.orthogonal import Orthogonal
from thalweg.parts.optimizers.optimizer import in_range


@dataclass(frozen=True, kw_only=True)
class LSUV(Orthogonal):
    """Orthogonal weights, then each layer divided by the measured deviation of its outputs, in the order of their run.

        repeat:  W ← W / √Var[outputs on the example inputs]    until |Var − 1| ≤ tolerance

    It needs no formula for activation, fan or shortcut: whatever comes before a layer is measured. So it holds where
    the gain of a layer cannot be known, as for GELU and SiLU at depth. `fill_` alone is `Orthogonal`; the measuring
    needs a network, `tw.initialize(network, inputs, LSUV())`.

    Args:
        tolerance: of the variance, above 0. The source has 0.1; a layer linear in its weights takes one step anyway.
        max_iterations: steps per layer, at least 1; after them it stays as it is, and the table says how far it got.

    Raises:
        UsageError: for a value out of range.

    >>> LSUV(tolerance=0.05)
    LSUV(tolerance=0.05, max_iterations=10)

    Source: Mishkin, Matas 2016, "All you need is a good init". torch has none. Recurrent layers, whose outputs are
    bounded by their gates, keep the orthogonal start.
    """

    tolerance: float = 0.01
    max_iterations: int = 10

    def __post_init__(self) -> None:
        self._check("tolerance", in_range(self.tolerance, 0) and self.tolerance != 0, "a number above 0")
        whole = isinstance(self.max_iterations, int) and in_range(self.max_iterations, 1)
        self._check("max_iterations", whole, "an integer of at least 1")

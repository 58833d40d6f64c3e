"""Several preparations, one after the other."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError
from thalweg.parts.preprocessing.preparation import Preparation
from thalweg.parts.preprocessing.table import Table

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.data.rows import AnyRows
    from thalweg.parts.preprocessing.measured import Measured
    from thalweg.parts.preprocessing.modules.each import Each
    from thalweg.parts.preprocessing.modules.fitted import Fitted


@dataclass(frozen=True, init=False)
class Chain(Preparation):
    """Parts in their order, each fitted on what those before it make of the training rows.

    Args:
        links: the parts, in their order; at least one.
        parts: the same as a sequence, as JSON has it.

    Raises:
        UsageError: for what is no part, for none, or for a Table.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> from thalweg.parts.preprocessing import Log, Standardize
    >>> x = torch.tensor([[0.0], [1.0], [3.0], [1000.0]])
    >>> chain = Chain(Log(), Standardize()).fit(Rows(x, torch.zeros(4), torch.arange(4), "train"))
    >>> chain(x).flatten()
    tensor([-0.8214, -0.5680, -0.3146,  1.7040])
    >>> chain.inverse(chain(x)).flatten().round()
    tensor([   0.,    1.,    3., 1000.])

    Source: lecture rows L12 and L13. As scikit-learn's Pipeline; between the parts float64 stays float64.
    """

    parts: tuple[Preparation, ...]

    def __init__(self, *links: Preparation, parts: Iterable[Preparation] = ()) -> None:
        object.__setattr__(self, "parts", (*links, *parts))
        good = bool(self.parts) and all(isinstance(part, Preparation) for part in self.parts)
        self._check("parts", good, "parts of tw.preprocessing, as in Chain(Log(), Standardize())")
        table = any(isinstance(part, Table) for part in self.parts)
        self._check("parts", not table, "parts other than Table, which takes the chain: Table(numbers=Chain(...))")

    @property
    def for_targets(self) -> bool:  # type: ignore[override]
        return all(part.for_targets for part in self.parts)

    def measure(self, rows: "AnyRows") -> "Measured":
        """Raises `UsageError`: what a link measures depends on how those before it were fitted."""
        raise UsageError("A Chain is fitted link by link. Use fit(rows), or measure the parts one after the other.")

    def _fit(self, rows: "AnyRows", before: "Fitted | Each | None") -> "Fitted | Each":
        for part in self.parts:
            before = part._fit(rows, before)
        assert before is not None
        return before

    def start(self, num_columns: int) -> Any:
        raise NotImplementedError("a chain has no state of its own")

    def finish(self, state: Any, sample: "Tensor") -> "Fitted":
        raise NotImplementedError("a chain has no state of its own")

"""What every preparation of the inputs is, as plain data: fitted on training rows it becomes a module (L12)."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from thalweg.parts.part import Part

if TYPE_CHECKING:
    from torch import Tensor

    from thalweg.data.rows import AnyRows
    from thalweg.parts.preprocessing.measured import Measured, State
    from thalweg.parts.preprocessing.modules.each import Each
    from thalweg.parts.preprocessing.modules.fitted import Fitted

Per = Literal["auto", "column", "tensor"]


@dataclass(frozen=True, kw_only=True)
class Preparation(Part, ABC):
    """How inputs are prepared before the network sees them.

    `fit(rows)` gives a module whose buffers hold what was measured, so that it travels with the model and its exports.
    `measure(rows)` gives the measurements alone, which merge over batches, workers, ranks and folds.
    Of a tuple or dict of inputs each tensor is prepared by itself; indices (int32, int64) pass through.

    >>> import torch
    >>> from thalweg.data.rows import Rows
    >>> from thalweg.parts.preprocessing import Standardize
    >>> rows = Rows(torch.tensor([[1.0], [3.0]]), torch.zeros(2), torch.arange(2), "train")
    >>> Standardize().measure(rows).build()(torch.tensor([[4.0]]))
    tensor([[2.]])
    """

    title: ClassVar[str] = ""  # the subject of a message about its fitting
    few_images_do: ClassVar[bool] = False  # whether 2,048 images in files tell enough: they hold pixels enough
    takes_indices: ClassVar[bool] = False  # whether inputs that are nothing but indices are no mistake
    for_targets: ClassVar[bool] = True  # whether each number can be told from its prepared one

    def fit(self, rows: "AnyRows") -> "Fitted | Each":
        """The module with what was measured on training rows.

        Rows that are not in memory are read once (a `Chain` once per link), in their order, a batch at a time.

        Raises:
            DataError: for validation or test rows, and for inputs that are not finite: their columns are named.
        """
        return self._fit(rows, None)

    def measure(self, rows: "AnyRows") -> "Measured":
        """What `fit` measures, before it becomes a module: it merges, and serves k folds. Raises as `fit` does."""
        from thalweg.parts.preprocessing.measured import measure

        return measure(self, rows, None)

    def _fit(self, rows: "AnyRows", before: "Fitted | Each | None") -> "Fitted | Each":
        """`fit` on what `before` makes of the rows."""
        from thalweg.parts.preprocessing.measured import measure

        return measure(self, rows, before).build()

    def arrange(self, values: "Tensor") -> "Tensor":
        """A batch of one tensor as the state takes it: `[N, C, ...]`, C the columns or channels."""
        from thalweg.parts.preprocessing.columns import columns

        return columns(values)

    @abstractmethod
    def start(self, num_columns: int) -> "State":
        """The state before the first row, for so many columns of `arrange`."""

    @abstractmethod
    def finish(self, state: Any, sample: "Tensor") -> "Fitted":
        """The module of one tensor, of which `sample` are some rows."""


@dataclass(frozen=True, kw_only=True)
class PerColumn(Preparation):
    """A preparation with numbers of its own for each column or channel, or for a whole tensor of one unit.

    Args:
        per: `"column"` has one for each column of `[N, F]`, or channel: dimension 1 of `[N, C, H, W]` and of more
            dimensions, of `[N, ., .]` the shorter one; `"tensor"` has one for all. `"auto"` chooses:

            - columns of `[N, F]`, but one for all where they share a unit: at least 16 columns that together take no
              more than 256 different values, two thirds of which span at least half of the common range (pixels of a
              flattened picture, however scaled). A border pixel that is nearly always 0 would else be blown up.
            - channels of `[N, C, H, W]`.
            - the whole of 3 dimensions, for pictures `[N, H, W]` and sequences `[N, T, C]` alike; except where that
              would leave a channel with less than 1 % of the spread, which different units do.
    """

    per: Per = "auto"

    def __post_init__(self) -> None:
        self._check("per", self.per in ("auto", "column", "tensor"), "'auto', 'column' or 'tensor'")

    def finish(self, state: Any, sample: "Tensor") -> "Fitted":
        from thalweg.parts.preprocessing.columns import layout

        pooled, shape = layout(sample, self.per)
        return self._module(state.pooled() if pooled else state, shape)

    @abstractmethod
    def _module(self, state: Any, shape: tuple[int, ...]) -> "Fitted":
        """The module, its numbers in the given shape, which broadcasts against a row."""

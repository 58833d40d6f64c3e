"""What a preparation measures on training rows: in memory or streaming, mergeable, then made a module."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor

from thalweg.data.feeder import Feeder
from thalweg.data.images import GuardedImages
from thalweg.data.rows import AnyRows, Batch, DatasetRows, Inputs, Rows, map_inputs, tensors_of
from thalweg.data.sample import spread
from thalweg.data.seal import require_training
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.columns import SAMPLE_ROWS, as_rows, columns, sample
from thalweg.parts.preprocessing.modules.each import Each, after
from thalweg.parts.preprocessing.modules.fitted import TOKENS, Fitted, Keep
from thalweg.parts.preprocessing.preparation import Preparation

READ_ROWS = 256  # at once, of rows that are not in memory
BLOCK = 2**22  # values at once of rows in memory: 32 MiB of float64, so that a memory map of any size is measured
NAMED = 5  # columns in a message


class State(Protocol):
    """Sums over values that merge."""

    @property
    def count(self) -> int: ...

    def update(self, batch: Tensor) -> Self: ...

    def merge(self, other: Self) -> Self: ...

    def subtract(self, other: Self) -> Self: ...

    @property
    def is_finite(self) -> bool: ...


@dataclass(frozen=True, eq=False)
class Measured:
    """What a part measured on some training rows: merged over batches, workers, ranks and folds, then `build`.

    Args:
        part: what measured.
        states: one for each tensor of the inputs; None of indices.
        samples: some rows of each tensor, by which is told which columns share a unit.
        names: of a dict's entries; None of a tuple; empty for a single tensor.
        before: what prepared the rows before they were measured.

    >>> from thalweg.parts.preprocessing import Standardize
    >>> def rows(*values):
    ...     return Rows(torch.tensor(values)[:, None], torch.zeros(len(values)), torch.arange(len(values)), "train")
    >>> folds = [Standardize().measure(rows(1.0, 2.0)), Standardize().measure(rows(4.0, 8.0))]
    >>> whole = folds[0].merge(folds[1])
    >>> [whole.subtract(fold).build().mean.item() for fold in folds]
    [6.0, 1.5]
    """

    part: Preparation
    states: tuple[State | None, ...]
    samples: tuple[Tensor, ...]
    names: tuple[str, ...] | None = ()
    before: Fitted | Each | None = None

    def merge(self, other: "Measured") -> "Measured":
        """What was measured on both. Raises `UsageError` where another part measured, or other inputs."""
        self._require_alike(other)
        pairs = zip(self.samples, other.samples, strict=True)
        samples = tuple(sample(torch.cat(pair)) for pair in pairs)
        return replace(self, states=self._with(other, "merge"), samples=samples)

    def subtract(self, other: "Measured") -> "Measured":
        """Without what was measured on the other rows, which must be among these.

        Raises:
            UsageError: for what cannot be taken out, as a range or a median, where the other folds are merged instead;
                and for more rows than these.
        """
        self._require_alike(other)
        counts = [[state.count for state in of.states if state is not None] for of in (self, other)]
        if any(all_ < some for all_, some in zip(*counts, strict=True)):
            raise UsageError(f"{counts[1]} values cannot be among {counts[0]}: take the part out of the whole.")
        return replace(self, states=self._with(other, "subtract"))

    def build(self) -> Fitted | Each:
        """The module. Raises `DataError` where the rows do not allow it."""
        pairs = zip(self.states, self.samples, strict=True)
        parts = [Keep() if state is None else self.part.finish(state, some) for state, some in pairs]
        then = Each(parts, self.names) if self.names != () else parts[0]
        return after(self.before, then)

    def _with(self, other: "Measured", verb: str) -> tuple[State | None, ...]:
        pairs = zip(self.states, other.states, strict=True)
        return tuple(None if one is None else getattr(one, verb)(two) for one, two in pairs)

    def _require_alike(self, other: "Measured") -> None:
        shapes = [[list(s.shape[1:]) for s in measured.samples] for measured in (self, other)]
        if self.part != other.part or self.names != other.names or shapes[0] != shapes[1]:
            raise UsageError(
                f"Measurements of {self.part} on rows of {shapes[0]} and of {other.part} on rows of {shapes[1]} have "
                "no common sum. Measure both with the same part, on rows of the same shapes."
            )


def measure(part: Preparation, rows: AnyRows, before: Fitted | Each | None) -> Measured:
    """One pass over training rows, as `before` prepares them; see `Preparation.measure`."""
    if not isinstance(rows, AnyRows):
        raise UsageError(
            f"{type(part).__name__} got {type(rows).__name__}; it is fitted on training rows: experiment.data.train, "
            "or Rows(x, target, ids, 'train') of thalweg.data.rows. Plan(preprocessing=...) does it by itself."
        )
    require_training(rows, part.title or type(part).__name__)
    if not len(rows):
        raise DataError(f"{type(part).__name__} got no training rows to measure.")
    if part.few_images_do and isinstance(rows, DatasetRows) and isinstance(rows.dataset, GuardedImages):
        rows = spread(rows, SAMPLE_ROWS)
    some = prepared(before, some_of(rows))
    refuse_unfit(part, some)
    samples = tuple(sample(value) for value in tensors_of(some))
    states: list[State | None] = [
        None if value.dtype in TOKENS else part.start(part.arrange(value[:1]).shape[1]) for value in samples
    ]
    for inputs in batches(rows, before):
        pairs = zip(states, tensors_of(inputs), strict=True)
        states = [None if state is None else state.update(part.arrange(value)) for state, value in pairs]
    if not all(state is None or state.is_finite for state in states):
        raise not_finite(batches(rows, before))
    names = () if isinstance(some, Tensor) else tuple(some) if isinstance(some, dict) else None
    return Measured(part, tuple(states), samples, names, before)


def refuse_unfit(part: Preparation, some: Inputs) -> None:
    """Raises `DataError` for complex numbers, and where nothing is there to prepare: of indices alone only the
    automatic choice makes no mistake.
    """
    dtypes = [value.dtype for value in tensors_of(some)]
    if any(dtype.is_complex for dtype in dtypes):
        raise DataError(
            f"{type(part).__name__} got complex inputs. Give real and imaginary parts as columns: "
            "torch.view_as_real(x).flatten(1)."
        )
    if any(0 in value.shape[1:] for value in tensors_of(some)):
        shapes = [list(value.shape[1:]) for value in tensors_of(some)]
        raise DataError(f"{type(part).__name__} got rows of the shapes {shapes}, in which there are no values.")
    if not part.takes_indices and all(dtype in TOKENS for dtype in dtypes):
        raise DataError(
            f"{type(part).__name__} got inputs of {dtypes[0]}, which holds indices, and they pass through. Where they "
            "are quantities, give them as floats: x.float()."
        )


def some_of(rows: AnyRows) -> Inputs:
    """Some rows, from the whole length where it is known."""
    if isinstance(rows, Rows):
        return map_inputs(sample, rows.inputs)
    return next(in_order(spread(rows, SAMPLE_ROWS), SAMPLE_ROWS))


def batches(rows: AnyRows, before: Fitted | Each | None) -> Iterator[Inputs]:
    """All rows once, prepared so far."""
    if not isinstance(rows, Rows):
        yield from (prepared(before, inputs) for inputs in in_order(rows, READ_ROWS))
    else:
        size = max(BLOCK // max(max(value[:1].numel() for value in tensors_of(rows.inputs)), 1), 1)
        for start in range(0, max(len(rows), 1), size):
            block = slice(start, start + size)
            yield prepared(before, map_inputs(lambda value, block=block: value[block], rows.inputs))  # type: ignore[misc]


def prepared(before: Fitted | Each | None, inputs: Inputs) -> Inputs:
    return inputs if before is None else before.between(inputs)  # type: ignore[arg-type]


def in_order(rows: AnyRows, batch_size: int) -> Iterator[Inputs]:
    """The inputs of all rows, batch by batch; of a step's batches the inputs in them.

    Raises:
        DataError: where their shapes differ, so that no column is the same in all.
    """
    first: list[list[int]] = []
    for inputs, _ in Feeder(rows, batch_size=batch_size, seed=0, shuffle=False).epoch(0):
        if isinstance(inputs, Batch):
            inputs = inputs.value[0]
        shapes = [list(value.shape[1:]) for value in tensors_of(inputs)]
        first = first or shapes
        if shapes != first:
            raise DataError(
                f"The inputs' shapes differ from batch to batch (rows of {first}, then of {shapes}), and no columns "
                "can be standardized. Leave preprocessing at 'none' and prepare the items in the Dataset."
            )
        yield inputs


def not_finite(read: Iterator[Inputs]) -> DataError:
    """The error that names the columns that hold NaN or infinities, and counts them in a pass of its own."""
    counts: dict[str, Tensor] = {}
    rows = 0
    for inputs in read:
        values = tensors_of(inputs)
        rows += len(values[0])
        names = list(inputs) if isinstance(inputs, dict) else range(len(values))
        for name, value in zip(names, values, strict=True):
            what = "The input" if len(values) == 1 else f"Input {name!r}"
            kinds = [v.sum(0) for v in (as_rows(columns(value.isnan())), as_rows(columns(value.isinf())))]
            counts[what] = counts.get(what, torch.zeros(1)) + torch.stack(kinds)
    for what, (nans, infinities) in counts.items():
        places = (nans + infinities).nonzero().flatten().tolist()
        if places:
            told = [f"column {i} ({int(nans[i]):,} NaN, {int(infinities[i]):,} infinite)" for i in places[:NAMED]]
            more = f" and {len(places) - NAMED:,} more columns" if len(places) > NAMED else ""
            return DataError(
                f"{what} holds values that are not finite: {', '.join(told)}{more}, of {rows:,} rows. Leave these rows "
                "out, or fill in the values."
            )
    return DataError("The input holds numbers whose squares are beyond float64. Divide them by a large unit.")

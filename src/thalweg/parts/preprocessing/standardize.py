"""Subtract the mean, divide by the standard deviation; fitted on training rows, stored inside the model (L12)."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.images import GuardedImages
from thalweg.data.rows import AnyRows, Batch, DatasetRows, Inputs, Rows, tensors_of
from thalweg.data.sample import spread
from thalweg.data.seal import require_training
from thalweg.errors import DataError
from thalweg.parts.preprocessing.moments import Moments

TOKENS = (torch.int32, torch.int64)
NUM_LEVELS = 256  # a pixel of a byte; any affine scaling of it has no more levels
MIN_COLUMNS = 16  # the smallest picture, 4 × 4
SAMPLE_ROWS, SAMPLE_VALUES = 2048, 2**20
READ_ROWS = 256  # at once, of rows that are not in memory


class Affine(nn.Module):
    """y = (x − mean) / scale for one tensor, and its inverse.

    The mean is kept in two float32 numbers, `mean + rest`, which together have 48 bits: at an offset of 1e6 one number
    alone would be wrong by 3 % of a standard deviation of 1.

    Args:
        mean: broadcasts against a row of x.
        scale: the same, above 0.
    """

    mean: Tensor
    rest: Tensor
    scale: Tensor

    def __init__(self, mean: Tensor, scale: Tensor) -> None:
        super().__init__()
        self.register_buffer("mean", mean.float())
        self.register_buffer("rest", (mean.double() - self.mean.double()).float())
        self.register_buffer("scale", scale.float())

    def forward(self, x: Tensor) -> Tensor:
        """y, in float32 (or the dtype that the module was cast to); float16 and bfloat16 stay what they are."""
        work = self._work(x)
        y = x.to(work)
        y = y - self.mean.to(work) if y is x else y.sub_(self.mean.to(work))  # before any cast to fewer bits
        return y.sub_(self.rest.to(work)).div_(self.scale.to(work)).to(self._out(x))

    def inverse(self, y: Tensor) -> Tensor:
        """x = y · scale + mean."""
        work = self._work(y)
        x = y.to(work) * self.scale.to(work)
        return x.add_(self.rest.to(work)).add_(self.mean.to(work)).to(self._out(y))

    def _work(self, x: Tensor) -> torch.dtype:
        return torch.float64 if torch.float64 in (x.dtype, self.scale.dtype) else torch.float32

    def _out(self, x: Tensor) -> torch.dtype:
        return x.dtype if x.dtype in (torch.float16, torch.bfloat16) else self.scale.dtype

    def extra_repr(self) -> str:
        return "one mean and scale" if self.mean.numel() == 1 else f"{self.mean.numel():,} means and scales"


class Standardize(Affine):
    """Standardizes one tensor of inputs; `Standardize.fit(rows)` measures mean and scale on training rows.

    One mean and one scale are kept for each
    - column of `[N, F]`; but columns of one common unit share theirs: at least 16 columns that together take no more
      than 256 different values, two thirds of which span at least half of the common range (pixels of a flattened
      picture, however scaled). A border pixel that is nearly always 0 would else be blown up by its tiny deviation.
    - channel (dimension 1) of `[N, C, H, W]` and of more dimensions.
    - tensor of 3 dimensions as a whole, for pictures `[N, H, W]` and sequences `[N, T, C]` or `[N, C, L]` alike; except
      where a whole scale would leave a channel with less than 1 % of the spread, which different units do: then each
      channel, the shorter of the two dimensions, has its own.

    A constant column becomes 0. Indices (int32, int64) pass through as they are; uint8, int16 and bool are numbers.

    >>> rows = Rows(torch.tensor([[1.0, 7.0], [3.0, 7.0]]), torch.zeros(2), torch.arange(2), "train")
    >>> standardize = Standardize.fit(rows)
    >>> standardize(rows.inputs)
    tensor([[-1.,  0.],
            [ 1.,  0.]])
    >>> standardize.inverse(torch.tensor([[0.0, 0.0]]))
    tensor([[2., 7.]])

    Differs from scikit-learn's StandardScaler in the shared units, and in dimensions above 2. Source: lecture row L12.
    """

    @staticmethod
    def fit(rows: AnyRows) -> "Standardize | StandardizeEach":
        """Measures the training rows; for a tuple or dict of inputs, each tensor on its own.

        Rows that are not in memory are read once, in their order, a batch at a time. Of images in files 2,048 are
        read, spread over all: they hold pixels enough.

        Raises:
            DataError: for validation or test rows, and for inputs that are not finite.
        """
        require_training(rows, "Standardization")
        if isinstance(rows, DatasetRows) and isinstance(rows.dataset, GuardedImages):
            rows = spread(rows, SAMPLE_ROWS)
        if isinstance(rows, Rows):
            some, batches = rows.inputs, iter([rows.inputs])
        else:
            some = next(iter(in_order(spread(rows, SAMPLE_ROWS), SAMPLE_ROWS)))
            batches = in_order(rows, READ_ROWS)
        moments = [Moments.empty(num_columns(value)) for value in tensors_of(some)]
        for inputs in batches:
            moments = [
                state if value.dtype in TOKENS else state.update(columns(value))
                for state, value in zip(moments, tensors_of(inputs), strict=True)
            ]
        parts = [fit_tensor(value, state) for value, state in zip(tensors_of(some), moments, strict=True)]
        if isinstance(some, Tensor):
            return parts[0]
        return StandardizeEach(parts, tuple(some) if isinstance(some, dict) else None)

    def forward(self, x: Tensor) -> Tensor:
        return x if x.dtype in TOKENS else super().forward(x)

    def inverse(self, y: Tensor) -> Tensor:
        return y if y.dtype in TOKENS else super().inverse(y)

    @property
    def form(self) -> str:
        """What `restore` needs beside the state."""
        return "tensor"


class StandardizeEach(nn.Module):
    """A `Standardize` for each tensor of a tuple or dict of inputs."""

    def __init__(self, parts: list[Standardize], names: tuple[str, ...] | None) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)
        self.names = names

    def forward(self, inputs: Inputs) -> Inputs:
        return self._each(lambda part, value: part(value), inputs)

    def inverse(self, inputs: Inputs) -> Inputs:
        return self._each(lambda part, value: part.inverse(value), inputs)

    def _each(self, function: Callable[[Any, Tensor], Tensor], inputs: Inputs) -> Inputs:
        if self.names is None:
            return tuple(function(part, value) for part, value in zip(self.parts, tensors_of(inputs), strict=True))
        assert isinstance(inputs, dict)
        return {name: function(part, inputs[name]) for name, part in zip(self.names, self.parts, strict=True)}

    @property
    def form(self) -> str | list[str]:
        """What `restore` needs beside the state."""
        return "tuple" if self.names is None else list(self.names)


class TargetScale(Affine):
    """Standardizes a regression target: `forward` into the network's unit, `inverse` back into the target's.

    `[N]` has one mean and scale, `[N, T]` one per column. A constant target becomes 0.

    >>> rows = Rows(torch.zeros(2, 1), torch.tensor([10.0, 30.0]), torch.arange(2), "train")
    >>> scale = TargetScale.fit(rows)
    >>> scale(rows.target), scale.inverse(torch.tensor([0.5]))
    (tensor([-1.,  1.]), tensor([25.]))
    """

    @staticmethod
    def fit(rows: AnyRows) -> "TargetScale":
        """Measures the targets of training rows.

        Raises:
            DataError: for validation or test rows, class indices, and targets that are not finite.
        """
        require_training(rows, "The target's scale")
        if not rows.target.is_floating_point():
            raise DataError(f"Only a regression target is scaled; received {rows.target.dtype}, which holds classes.")
        moments = Moments.of(rows.target.reshape(len(rows), -1))
        return TargetScale(*mean_and_scale(moments, rows.target.shape[1:], "The target"))


def restore(state: Mapping[str, Tensor], form: str | list[str]) -> Standardize | StandardizeEach:
    """The module whose `state_dict()` and `form` these are.

    >>> rows = Rows(torch.rand(8, 3), torch.zeros(8), torch.arange(8), "train")
    >>> standardize = Standardize.fit(rows)
    >>> torch.equal(restore(standardize.state_dict(), standardize.form)(rows.inputs), standardize(rows.inputs))
    True
    """
    prefixes = [""] if form == "tensor" else [f"parts.{i}." for i in range(len(state) // 3)]
    parts = []
    for prefix in prefixes:
        part = Standardize(state[f"{prefix}mean"], state[f"{prefix}scale"])
        part.load_state_dict({name: state[prefix + name] for name in part.state_dict()})
        parts.append(part)
    return parts[0] if form == "tensor" else StandardizeEach(parts, None if form == "tuple" else tuple(form))


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


def columns(values: Tensor) -> Tensor:
    """Values as `[N, C, ...]`, C the columns or channels; of `[N, ., .]` the shorter dimension."""
    if values.ndim == 1:
        return values[:, None]
    return values.transpose(1, 2) if values.ndim == 3 and values.shape[2] < values.shape[1] else values


def num_columns(values: Tensor) -> int:
    return columns(values[:1]).shape[1]


def fit_tensor(values: Tensor, moments: Moments) -> Standardize:
    """The standardization of one tensor `[N, ...]` of training inputs, of which `values` may be a sample."""
    rank = values.ndim
    if values.dtype in TOKENS:
        return Standardize(torch.zeros(()), torch.ones(()))
    if rank >= 4:
        return Standardize(*mean_and_scale(moments, (values.shape[1], *[1] * (rank - 2)), "The input"))
    if rank == 3:
        return fit_rank_3(values, moments)
    if rank == 1 or share_a_unit(values):
        return Standardize(*mean_and_scale(moments.pooled(), (), "The input"))
    return Standardize(*mean_and_scale(moments, moments.mean.shape, "The input"))


def fit_rank_3(values: Tensor, moments: Moments) -> Standardize:
    _, first, second = values.shape
    last = second < first  # whether the channels, the shorter dimension, are the last one
    whole = moments.pooled()
    std = moments.std[moments.std > 0]
    if first != second and bool((std < whole.std / 100).any()) and not has_few_levels(sample(values)):
        return Standardize(*mean_and_scale(moments, (second,) if last else (first, 1), "The input"))
    return Standardize(*mean_and_scale(whole, (), "The input"))


def mean_and_scale(moments: Moments, shape: tuple[int, ...], what: str) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation in the given shape, where what is constant has scale 1.

    Raises:
        DataError: where they are not finite.
    """
    mean, std = moments.mean, moments.std
    if not bool(mean.isfinite().all() and std.isfinite().all()):
        raise DataError(f"{what} holds values that are not finite. Leave these rows out, or fill in the values.")
    constant = std <= 1e-14 * mean.abs()  # float64's own rounding, below which nothing was measured
    return mean.reshape(shape), torch.where(constant, 1.0, std).reshape(shape)


def share_a_unit(values: Tensor) -> bool:
    """Whether the columns `[N, F]` look like pixels: few levels altogether, most columns as wide as the widest."""
    if values.shape[1] < MIN_COLUMNS:
        return False
    some = sample(values)
    if not has_few_levels(some):
        return False
    width = some.amax(0).double() - some.amin(0).double()
    common = some.max().double() - some.min().double()
    return bool((width[width > 0] >= common / 2).double().mean() >= 2 / 3)


def has_few_levels(values: Tensor) -> bool:
    """Whether at most 256 different values occur."""
    return len(torch.unique(values)) <= NUM_LEVELS


def sample(values: Tensor) -> Tensor:
    """At most 2,048 rows from the whole length, and about a million values."""
    count = min(SAMPLE_ROWS, max(SAMPLE_VALUES // max(values[:1].numel(), 1), 1))
    return values[:: max(len(values) // count, 1)][:count]

"""Windows of one long sequence: inputs and next tokens."""

from typing import Any

from torch import Tensor

from thalweg.data.arrays import to_tensor
from thalweg.errors import DataError, UsageError


def windows(tokens: Any, length: int, stride: int | None = None) -> tuple[Tensor, Tensor]:
    """Windows of a sequence and, for each of their positions, the token that follows.

    Windows are in the order of the sequence. `Experiment(train=(x, y), time=range(len(x)))` splits them in that order:
    without overlap (the default stride) no window, and no token to predict, is then in two parts. Windows that overlap
    share tokens across the cut: cut the sequence first, and give each part its own windows.

    Args:
        tokens: `[M]` whole numbers: a tensor, an array or a list.
        length: positions per window, from 1.
        stride: tokens between the starts of two windows, from 1; `length` by default. What is left over at the end is
            dropped.

    Returns:
        `x` and `y`, both `[N, length]`, with `y[i, t] = tokens[i * stride + t + 1]`.

    Raises:
        DataError: for tokens that are no sequence of whole numbers, or shorter than one window and the token after it.
        UsageError: for a length or stride below 1.

    >>> x, y = windows([0, 1, 2, 3, 4, 5, 6], length=3)
    >>> x.tolist(), y.tolist()
    ([[0, 1, 2], [3, 4, 5]], [[1, 2, 3], [4, 5, 6]])
    """
    sequence = to_tensor(tokens, "The sequence")
    if sequence.ndim != 1 or sequence.is_floating_point():
        raise DataError(
            f"The sequence must be whole numbers of shape [M]; received {list(sequence.shape)} ({sequence.dtype}). "
            "Number the tokens from 0."
        )
    step = length if stride is None else stride
    for name, value in (("length", length), ("stride", step)):
        if value < 1:
            raise UsageError(f"{name} got {value!r}; allowed: an integer of at least 1.")
    if len(sequence) <= length:
        raise DataError(f"A window of {length:,} positions needs {length + 1:,} tokens; received {len(sequence):,}.")
    sequence = sequence.long()
    return sequence[:-1].unfold(0, length, step), sequence[1:].unfold(0, length, step)

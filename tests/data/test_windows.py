"""Windows of a sequence."""

import pytest
import torch

from thalweg.data.split import split_rows
from thalweg.data.windows import windows
from thalweg.errors import DataError, UsageError


@pytest.mark.parametrize("stride", [None, 1, 3])
def test_targets_are_the_next_tokens(stride) -> None:
    x, y = windows(list(range(50)), 7, stride)
    assert torch.equal(y, x + 1)
    assert x[:, 0].tolist() == list(range(0, 50 - 7, stride or 7))


def test_split_by_time_no_token_is_predicted_in_two_parts() -> None:
    x, y = windows(torch.arange(1000), 8)
    split = split_rows(len(x), labels=None, validation=0.2, test=0.2, seed=0, time=range(len(x)))
    parts = [set(y[rows].flatten().tolist()) for rows in (split.train, split.validation, split.test)]
    assert max(parts[0]) < min(parts[1]) < max(parts[1]) < min(parts[2])


@pytest.mark.parametrize(
    ("tokens", "length", "stride", "error", "message"),
    [
        ([1, 2, 3], 3, None, DataError, "needs 4 tokens; received 3"),
        ([[1, 2], [3, 4]], 1, None, DataError, r"shape \[M\]"),
        ([0.5, 1.0, 2.0], 1, None, DataError, "whole numbers"),
        ([1, 2, 3], 0, None, UsageError, "length got 0"),
        ([1, 2, 3], 1, 0, UsageError, "stride got 0"),
    ],
)
def test_what_does_not_fit_is_refused(tokens, length, stride, error, message) -> None:
    with pytest.raises(error, match=message):
        windows(tokens, length, stride)

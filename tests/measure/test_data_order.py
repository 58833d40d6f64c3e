"""The order of classes over batches."""

import numpy as np
import torch

from thalweg.measure.data_order import describe_order
from thalweg.readings import Readings


def order(codes: torch.Tensor, size: int) -> Readings:
    return Readings(describe_order(codes, [size] * (len(codes) // size)))


def test_shuffled_rows_are_rejected_as_often_as_the_level_says() -> None:
    draw = np.random.default_rng(0)
    levels = [order(torch.tensor(draw.integers(0, 5, 1280)), 64).value("order.level") for _ in range(200)]
    assert 0.02 < float(np.mean(np.array(levels) < 0.05)) < 0.09


def test_sorted_rows() -> None:
    found = order(torch.arange(4000) // 400, 64)
    assert found.value("order.level") < 1e-100  # type: ignore[operator]
    assert found.value("order.largest") > 0.9  # type: ignore[operator]
    assert 5 < found.value("order.run") < 8  # type: ignore[operator]


def test_one_batch_per_class_in_turn() -> None:
    found = order((torch.arange(1280) // 64) % 4, 64)
    assert found.value("order.run") == 1


def test_too_little_to_tell() -> None:
    assert describe_order(torch.arange(256) % 2, [64] * 4) == []
    assert describe_order(torch.zeros(640), [64] * 10) == []


def test_small_batches_and_a_short_last_one_are_put_together() -> None:
    assert describe_order(torch.arange(1210) // 303, [4] * 302 + [2])[0].value < 1e-100
    mixed = torch.randint(0, 4, (1210,), generator=torch.Generator().manual_seed(0))
    assert describe_order(mixed, [4] * 302 + [2])[0].value > 1e-3

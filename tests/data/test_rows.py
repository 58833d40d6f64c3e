"""Batches of any form: their rows, and what can be taken out of them."""

import pytest
import torch
from torch import Tensor

from thalweg.data.batches import as_batch, collate_plain, describe, structure
from thalweg.data.rows import Batch, call, is_divisible, leaves, map_inputs, num_rows, rows_in, take
from thalweg.errors import DataError, TrainingError


def step(model: object, batch: object) -> object:
    return batch


def test_rows_are_counted_by_the_target_of_a_pair_or_the_first_tensor() -> None:
    x, y = torch.zeros(5, 3), torch.zeros(3)
    assert rows_in((x, y)) == 3
    assert rows_in({"scale": torch.tensor(2.0), "x": x}) == 5
    assert rows_in(["a", "b"]) == 1
    assert num_rows(Batch({"flat": x}, step, rows=2)) == 2


def test_taking_rows_reaches_into_any_nesting() -> None:
    x = torch.arange(4)
    value = {"x": x, "more": [x * 2, (x[:, None], {"y": x * 3})], "names": ["a", "b", "c", "d"], "note": "n", "k": 7}
    batch = Batch(value, step)
    assert is_divisible(batch)
    few = take(batch, torch.tensor([3, 1]))
    assert isinstance(few, Batch)
    assert [v.flatten().tolist() for v in leaves(few.value)] == [[3, 1], [6, 2], [3, 1], [9, 3]]
    assert (few.value["names"], few.value["note"], few.value["k"]) == (["d", "b"], "n", 7)
    doubled = map_inputs(lambda v: v * 2, batch)
    assert isinstance(doubled, Batch)
    assert doubled.value["more"][1][1]["y"].tolist() == [0, 6, 12, 18]
    assert num_rows(few) == 2


@pytest.mark.parametrize("extra", [torch.tensor(1.0), torch.zeros(9, 4), torch.zeros(3)])
def test_a_tensor_that_does_not_count_rows_forbids_taking(extra: Tensor) -> None:
    assert not is_divisible(Batch({"x": torch.zeros(4, 2), "extra": extra}, step))


def test_a_step_may_return_a_loss_or_three_things() -> None:
    loss, output, target = torch.tensor(1.0), torch.zeros(3, 2), torch.zeros(3)
    for returned in ((loss, output, target), [loss, output, target]):
        found = call(object, Batch(None, lambda model, batch, returned=returned: returned))  # type: ignore[misc]
        assert found == (loss, output, target)
    assert call(object, Batch(None, lambda model, batch: loss)) == (loss, None, None)
    with pytest.raises(TrainingError, match=r"returned tuple of 2; return the loss"):
        call(object, Batch(None, lambda model, batch: (loss, output)))


def test_a_batch_is_told_in_a_few_words() -> None:
    assert describe(torch.zeros(4, 2)) == "a float32 tensor [4, 2]"
    assert describe({"ids": 1, "labels": 2}) == "a dict of 'ids', 'labels'"
    assert describe((1, 2, 3)) == "a tuple of 3"
    assert structure((torch.zeros(4, 2), ["a"])) == structure((torch.zeros(9, 5), ["b", "c"]))
    assert structure((torch.zeros(4), 1)) != structure((torch.zeros(4).long(), 1))


def test_nested_inputs_need_a_step() -> None:
    nested = ({"a": (torch.zeros(2), torch.ones(2))}, torch.zeros(2))
    with pytest.raises(DataError, match=r"The inputs of batch 3 are a dict of 'a'.*step="):
        as_batch(nested, task=None, step=None, what="Batch 3")
    inputs, target = as_batch(nested, task=None, step=step, what="Batch 3")
    assert isinstance(inputs, Batch)
    assert target.shape == (2,)


def test_the_default_collation_makes_single_precision() -> None:
    import numpy as np

    x, y = collate_plain([(np.ones(2), 0.5), (np.zeros(2), 1.5)])
    assert (x.dtype, y.dtype) == (torch.float32, torch.float32)
    kept = collate_plain([torch.ones(2, dtype=torch.float64)])
    assert kept.dtype == torch.float64

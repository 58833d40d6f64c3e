import pickle
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import ConcatDataset, Dataset, Subset, TensorDataset

from thalweg.data.datasets import GuardedDataset, dataset_targets, resident_tensors
from thalweg.errors import DataError


class Squares(Dataset[Any]):
    """Rows (i, i mod 3) that count how often they are read."""

    def __init__(self, size: int = 9, **attributes: Any) -> None:
        self.size = size
        self.reads: list[int] = []
        for name, value in attributes.items():
            setattr(self, name, value)

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, row: int) -> Any:
        if row >= self.size:
            raise IndexError(row)
        self.reads.append(row)
        return torch.tensor([float(row)]), row % 3


TARGETS = [i % 3 for i in range(9)]


def test_targets_are_read_row_by_row() -> None:
    assert dataset_targets(Squares()).tolist() == TARGETS
    assert dataset_targets(ConcatDataset([Squares(), Squares()])).tolist() == TARGETS * 2


@pytest.mark.parametrize("stored", [TARGETS, torch.tensor(TARGETS), np.array(TARGETS)])
def test_stored_targets_spare_the_reading(stored: Any) -> None:
    dataset = Squares(targets=stored)
    assert dataset_targets(dataset).tolist() == TARGETS
    assert dataset.reads == [0, 8]


def test_stored_targets_of_a_subset() -> None:
    dataset = Squares(targets=TARGETS)
    assert dataset_targets(Subset(dataset, [5, 0, 7])).tolist() == [2, 0, 1]
    assert len(dataset.reads) == 2


@pytest.mark.parametrize(
    "attributes",
    [
        {"targets": [1, *TARGETS[1:]]},  # the attribute means something else
        {"targets": TARGETS[:-1]},
        {"targets": [float(t) for t in TARGETS]},
        {"targets": [{"boxes": []}] * 9},
        {"targets": TARGETS, "target_transform": lambda y: y},
    ],
)
def test_stored_targets_that_do_not_agree_are_not_believed(attributes: dict[str, Any]) -> None:
    dataset = Squares(**attributes)
    target = dataset_targets(dataset)
    assert target.tolist() == TARGETS
    assert target.dtype == torch.int64


def test_tensors_of_a_tensor_dataset() -> None:
    x, y = torch.randn(6, 2), torch.arange(6)
    assert resident_tensors(TensorDataset(x, y)) == (x, y)
    subset = Subset(Subset(TensorDataset(x, y), [5, 3, 1]), [2, 0])
    tensors = resident_tensors(subset)
    assert tensors is not None
    assert torch.equal(tensors[0], x[[1, 5]])
    assert tensors[1].tolist() == [1, 5]


def test_a_tensor_dataset_with_a_getitem_of_its_own_is_not_unpacked() -> None:
    class Augmented(TensorDataset):
        def __getitem__(self, row: int) -> Any:
            x, y = super().__getitem__(row)
            return -x, y

    dataset = Augmented(torch.ones(4, 2), torch.arange(4))
    assert resident_tensors(dataset) is None
    assert dataset_targets(dataset).tolist() == [0, 1, 2, 3]


def test_rows_that_are_no_pairs() -> None:
    with pytest.raises(DataError, match=r"must be a pair .* row 0 of the list is a tuple of 3"):
        dataset_targets([(1, 2, 3)] * 4)
    with pytest.raises(DataError, match="is a dict of 2"):
        dataset_targets([{"x": 1, "y": 2}] * 4)


def test_a_row_that_cannot_be_read_is_named() -> None:
    class Broken(Squares):
        def __getitem__(self, row: int) -> Any:
            if row == 4:
                raise OSError("disk")
            return super().__getitem__(row)

    with pytest.raises(DataError, match=r"Row 4 of the Broken cannot be read: OSError: disk"):
        dataset_targets(Broken())


def test_guard_gives_out_its_rows_only_and_travels_to_workers() -> None:
    guarded = pickle.loads(pickle.dumps(GuardedDataset(Squares(), torch.tensor([2, 4]), part="validation")))
    assert guarded[4][0].item() == 4
    with pytest.raises(DataError, match="Row 3 is not one of the 2 validation rows"):
        guarded[3]


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (np.array([0.5, 1.5]), torch.tensor([0.5, 1.5])),
        (np.array([1, 2], dtype=np.uint8), torch.tensor([1, 2], dtype=torch.uint8)),
        (2.5, torch.tensor(2.5)),
        (3, torch.tensor(3)),
        (torch.ones(2, dtype=torch.float64), torch.ones(2, dtype=torch.float64)),
    ],
)
def test_rows_follow_the_types_of_whole_arrays(x: Any, expected: torch.Tensor) -> None:
    value = GuardedDataset([(x, 0)], torch.tensor([0]), part="train")[0][0]
    assert isinstance(value, torch.Tensor)
    torch.testing.assert_close(value, expected, rtol=0, atol=0)


def test_rows_of_several_inputs_and_of_none() -> None:
    several = GuardedDataset([([1.0, 2.0], 0), ({"a": np.ones(2)}, 0), ("text", 0)], torch.arange(3), part="train")
    assert several[0][0] == (torch.tensor(1.0), torch.tensor(2.0))
    row: Any = several[1][0]
    assert row["a"].dtype == torch.float32
    with pytest.raises(DataError, match="x of row 2 is a str"):
        several[2]

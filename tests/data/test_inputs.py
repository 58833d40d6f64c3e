import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from thalweg.data.inputs import InputSpec
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing.encoder import TableEncoder

FRAME = pd.DataFrame({"age": [30.0, 40.0], "job": ["cook", "clerk"]})
TABLE = TableEncoder.fit(FRAME)
EXAMPLES: list[Any] = [
    torch.zeros(4, 3),
    torch.zeros(4, 1, 8, 8, dtype=torch.uint8),
    (torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64)),
    {"image": torch.zeros(4, 3), "text": torch.zeros(4, 7, dtype=torch.int64)},
]


@pytest.mark.parametrize("inputs", EXAMPLES)
def test_training_inputs_pass_unchanged_and_json_keeps_the_form(inputs: Any) -> None:
    spec = InputSpec.of(inputs)
    loaded = InputSpec.from_json(json.loads(json.dumps(spec.to_json())))
    assert loaded == spec
    torch.testing.assert_close(loaded.encode(inputs), inputs, rtol=0, atol=0)


def test_a_table_is_encoded_from_frames_and_files(tmp_path: Path) -> None:
    spec = InputSpec.of(TABLE.encode(FRAME), TABLE)
    loaded = InputSpec.from_json(json.loads(json.dumps(spec.to_json())))
    new = pd.DataFrame({"y": ["no"], "job": ["pilot"], "age": [50.0]})
    new.to_csv(tmp_path / "new.csv", index=False)
    expected = torch.tensor([[50.0, float("nan")]], dtype=torch.float64)
    for x in (new, tmp_path / "new.csv"):
        torch.testing.assert_close(loaded.encode(x), expected, equal_nan=True)
    with pytest.raises(UsageError, match=r"trained on a table; received a ndarray. .* age, job"):
        loaded.encode(np.zeros((1, 2)))


def test_a_file_without_names_is_encoded_as_in_training(tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("0.5,1.5\n2.5,3.5\n")
    table = TableEncoder.fit(pd.read_csv(path, header=None))
    assert InputSpec.of(torch.zeros(2, 2), table).encode(path).tolist() == [[0.5, 1.5], [2.5, 3.5]]


def test_numbers_take_the_dtype_of_training() -> None:
    spec = InputSpec.of(torch.zeros(4, 3))
    for x in ([[1, 2, 3]], np.array([[1, 2, 3]]), torch.tensor([[1, 2, 3]], dtype=torch.float64)):
        encoded = spec.encode(x)
        assert isinstance(encoded, torch.Tensor)
        assert encoded.dtype == torch.float32
        assert encoded.tolist() == [[1, 2, 3]]


def test_entries_of_a_dict_come_in_the_order_of_training() -> None:
    spec = InputSpec.of(EXAMPLES[3])
    assert list(spec.encode(dict(reversed(EXAMPLES[3].items())))) == ["image", "text"]


@pytest.mark.parametrize(
    ("trained", "x", "message"),
    [
        (0, torch.zeros(2, 4), r"A row of x has the shape \[4\]; .* shape \[3\]"),
        (0, torch.zeros(3), r"Pass a batch: one row is x\[None\]"),
        (0, (torch.zeros(2, 3),), "trained on a tensor of inputs; received a tuple"),
        (1, torch.zeros(2, 1, 8, 8), "x is of torch.float32; .* torch.uint8"),
        (2, (torch.zeros(2, 3),), "trained on 2 inputs; received 1"),
        (2, (torch.zeros(2, 3), torch.zeros(2)), "input 1 is of torch.float32"),
        (3, {"image": torch.zeros(2, 3)}, r"entries \['image', 'text'\]; received \['image'\]"),
        (3, {"image": torch.zeros(2, 5), "text": torch.zeros(2, 7, dtype=torch.int64)}, "A row of input 'image'"),
    ],
)
def test_other_inputs_are_refused(trained: int, x: Any, message: str) -> None:
    with pytest.raises((DataError, UsageError), match=message):
        InputSpec.of(EXAMPLES[trained]).encode(x)

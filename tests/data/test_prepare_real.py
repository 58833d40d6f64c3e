"""The whole way on real tables of mixed types, from file to features."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from sklearn import datasets
from torch import Tensor

from thalweg.data.prepare import Prepared, prepare
from thalweg.data.rows import Rows
from thalweg.errors import UsageError
from thalweg.parts.preprocessing import Table
from thalweg.parts.preprocessing.modules.table import TablePreprocessing

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"


def shared(name: str) -> Path:
    if not (SHARED / name).exists():
        pytest.skip(f"the data set {name} is not beside the project (../shared/data)")
    return SHARED / name


def features_of(data: Prepared) -> tuple[TablePreprocessing, Tensor]:
    assert data.table is not None
    assert isinstance(data.train, Rows)
    module = Table().fit_table(data.train, data.table)
    assert isinstance(data.validation, Rows)
    features = module(data.validation.inputs)
    assert features.isfinite().all()
    assert features.shape == (len(data.validation), len(module.names))
    return module, features


def test_bank_marketing(tmp_path: Path) -> None:
    path = shared("bank_marketing_full.csv.gz")
    data = prepare(path, target="y", loss_name="binary_cross_entropy", directory=tmp_path)
    assert data.description == "29,387/6,782 rows, 9,042 sealed"
    assert data.task.classes == ("no", "yes")
    shares = {part: data.split["classes"]["yes"][part] / rows for part, rows in data.split["rows"].items()}
    assert all(abs(share - 0.117) < 0.0005 for share in shares.values())
    assert data.table is not None
    kinds = {column.name: column.kind for column in data.table.columns}
    assert [name for name, kind in kinds.items() if kind == "number"] == [
        "age", "balance", "day", "duration", "campaign", "pdays", "previous",
    ]  # fmt: skip
    module, features = features_of(data)
    assert len(module.names) == 7 + sum(len(column.levels) + 1 for column in data.table.columns if column.levels)
    assert (features[:, 7:].sum(dim=1) == 9).all()  # one level of each of nine categories


def test_california_housing(tmp_path: Path) -> None:
    path = shared("california_housing.csv.gz")
    data = prepare(path, target="median_house_value", loss_name="mse", directory=tmp_path)
    assert data.task.kind == "regression"
    assert data.split["rows"] == {"train": 13_416, "validation": 3_096, "test": 4_128}
    module, features = features_of(data)
    assert "total_bedrooms is missing" in module.names
    assert sum("is missing" in name for name in module.names) == 1
    frame = pd.read_csv(path).iloc[data.validation.ids.numpy()]
    missing = features[:, module.names.index("total_bedrooms is missing")]
    assert missing.sum() == frame["total_bedrooms"].isna().sum() > 0
    assert data.validation.target.tolist() == frame["median_house_value"].tolist()


def test_mammography_has_no_line_of_names(tmp_path: Path) -> None:
    path = shared("mammography.csv.gz")
    data = prepare(path, target=6, loss_name="cross_entropy", directory=tmp_path)
    assert data.task.kind == "binary"
    assert data.columns == ("0", "1", "2", "3", "4", "5")
    assert sum(data.split["rows"].values()) == 11_183
    assert sum(data.split["classes"]["'1'"].values()) == 260
    with pytest.raises(UsageError, match="looks like data, not names"):
        prepare(path, target="label", loss_name="cross_entropy", directory=tmp_path)


@pytest.mark.parametrize("load", [datasets.load_iris, datasets.load_wine, datasets.load_breast_cancer])
def test_frames_that_scikit_learn_ships(tmp_path: Path, load: Any) -> None:
    frame = load(as_frame=True).frame
    data = prepare(frame, target="target", loss_name="cross_entropy", directory=tmp_path)
    assert data.task.num_outputs == frame["target"].nunique()
    module, _ = features_of(data)
    assert isinstance(data.train, Rows)
    features = module(data.train.inputs)
    torch.testing.assert_close(features.mean(0), torch.zeros(features.shape[1]), atol=1e-5, rtol=0)
    torch.testing.assert_close(features.std(0, correction=0), torch.ones(features.shape[1]))


def test_digits(tmp_path: Path, digits: tuple[Tensor, Tensor]) -> None:
    data = prepare(digits, loss_name="cross_entropy", directory=tmp_path)
    assert data.task.kind == "multiclass"
    assert data.task.num_outputs == 10
    assert data.description == "1,168/270 rows, 359 sealed"

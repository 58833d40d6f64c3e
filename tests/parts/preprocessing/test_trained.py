"""Parts of preprocessing from the plan to the opened run and its export."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn.datasets import load_diabetes, load_digits
from torch import nn

import thalweg as tw
from thalweg.data.inputs import InputSpec
from thalweg.errors import DataError, UsageError
from thalweg.parts.preprocessing import (
    PCA,
    ZCA,
    Chain,
    Log,
    MinMax,
    Power,
    Preparation,
    Robust,
    Standardize,
    Table,
)
from thalweg.parts.preprocessing.encoder import TableEncoder
from thalweg.parts.preprocessing.modules.affine import TargetScale
from thalweg.saved import load_preparation
from thalweg.train.checkpoint import save_checkpoint

SHORT = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=64, probes=False, memory_format="contiguous"
)


def linear(spec: Any) -> nn.Module:
    return nn.Linear(spec.inputs[0][0], spec.outputs)


def digits(directory: Path, model: Any = linear) -> tw.Experiment:
    x, y = load_digits(return_X_y=True)
    inputs = torch.tensor(x, dtype=torch.float32)
    return tw.Experiment(model, train=(inputs, torch.tensor(y)), loss="cross_entropy", directory=directory)


def opened_alike(experiment: tw.Experiment, run: tw.Run, x: Any, directory: Path) -> tw.Run:
    """The run opened again, which predicts bit by bit what the one just trained does."""
    again = tw.Run.open(run.directory, network=run.network)
    assert again._experiment is None
    assert np.array_equal(again.predict(x), run.predict(x))
    assert experiment.open(run.name).predict(x).shape == run.predict(x).shape
    assert not [f for f in run.directory.rglob("*") if f.suffix in (".pkl", ".pt")]
    return again


def test_principal_components_of_digits(tmp_path: Path) -> None:
    experiment = digits(tmp_path)
    run = experiment.train(SHORT.replace(preprocessing=PCA(components=0.95), epochs=10), listeners=())
    x = torch.tensor(load_digits().data, dtype=torch.float32)
    opened_alike(experiment, run, x, tmp_path)
    width = run.network.in_features
    assert 20 < width < 40
    assert f"{width} components of 64 columns" in str(run.store.get("decisions"))
    assert (run.predict(x) == load_digits().target).mean() > 0.85
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    for rows in (1, 50):
        torch.testing.assert_close(program(x[:rows]), run.model(x[:rows]))
    prepared = run.model.preprocessing(experiment.data.train.inputs).double()  # type: ignore[operator]
    assert (torch.cov(prepared.T, correction=0) - torch.eye(width)).abs().max() < 1e-5


@pytest.mark.parametrize(
    "part", [ZCA(), Robust(), MinMax(clip=True), Chain(Log(), Standardize()), Standardize(per="row")], ids=repr
)
def test_other_parts_are_opened_alike(part: Preparation, tmp_path: Path) -> None:
    experiment = digits(tmp_path, nn.Linear(64, 10))
    run = experiment.train(SHORT.replace(preprocessing=part, epochs=1), listeners=())
    opened_alike(experiment, run, torch.tensor(load_digits().data, dtype=torch.float32), tmp_path)
    assert tw.Plan.from_json(run.store.get("plan")).preprocessing == part


def linear_of_ten() -> nn.Module:
    return nn.Linear(10, 1)


@pytest.mark.parametrize(
    "part", [Standardize(), MinMax(low=-1), Robust(), Log(skewness=0), Power(), Chain(Log(), Robust())], ids=repr
)
def test_regression_targets_come_back_in_their_unit(part: Preparation, tmp_path: Path) -> None:
    data = load_diabetes()
    y = np.exp(data.target / 50)  # 1.6 to 1,000, skewed
    experiment = tw.Experiment(
        linear_of_ten, train=(data.data.astype(np.float32), y.astype(np.float32)), loss="mse", directory=tmp_path
    )
    run = experiment.train(
        SHORT.replace(target_scaling=part, epochs=20, optimizer=tw.optimizers.AdamW(lr=0.1)), listeners=()
    )
    again = opened_alike(experiment, run, data.data.astype(np.float32), tmp_path)
    found = again.predict(data.data.astype(np.float32)).reshape(-1)
    assert stats.spearmanr(y, found).statistic > 0.55
    middle = np.median if "Log" in repr(part) or "Power" in repr(part) else np.mean  # what the loss aims at
    assert 0.5 < middle(found) / middle(y) < 2
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    x = torch.tensor(data.data[:3], dtype=torch.float32)
    torch.testing.assert_close(program(x), run.model(x))


def test_parts_that_no_target_can_take(tmp_path: Path) -> None:
    x, y = torch.randn(100, 3), torch.randn(100)
    experiment = tw.Experiment(nn.Linear(3, 1), train=(x, y), loss="mse", directory=tmp_path)
    for part in (PCA(), Chain(Standardize(), ZCA()), Standardize(per="row"), Table()):
        with pytest.raises(UsageError, match=r"target_scaling=.* cannot be undone for each target\. Take Standardize"):
            experiment.train(SHORT.replace(target_scaling=part), listeners=())
    with pytest.raises(DataError, match="holds classes"):
        digits(tmp_path / "digits").train(SHORT.replace(target_scaling=MinMax()), listeners=())
    with pytest.raises(UsageError, match="Table is for a DataFrame"):
        experiment.train(SHORT.replace(preprocessing=Table()), listeners=())


def people(size: int = 400, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "income": random.lognormal(10, 1, size),
            "age": random.integers(18, 90, size).astype(float),
            "job": random.choice(["cook", "clerk", "pilot"], size, p=[0.6, 0.3, 0.1]),
            "size": random.choice(["9", "10", "11"], size),
        }
    )
    frame.loc[random.random(size) < 0.1, "age"] = np.nan
    frame.loc[random.random(size) < 0.1, "job"] = None
    frame["buys"] = np.where((frame["income"] > 20_000) ^ (frame["job"] == "cook"), "yes", "no")
    return frame


@pytest.mark.parametrize(
    "part",
    [
        "standardize",
        Chain(Log(), Standardize()),
        PCA(),
        Table(categories="ordinal", missing="mean"),
        Table(categories="frequency", missing=-1.0, indicator=False),
        Table(categories="index", numbers=Chain(Power(), Robust())),
        Table(max_levels=2, min_rows=5),
    ],
    ids=repr,
)
def test_a_table_with_unseen_and_missing_values(part: Preparation | str, tmp_path: Path) -> None:
    experiment = tw.Experiment(linear, train=people(), target="buys", loss="cross_entropy", directory=tmp_path)
    run = experiment.train(SHORT.replace(preprocessing=part), listeners=())
    new = people(50, seed=1).drop(columns="buys")
    new.loc[0, "job"], new.loc[1, "income"], new.loc[2, "size"] = "astronaut", np.nan, "12"
    again = opened_alike(experiment, run, new, tmp_path)
    assert set(again.predict(new)) <= {"yes", "no"}
    assert again.predict(new.iloc[:1]).shape == (1,)
    assert again.predict(new[["size", "job", "age", "income"]]).tolist() == run.predict(new).tolist()
    encoded = experiment.data.table.encode(new)  # type: ignore[union-attr]
    features = run.model.preprocessing(encoded)  # type: ignore[operator]
    assert features.isfinite().all()
    assert features.shape[1] == len(run.model.preprocessing.names) == run.network.in_features
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    torch.testing.assert_close(program(encoded), run.model(encoded))


def test_preparations_of_former_runs_are_read(tmp_path: Path) -> None:
    """As versions wrote them in which inputs and targets could only be standardized."""
    mean, scale, rest = torch.tensor([1.0, 2.0]), torch.tensor([0.5, 4.0]), torch.tensor([0.25, 0.0])
    affine = {"mean": mean, "rest": rest, "scale": scale}
    x = torch.tensor([[3.0, 4.0]])
    expected = (x - mean - rest) / scale
    spec = InputSpec.of(x)
    state = {f"inputs.{k}": v for k, v in affine.items()} | {f"target.{k}": v[0] for k, v in affine.items()}
    save_checkpoint(tmp_path / "checkpoints", "preparation", state, {"inputs": "tensor", "target": True})
    inputs, target = load_preparation(tmp_path, spec)
    assert torch.equal(inputs(x), expected)  # type: ignore[misc]
    assert isinstance(target, TargetScale)
    assert target.inverse(torch.tensor([2.0])).tolist() == [2.25]
    tokens = torch.tensor([5])
    for form, given in (("tuple", (x, tokens)), (["a", "b"], {"a": x, "b": tokens})):
        zeros = {"mean": torch.zeros(()), "rest": torch.zeros(()), "scale": torch.ones(())}
        state = {f"inputs.parts.{i}.{k}": v for i, part in enumerate((affine, zeros)) for k, v in part.items()}
        save_checkpoint(tmp_path / "checkpoints", "preparation", state, {"inputs": form, "target": False})
        inputs, target = load_preparation(tmp_path, spec)
        found = inputs(given)  # type: ignore[misc]
        first, second = found.values() if isinstance(found, dict) else found
        assert torch.equal(first, expected)
        assert second is tokens
        assert target is None


def test_tables_of_former_runs_are_read(tmp_path: Path) -> None:
    frame = pd.DataFrame({"age": [30.0, None, 50.0, 40.0], "same": [3.0] * 4, "job": ["cook", "clerk", "cook", "cook"]})
    encoder = TableEncoder.fit(frame)
    integer, double = torch.int64, torch.float64
    state = {
        "numeric": torch.tensor([0, 1], dtype=integer),
        "indicated": torch.tensor([0], dtype=integer),
        "categorical": torch.tensor([2], dtype=integer),
        "kept": torch.tensor([2], dtype=integer),
        "owner": torch.tensor([0, 0, 0], dtype=integer),
        "level": torch.tensor([0, 1, 2], dtype=integer),
        "median": torch.tensor([40.0, 3.0], dtype=double),
        "mean": torch.tensor([40.0, 3.0], dtype=double),
        "scale": torch.tensor([50**-0.5, 0.0], dtype=double),
    }
    save_checkpoint(
        tmp_path / "checkpoints", "preparation", {f"inputs.{k}": v for k, v in state.items()},
        {"inputs": "table", "target": False},
    )  # fmt: skip
    x = encoder.encode(frame)
    spec = InputSpec.of(x, encoder)
    module, _ = load_preparation(tmp_path, InputSpec.from_json(json.loads(json.dumps(spec.to_json()))))
    new = Table().fit_table(tw_rows(x), encoder)
    assert module is not None
    assert module.names == new.names
    torch.testing.assert_close(module(x), new(x))


def tw_rows(x: torch.Tensor) -> Any:
    from thalweg.data.rows import Rows

    return Rows(x, torch.zeros(len(x)), torch.arange(len(x)), "train")

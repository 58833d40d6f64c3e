"""Rows split by group are measured by group, and the cut is chosen as asked; the whole way through an experiment."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.errors import UsageError

PLAN = tw.Plan(optimizer=tw.optimizers.SGD(lr=0.1), epochs=2, batch_size=32, probes=False, preprocessing="none")


def grouped(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    groups = torch.arange(60).repeat_interleave(10)
    x = torch.randn(600, 5, generator=generator) + torch.randn(60, 5, generator=generator)[groups]
    return x, (x[:, 0] + 0.5 * torch.randn(600, generator=generator) > 0).long(), groups


def test_the_test_rows_keep_their_groups_and_intervals_are_over_them(tmp_path: Path) -> None:
    x, y, groups = grouped()
    experiment = tw.Experiment(
        nn.Linear(5, 2), train=(x, y), loss="cross_entropy", groups=groups, directory=tmp_path, metrics=["f1", "auc"]
    )
    run = experiment.train(PLAN, listeners=())
    result = experiment.evaluate(run)
    assert result["accuracy"].method == "bootstrap of whole groups (BCa)"
    assert result["auc"].method == "bootstrap of whole groups (BCa)"
    assert experiment.data.test is not None
    rows = experiment.data.test.open("again")
    assert rows.groups is not None
    assert torch.equal(rows.groups, groups[rows.ids])
    alone = tw.Experiment(nn.Linear(5, 2), train=(x, y), loss="cross_entropy", directory=tmp_path / "alone")
    assert alone.evaluate(alone.train(PLAN, listeners=()))["accuracy"].method == "Wilson"


def test_the_cut_is_chosen_as_asked(tmp_path: Path) -> None:
    x, y, _ = grouped()
    experiment = tw.Experiment(nn.Linear(5, 1), train=(x, y), loss="binary_cross_entropy", directory=tmp_path)
    run = experiment.train(PLAN, listeners=())
    wide = experiment.evaluate(run, threshold="cost_20")
    narrow = experiment.evaluate(run, threshold="precision_at_recall_0.2")
    assert wide["recall"].value > narrow["recall"].value
    assert wide["precision"].value < narrow["precision"].value
    given = experiment.evaluate(run, threshold=0.9)
    assert given.threshold is not None
    assert given.threshold.probability == pytest.approx(0.9)
    with pytest.raises(UsageError, match=r"objective got 'best'.*Allowed: f1"):
        experiment.evaluate(run, threshold="best")
    assert experiment.data.test is not None
    assert experiment.data.test.count() == 3  # a wrong word opens nothing


def test_a_cut_needs_a_task_that_has_one(tmp_path: Path) -> None:
    x, _, _ = grouped()
    experiment = tw.Experiment(nn.Linear(5, 1), train=(x, x[:, :1]), loss="mse", directory=tmp_path)
    with pytest.raises(UsageError, match="is for a binary or multi-label task; this one is regression"):
        experiment.evaluate(experiment.train(PLAN, listeners=()), threshold="f1")


def test_test_rows_of_ones_own_have_the_groups_of_their_column(tmp_path: Path) -> None:
    x, y, groups = grouped()
    table = pd.DataFrame(x.numpy(), columns=list("abcde")).assign(y=y.numpy(), person=groups.numpy())
    columns: dict[str, Any] = {"target": "y", "groups": "person", "directory": tmp_path}
    experiment = tw.Experiment(nn.LazyLinear(2), train=table[:400], test=table[400:], loss="cross_entropy", **columns)
    result = experiment.evaluate(experiment.train(PLAN, listeners=()))
    assert result["accuracy"].method == "bootstrap of whole groups (BCa)"
    without = table[400:].drop(columns="person")
    alone = tw.Experiment(nn.LazyLinear(2), train=table[:400], test=without, loss="cross_entropy", **columns)
    assert alone.evaluate(alone.train(PLAN, listeners=()))["accuracy"].method == "Wilson"


@pytest.mark.parametrize("threshold", [None, (0.3, 0.4), 1.0])
def test_a_threshold_that_is_none_is_named(tmp_path: Path, threshold: Any) -> None:
    x, y, _ = grouped()
    experiment = tw.Experiment(nn.Linear(5, 2), train=(x, y), loss="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match="threshold="):
        experiment.evaluate(experiment.train(PLAN, listeners=()), threshold=threshold)


def test_what_is_not_measured_per_position_is_said(tmp_path: Path) -> None:
    tokens = torch.randint(0, 4, (100, 6))
    network = nn.Sequential(nn.Embedding(4, 4), nn.Linear(4, 4))

    def share(output: torch.Tensor, target: torch.Tensor) -> float:
        return float((output.argmax(-1) == target).float().mean())

    experiment = tw.Experiment(
        network, train=(tokens, tokens), loss="cross_entropy", metrics=["accuracy", share], directory=tmp_path
    )
    result = experiment.evaluate(experiment.train(PLAN, listeners=()))
    assert [m.name for m in result.measures].count("accuracy") == 1
    assert "not measured here" in result["share"].note


def test_no_rows_to_predict_are_named(tmp_path: Path) -> None:
    x, y, _ = grouped()
    run = tw.Experiment(nn.Linear(5, 2), train=(x, y), loss="cross_entropy", directory=tmp_path).train(PLAN)
    with pytest.raises(UsageError, match="no rows to predict"):
        run.predict(x[:0])

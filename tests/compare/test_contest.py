"""What a comparison says of values, without training for them."""

import json
import math

import numpy as np
import pytest
import torch
from scipy.stats import t as student
from scipy.stats import ttest_1samp
from torch import nn

from thalweg.compare.clock import Clock
from thalweg.compare.contest import FILE, Contest, same
from thalweg.experiment import Experiment
from thalweg.parts.optimizers import SGD
from thalweg.plan import Plan

X = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))


def contest(folder, values: dict[str, list[float | None]], *, drawn: bool = True) -> Contest:
    own = Experiment(nn.Linear(3, 1), train=(X, X[:, :1]), loss="mse", directory=folder)
    plans = {name: Plan.plain(optimizer=SGD(lr=0.1), epochs=1, batch_size=32) for name in values}
    made = Contest(own, plans, folder, "r2", True, drawn, False, Clock(None), (), print, [])
    made.values, made.seeds = values, list(range(max(map(len, values.values()))))
    return made


def test_what_holds_for_these_rows_and_not_for_new_ones(tmp_path):
    """A difference of one deviation of its own under 20 seeds: t = √20 = 4.5 given the rows, 1 / √(1/20 + 30/130) = 1.9
    where each split shares most of them.
    """
    noise = torch.linspace(-1, 1, 20, dtype=torch.float64)
    differences = (1 + noise / noise.std()).tolist()
    made = contest(tmp_path, {"a": differences, "b": [0.0] * 20})
    found = made.result()
    assert made.overlap == pytest.approx(30 / 130)
    assert found.differences[0].real
    assert found.differences[0].p == pytest.approx(ttest_1samp(differences, 0).pvalue)
    (said,) = [note for note in found.notes if "On new rows" in note]
    t = 1 / math.sqrt(1 / 20 + 30 / 130)
    assert f"a against b p = {2 * student.sf(t, 19):.2g}, not shown" in said
    fixed = contest(tmp_path, {"a": differences, "b": [0.0] * 20}, drawn=False).result()
    assert fixed.differences[0].real
    assert not any("On new rows" in note for note in fixed.notes)
    clear = contest(tmp_path, {"a": [d + 9 for d in differences], "b": [0.0] * 20}).result()
    assert any("real" in note for note in clear.notes if "On new rows" in note)
    equal = contest(tmp_path, {"a": (differences - np.mean(differences)).tolist(), "b": [0.0] * 20}).result()
    assert not any("On new rows" in note for note in equal.notes)


def test_unequal_lengths_and_lost_values_are_kept(tmp_path):
    made = contest(tmp_path, {"a": [0.5, None, 0.7], "b": [0.1, 0.2]})
    found = made.save()
    assert found.best.values == (0.5, None, 0.7)
    assert found.arms[1].values == (0.1, 0.2, None)
    assert found.differences[0].pairs == 1
    assert json.loads((tmp_path / FILE).read_text())["arms"][1]["values"] == [0.1, 0.2, None]
    assert not list(tmp_path.glob("*.new"))


@pytest.mark.parametrize(
    ("first", "second", "alike"),
    [
        ({"loss": 0.5}, {"loss": 0.5 + 1e-8}, True),
        ({"loss": 0.5}, {"loss": 0.5001}, False),
        ({"loss": 0.5, "auc": float("nan")}, {"loss": 0.5, "auc": float("nan")}, True),
        ({"loss": 0.5, "auc": float("nan")}, {"loss": 0.5, "auc": 0.7}, False),
        ({"loss": 0.5}, {"loss": 0.5, "auc": 0.7}, False),
    ],
)
def test_runs_that_are_the_same(first, second, alike):
    assert same(first, second) == alike

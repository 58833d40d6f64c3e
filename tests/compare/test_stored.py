"""Two stored runs on the rows they share, against closed forms and scikit-learn."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from torch import nn

from thalweg.compare.stored import compare_runs
from thalweg.errors import UsageError
from thalweg.experiment import Experiment
from thalweg.parts.optimizers import SGD, Adam
from thalweg.plan import Plan

X = torch.randn(1200, 6, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] * X[:, 1] + 0.5 * X[:, 2] > 0).long()


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))


def experiment(folder, **given) -> Experiment:
    data = {"train": (X, Y), "loss": "cross_entropy", "metrics": ["accuracy", "auc"]} | given
    return Experiment(build, **data, directory=folder)


def trained(own: Experiment, **changes):
    plan = Plan.plain(**{"optimizer": Adam(lr=0.02), "epochs": 4, "batch_size": 32, "selection": "accuracy"} | changes)
    return own.train(plan, listeners=())


def scores(own: Experiment, run) -> tuple[np.ndarray, np.ndarray]:
    output, target = run.outputs(own.data.validation)
    return output.softmax(1)[:, 1].double().numpy(), target.numpy()


def test_values_and_the_paired_t(tmp_path):
    own = experiment(tmp_path)
    good, bad = trained(own), trained(own, optimizer=SGD(lr=0.01))
    found = compare_runs(own, [bad, good])
    (one, target), (two, _) = scores(own, good), scores(own, bad)
    right, wrong = (((score > 0.5) == target).astype(float) for score in (one, two))
    assert list(found.values) == [good.name, bad.name]
    assert found.values[good.name] == pytest.approx(accuracy_score(target, one > 0.5))
    difference = found.differences[0]
    assert difference.mean == pytest.approx(right.mean() - wrong.mean())
    assert difference.p == pytest.approx(stats.ttest_rel(right, wrong).pvalue, rel=1e-6)
    expected = stats.ttest_rel(right, wrong).confidence_interval()
    assert (difference.low, difference.high) == pytest.approx((expected.low, expected.high), abs=0.02)
    assert difference.shown
    assert f"{good.name} is better than {bad.name}" in str(found)
    assert "One run of each cannot tell" in str(found)
    assert own.data.test.count() == 0


def test_the_area_under_the_curve_is_paired(tmp_path):
    own = experiment(tmp_path)
    runs = [trained(own, selection="auc"), trained(own, selection="auc", epochs=1)]
    found = compare_runs(own, runs)
    areas = {run.name: roc_auc_score(*reversed(scores(own, run))) for run in runs}
    assert found.measure == "auc"
    assert found.values == pytest.approx(areas)


def test_the_loss_where_it_chose_the_epoch(tmp_path):
    own = experiment(tmp_path)
    runs = [trained(own, selection="loss", seed=s) for s in (0, 1)]
    found = compare_runs(own, runs)
    assert (found.measure, found.higher_is_better) == ("log_loss", False)
    losses = {run.name: log_loss(*reversed(scores(own, run))) for run in runs}
    assert found.values == pytest.approx(losses, rel=1e-5)
    assert found.differences[0].mean == pytest.approx(max(losses.values()) - min(losses.values()), rel=1e-4)


def test_three_regressions_are_corrected_for_their_number(tmp_path):
    own = Experiment(lambda: nn.Linear(6, 1), train=(X, X[:, :1].sin()), loss="mse", directory=tmp_path)
    runs = [
        own.train(Plan.plain(optimizer=SGD(lr=lr), epochs=2, batch_size=32), listeners=()) for lr in (0.1, 0.02, 0.01)
    ]
    found = compare_runs(own, runs)
    assert (found.measure, len(found.differences)) == ("rmse", 3)
    for run in runs:
        output, target = run.outputs(own.data.validation)
        assert found.values[run.name] == pytest.approx(
            math.sqrt(nn.functional.mse_loss(output.flatten(), target)), rel=1e-5
        )
    alone = {
        (d.better, d.worse): d.p
        for pair in ((0, 1), (0, 2), (1, 2))
        for d in compare_runs(own, [runs[k] for k in pair]).differences
    }
    ordered = sorted(alone.values())
    corrected = [min(1.0, max((3 - k) * ordered[k] for k in range(n + 1))) for n in range(3)]
    assert sorted(d.p for d in found.differences) == pytest.approx(corrected)


def test_equal_networks_have_no_interval(tmp_path):
    own = experiment(tmp_path)
    found = compare_runs(own, [trained(own), trained(own)])
    assert found.differences[0].mean == 0
    assert not found.differences[0].shown
    assert "without an interval" in str(found)


def test_rows_of_a_group_are_drawn_together(tmp_path):
    """Each row five times over: independent rows would halve the interval (1/√5) that whole groups have."""
    x, y = X[:240].repeat_interleave(5, 0), Y[:240].repeat_interleave(5)
    by_group = experiment(tmp_path, train=(x, y), groups=torch.arange(240).repeat_interleave(5))
    runs = [trained(by_group), trained(by_group, optimizer=SGD(lr=0.01))]
    found = compare_runs(by_group, runs).differences[0]
    (one, target), (two, _) = scores(by_group, runs[0]), scores(by_group, runs[1])
    first = by_group.data.validation.groups.unique(return_inverse=True)[1]
    each = {int(g): k for k, g in enumerate(first)}  # one row of each group stands for all five
    rows = list(each.values())
    pairs = (((score > 0.5) == target)[rows].astype(float) for score in (one, two))
    assert found.p == pytest.approx(stats.ttest_rel(*pairs).pvalue, rel=1e-6)


def test_runs_that_cannot_be_paired_are_refused(tmp_path):
    own = experiment(tmp_path)
    first = trained(own)
    with pytest.raises(UsageError, match="no two different runs"):
        compare_runs(own, [first, first])
    arms = own.compare(epochs=[1, 2], plan=first.plan.replace(seed="auto"), seeds=2, listeners=())
    drawn = [own.open(name) for name in arms.runs["1"]]
    with pytest.raises(UsageError, match="validated on different rows, as under two seeds of a comparison"):
        compare_runs(own, drawn)
    pair = [own.open(arms.runs[name][1]) for name in ("1", "2")]  # of one seed: on the rows drawn for it
    measured = compare_runs(own, pair)
    assert measured.values == pytest.approx({run.name: run.metrics["accuracy"] for run in pair})
    other = trained(experiment(tmp_path, train=(X + 1, 1 - Y)))
    with pytest.raises(UsageError, match="other training and validation rows"):
        compare_runs(own, [first, other])


def test_a_step_that_gives_the_loss_alone_is_refused(tmp_path):
    def step(model, batch):
        return nn.functional.cross_entropy(model(batch[0]), batch[1])

    own = Experiment(build, train=(X, Y), step=step, directory=tmp_path)
    runs = [own.train(Plan.plain(optimizer=SGD(lr=lr), epochs=1, batch_size=64), listeners=()) for lr in (0.1, 0.01)]
    with pytest.raises(UsageError, match="gives the loss alone"):
        compare_runs(own, runs)

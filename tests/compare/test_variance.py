"""What the seeds of a comparison vary: the split, the start, order and noise; and that it is said where they do not."""

import json
import math

import pandas as pd
import pytest
import torch
from torch import nn

from thalweg.compare.contest import FILE, PICTURE
from thalweg.data.resplit import DRAWN
from thalweg.errors import TrainingError, UsageError
from thalweg.experiment import Experiment
from thalweg.parts.activations import GELU, ReLU
from thalweg.parts.optimizers import SGD, Adam
from thalweg.plan import Plan

X = torch.randn(240, 4, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + X[:, 1] > 0).long()


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def experiment(folder, model=build, **given) -> Experiment:
    return Experiment(model, **{"train": (X, Y), "loss": "cross_entropy"} | given, directory=folder)


def quick(**changes) -> Plan:
    return Plan.plain(**{"optimizer": Adam(lr=0.01), "epochs": 2, "batch_size": 32} | changes)


def compared(own: Experiment, **terms):
    return own.compare(activation=[ReLU(), GELU()], plan=quick(), listeners=(), **terms)


def test_the_split_is_paired_and_the_test_rows_stay(tmp_path):
    own = experiment(tmp_path)
    digest, before = own.data.test.digest, own.data.digest()
    found = compared(own, seeds=[0, 1, 2])
    stored = {name: [own.open(run).store for run in runs] for name, runs in found.runs.items()}
    digests = {name: [store.get("digest") for store in stores] for name, stores in stored.items()}
    assert digests["ReLU"] == digests["GELU"]  # the arms are trained on the same rows under each seed
    assert len(set(digests["ReLU"])) == 3  # and these differ from seed to seed
    assert digests["ReLU"][0] == before  # under the experiment's own seed they are its own
    assert [store.get("split").get(DRAWN) for store in stored["GELU"]] == [None, 1, 2]
    assert {store.get("seal")["digest"] for stores in stored.values() for store in stores} == {digest}
    assert (own.data.test.digest, own.data.test.count(), own.data.digest()) == (digest, 0, before)
    assert "Intervals and verdicts hold over seeds and splits of these rows." in found.notes
    assert "Seeds vary initialization, order, noise and which rows validate, alike for all arms." in found.notes


def test_a_run_on_drawn_rows_is_evaluated_resumed_and_diagnosed(tmp_path):
    own = experiment(tmp_path)
    found = compared(own, seeds=[0, 1])
    run = experiment(tmp_path).open(found.runs["ReLU"][1])
    drawn = own._drawn(1)
    assert set(drawn.data.validation.ids.tolist()) != set(own.data.validation.ids.tolist())
    result = own.evaluate(run)
    assert (result.count, own.data.test.count()) == (48, 1)
    output, target = run.outputs(drawn.data.validation)
    again = float(nn.functional.cross_entropy(output, target))
    assert run.metrics["loss"] == pytest.approx(again, rel=1e-5)  # measured on the rows that were drawn for it
    longer = own.resume(run, epochs=3, listeners=())
    assert len(longer.history["train.loss"]) == 3
    assert own.diagnose(longer, seconds=0.0).verdict
    other = Experiment(build, train=(X + 1, Y), loss="cross_entropy", directory=tmp_path, seed=3)
    with pytest.raises(UsageError, match="trained on other rows"):
        other.evaluate(run)


@pytest.mark.parametrize(
    ("given", "terms", "reason"),
    [
        ({"validation": (X[:40] + 0.1, Y[:40])}, {}, "the validation rows were given"),
        ({"time": torch.arange(240)}, {}, "the split is by time"),
        ({}, {"splits": False}, "splits=False"),
    ],
)
def test_a_split_that_stays_is_said(tmp_path, given, terms, reason):
    own = experiment(tmp_path, **given)
    found = compared(own, seeds=2, **terms)
    assert {own.open(run).store.get("digest") for runs in found.runs.values() for run in runs} == {own.data.digest()}
    assert f"The validation rows are the same under every seed ({reason})" in " ".join(found.notes)
    assert "Seeds vary initialization, order and noise, alike for all arms." in found.notes
    assert not any("splits of these rows" in note for note in found.notes)


def uneven_table(folder) -> pd.DataFrame:
    """A level and a missing value that only the validation rows of the experiment's own split have."""
    frame = pd.DataFrame({"a": X[:, 0].numpy(), "b": X[:, 1].numpy(), "job": ["cook", "clerk"] * 120, "y": Y.numpy()})
    rows = experiment(folder, nn.Linear(5, 2), train=frame, target="y").data.validation.ids.numpy()
    frame.loc[rows[:2], "job"] = "pilot"
    frame.loc[rows[2:4], "b"] = None
    return frame


def test_a_table_is_prepared_anew_for_each_split(tmp_path):
    def by_width(spec) -> nn.Module:
        return nn.Sequential(nn.Linear(*spec.inputs[0], 8), nn.ReLU(), nn.Linear(8, 2))

    own = experiment(tmp_path, by_width, train=(frame := uneven_table(tmp_path)), target="y")
    plan = quick(preprocessing="standardize")
    found = own.compare(activation=[ReLU(), GELU()], plan=plan, seeds=4, listeners=())
    runs = [own.open(name) for name in found.runs["ReLU"]]
    widths = {run.network[0].in_features for run in runs}
    assert widths == {5, 6}  # whether a training row lacks a value depends on the split
    for run in runs:
        assert run.predict(frame.drop(columns="y")).shape == (240,)
        assert own.evaluate(run).count == 48


def test_a_module_that_takes_one_width_keeps_the_split(tmp_path):
    module = nn.Sequential(nn.Linear(5, 8), nn.ReLU(), nn.Linear(8, 2))  # without an entry for the missing number
    own = experiment(tmp_path, module, train=uneven_table(tmp_path), target="y")
    found = own.compare(activation=[ReLU(), GELU()], plan=quick(), seeds=4, listeners=())
    assert any("the table has other features in other splits" in note for note in found.notes)


def test_wrong_splits_are_refused(tmp_path):
    with pytest.raises(UsageError, match=r"splits='always'; allowed: 'auto'"):
        compared(experiment(tmp_path), splits="always")


def loaded() -> nn.Module:
    """A builder that draws nothing: its weights come from elsewhere."""
    torch.manual_seed(7)
    return build()


def test_a_builder_that_ignores_the_seed_is_told(tmp_path):
    found = compared(experiment(tmp_path, loaded), seeds=2)
    assert "The builder makes the same weights under every seed" in found.notes[0]
    assert "seeds vary order, noise and which rows validate" in found.notes[0]
    drawn = experiment(tmp_path, loaded).compare(
        activation=[ReLU(), GELU()], plan=quick(initialization="He"), seeds=2, listeners=()
    )
    assert "Seeds vary initialization" in drawn.notes[0]


def test_seeds_that_vary_nothing_are_no_evidence(tmp_path):
    """Fixed weights, one batch of all rows, no noise, the same split: five equal values are one."""
    torch.manual_seed(0)
    own = experiment(tmp_path, build(), validation=(X[:40] + 0.1, Y[:40]), test=False)
    plan = quick(optimizer=SGD(lr=0.1), batch_size=240)
    found = own.compare({"optimizer.lr": [0.1, 1.0]}, plan=plan, seeds=8, listeners=())
    assert found.differences[0].verdict == "not shown"
    assert found.differences[0].pairs == 1
    assert [len(runs) for runs in found.runs.values()] == [2, 2]  # it stops when that is known
    assert any("Seeds 0 and 1 gave the same trainings" in note for note in found.notes)
    varied = own.compare({"optimizer.lr": [0.1, 1.0]}, plan=plan.replace(batch_size=32), seeds=3, listeners=())
    assert varied.differences[0].pairs == 3


def undefined(output: torch.Tensor, target: torch.Tensor) -> float:
    return math.nan


def test_a_measure_that_is_undefined_for_all_ends_it(tmp_path):
    own = experiment(tmp_path, metrics=[undefined])
    with pytest.raises(TrainingError, match=r"No arm has a value of undefined under 2 seeds.*measure=") as caught:
        compared(own, measure="undefined", seeds=5)
    folder = next(tmp_path.glob("compare-activation-*"))
    assert str(folder) in str(caught.value)
    kept = json.loads((folder / FILE).read_text())
    assert [len(arm["runs"]) for arm in kept["arms"]] == [2, 2]  # what was trained is kept
    assert own.open(kept["arms"][0]["runs"][0]).metrics["loss"] > 0


def test_the_measure_is_common_to_all_arms(tmp_path):
    own = experiment(tmp_path)
    arms = {"selection": ["loss", "accuracy"]}
    with pytest.raises(UsageError, match=r"different measures \(loss by loss, accuracy by accuracy\)"):
        own.compare(arms, plan=quick(), seeds=2)
    found = own.compare(arms, plan=quick(), seeds=2, measure="accuracy", listeners=())
    assert (found.measure, found.higher_is_better) == ("accuracy", True)
    with pytest.raises(UsageError, match=r"measure='acuracy'; this experiment measures loss, accuracy"):
        own.compare(arms, plan=quick(), measure="acuracy")


def test_runs_are_compared_by_their_plans(tmp_path):
    own = experiment(tmp_path)
    first = own.train(quick(epochs=3), listeners=())
    second = own.train(quick(epochs=3, optimizer=SGD(lr=0.1)), listeners=())
    found = own.compare(first, second, seeds=2, listeners=())
    assert {arm.name for arm in found.arms} == {first.name, second.name}
    again = own.open(found.runs[second.name][0])
    assert again.plan.optimizer == SGD(lr=0.1)
    assert again.metrics == second.metrics  # under the experiment's own seed it is the run itself
    again = own.compare(first, second, seeds=[4, 5], listeners=())
    namesakes = [own.open(each.runs[first.name][0]) for each in (found, again)]  # of two comparisons, of the same name
    assert namesakes[0].name == namesakes[1].name
    both = own.compare(*namesakes, seeds=[4, 5], listeners=())
    assert {arm.name for arm in both.arms} == {f"{run.directory.parent.name}/{run.name}" for run in namesakes}
    with pytest.raises(UsageError, match="the same run twice"):
        own.compare(first, first)
    with pytest.raises(UsageError, match=r"compare got 'runs/x'; give plans, runs"):
        own.compare("runs/x", "runs/y")


def test_runs_of_other_data_are_refused(tmp_path):
    own = experiment(tmp_path)
    first = own.train(quick(), listeners=())
    other = experiment(tmp_path, train=(X * 2, 1 - Y)).train(quick(), listeners=())
    with pytest.raises(
        UsageError, match=rf"the run {other.name}, which was trained with other training and validation"
    ):
        own.compare(first, other)
    regression = Experiment(nn.Linear(4, 1), train=(X, X[:, :1]), loss="mse", directory=tmp_path)
    third = regression.train(quick(), listeners=())
    with pytest.raises(UsageError, match=r"other task \(regression, here binary\), loss \(mse, here cross_entropy\)"):
        own.compare(first, third)


def test_the_picture_is_kept_beside_the_values(tmp_path):
    found = compared(experiment(tmp_path), seeds=2)
    picture = (tmp_path / found.folder / PICTURE).read_text()
    assert picture.startswith("<svg")
    assert picture.count('class="zero seed"') == 4
    assert "<svg" in found._repr_html_()

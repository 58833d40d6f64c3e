"""Each kind of task from the experiment to the prediction: a healthy one is measured, reported, and raises no alarm."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.datasets import make_multilabel_classification
from sklearn.linear_model import LogisticRegression
from sklearn.utils.class_weight import compute_class_weight
from torch import nn

import thalweg as tw
from thalweg.errors import DataError, ModelError, UsageError
from thalweg.evaluate.result import Result

RATE = tw.optimizers.AdamW(lr=0.01, weight_decay=0.01)


def mlp(spec: tw.Spec) -> nn.Module:
    width = math.prod(spec.inputs[0])
    return nn.Sequential(nn.Linear(width, 48), nn.ReLU(), nn.Linear(48, spec.outputs))


class Language(nn.Module):
    """A small model of the next token: outputs `[N, L, V]`, or `[N, V, L]` as torch's loss wants them."""

    def __init__(self, vocabulary: int = 12, *, torchs: bool = False) -> None:
        super().__init__()
        self.embed, self.torchs = nn.Embedding(vocabulary, 16), torchs
        self.recur, self.head = nn.GRU(16, 32, batch_first=True), nn.Linear(32, vocabulary)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = self.head(self.recur(self.embed(x))[0])
        return output.transpose(1, 2) if self.torchs else output


def text(count: int = 9000) -> torch.Tensor:
    """A language of 12 tokens: each is mostly followed by one that its two predecessors decide."""
    generator = torch.Generator().manual_seed(0)
    surprise = torch.rand(count, generator=generator) < 0.2
    other = torch.randint(0, 12, (count,), generator=generator).tolist()
    tokens = [0, 1]
    for k in range(2, count):
        tokens.append(other[k] if surprise[k] else (tokens[-1] * 5 + tokens[-2] * 3 + 1) % 12)
    return torch.tensor(tokens)


def no_alarm(experiment: tw.Experiment) -> None:
    found = experiment.check()
    assert [str(f) for f in found.findings if f.severity != "note"] == []


def survives(result: Result) -> None:
    assert Result.from_json(result.to_json()).to_json() == result.to_json()


def test_multilabel(tmp_path) -> None:
    x, y = make_multilabel_classification(900, 12, n_classes=5, random_state=0)
    frame = pd.DataFrame(x, columns=[f"x{k}" for k in range(12)])
    names = ["rain", "snow", "fog", "storm", "hail"]
    frame[names] = y
    experiment = tw.Experiment(
        mlp, train=frame, target=names, loss="binary_cross_entropy", directory=tmp_path,
        metrics=["micro_f1", "macro_f1", "subset_accuracy", "label_accuracy"],
    )  # fmt: skip
    no_alarm(experiment)
    run = experiment.train(tw.Plan(epochs=12, optimizer=RATE, probes=False), listeners=())
    assert [str(f) for f in run.findings if f.counts] == []
    assert set(run.metrics) >= {"loss", "micro_f1", "macro_f1", "subset_accuracy", "label_accuracy"}
    result = experiment.evaluate(run)
    survives(result)
    assert result["micro_f1"].low > 0.5
    assert [row.name for row in result.per_class] == names
    assert result.threshold.objective == "micro_f1"
    called = run.predict(frame)
    assert called.shape == (900, 5)
    assert called.dtype == bool
    assert run.classes == tuple(names)
    shares = run.predict_probabilities(frame)
    assert np.array_equal(called, (shares.double() > result.threshold.probability).numpy())
    assert np.array_equal(run.predict(frame, threshold=[0.5] * 5), (shares > 0.5).numpy())
    again = tw.Run.open(run.directory, network=run.network)
    assert np.array_equal(again.predict(frame), called)
    page = run.report(tmp_path / "report.html").read_text()
    assert "storm" in page
    assert "micro F1" in page


def test_label_sets(tmp_path) -> None:
    x, y = make_multilabel_classification(300, 8, n_classes=3, random_state=1)
    sets = [[name for name, has in zip("abc", row, strict=True) if has] for row in y]
    experiment = tw.Experiment(mlp, train=(x, sets), loss="binary_cross_entropy", directory=tmp_path)
    run = experiment.train(tw.Plan(epochs=2, optimizer=RATE, probes=False), listeners=())
    assert (experiment.task.classes, run.predict(x).shape) == (("a", "b", "c"), (300, 3))


def test_several_targets(tmp_path) -> None:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(700, 4)), columns=list("abcd"))
    frame["price"] = 2e5 + 3e4 * (frame.a + frame.b * frame.c) + 3e3 * rng.normal(size=700)
    frame["weight"] = 0.02 * (frame.c - frame.d) + 0.002 * rng.normal(size=700)
    experiment = tw.Experiment(mlp, train=frame, target=["price", "weight"], loss="mse", directory=tmp_path)
    no_alarm(experiment)
    run = experiment.train(tw.Plan(epochs=25, optimizer=RATE, probes=False), listeners=())
    assert [str(f) for f in run.findings if f.counts] == []
    result = experiment.evaluate(run)
    survives(result)
    assert [row.name for row in result.per_target] == ["price", "weight"]
    assert all(row.r2.value > 0.8 for row in result.per_target), "each column is scaled on its own"
    assert result["r2"].value == pytest.approx(np.mean([row.r2.value for row in result.per_target]))
    predicted = run.predict(frame)
    assert predicted.shape == (700, 2)
    assert np.abs(predicted - frame[["price", "weight"]].to_numpy()).mean(0) == pytest.approx([0, 0], abs=3e4)
    page = run.report(tmp_path / "report.html").read_text()
    assert "Predicted and true values: weight" in page


@pytest.mark.parametrize("torchs", [False, True])
def test_next_tokens(tmp_path, torchs: bool) -> None:
    x, y = tw.windows(text(), 20)
    y = y.clone()
    y[::3, 15:] = -100
    experiment = tw.Experiment(
        Language(torchs=torchs), train=(x, y), time=range(len(x)), loss="cross_entropy", directory=tmp_path
    )
    assert experiment.data.split["method"] == "by time"
    if not torchs:
        no_alarm(experiment)
    run = experiment.train(tw.Plan(epochs=12, optimizer=RATE, probes=False), listeners=())
    assert [str(f) for f in run.findings if f.counts] == []
    assert run.metrics["perplexity"] == pytest.approx(math.exp(run.metrics["loss"]), rel=1e-5)
    result = experiment.evaluate(run)
    survives(result)
    assert result["perplexity"].high < 9, "a guess has 12"
    rows = experiment.data.test.open("test")
    output = run.model(rows.inputs)
    output = output.transpose(1, 2) if torchs else output
    counted = rows.target != -100
    hits = (output.argmax(-1) == rows.target)[counted].double().mean()
    assert result["accuracy"].value == pytest.approx(float(hits))
    assert result["accuracy"].count == int(counted.sum())
    assert run.predict(x[:3, :7]).shape == (3, 7), "sequences may have any length"
    assert torch.allclose(run.predict_probabilities(x[:3]).sum(-1), torch.ones(3, 20))
    assert "perplexity" in run.report(tmp_path / "report.html").read_text()


def test_masks_of_pictures(tmp_path) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(120, 1, 6, 8, generator=generator)
    y = (x[:, 0] > 0).long() + (x[:, 0] > 1).long()
    network = nn.Sequential(nn.Conv2d(1, 16, 1), nn.ReLU(), nn.Conv2d(16, 3, 1))
    experiment = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path)
    run = experiment.train(tw.Plan(epochs=10, optimizer=RATE, batch_size=8, probes=False), listeners=())
    assert experiment.evaluate(run)["accuracy"].low > 0.8
    assert run.predict(x).shape == (120, 6, 8)


def test_as_many_classes_as_positions_is_an_error_before_the_first_step(tmp_path) -> None:
    x, y = tw.windows(text(), 12)
    experiment = tw.Experiment(Language(), train=(x, y), loss="cross_entropy", directory=tmp_path)
    with pytest.raises(DataError, match="windows of another length"):
        experiment.train(listeners=())


def test_too_few_outputs_per_position_are_named(tmp_path) -> None:
    x, y = tw.windows(text(), 20)
    network = Language()
    network.head = nn.Linear(32, 11)
    experiment = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=tmp_path)
    with pytest.raises(ModelError, match="at least 12"):
        experiment.train(listeners=())


def test_a_loss_that_ignores_another_label_is_named(tmp_path) -> None:
    x, y = tw.windows(text(), 20)
    loss = nn.CrossEntropyLoss(ignore_index=0)
    experiment = tw.Experiment(Language(torchs=True), train=(x, y), loss=loss, directory=tmp_path)
    with pytest.raises(UsageError, match=r"y\[y == 0\] = -100"):
        experiment.train(listeners=())


def imbalanced() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    y = (torch.rand(1200, generator=generator) < 0.12).long()
    return torch.randn(1200, 3, generator=generator) + y[:, None] * torch.tensor([1.0, 0.5, 0.0]), y


def optimum(experiment: tw.Experiment) -> torch.Tensor:
    """The weights and bias at the lowest weighted loss of the training rows, by L-BFGS on the experiment's own loss."""
    rows = experiment.data.train
    network = nn.Linear(3, 1).double()
    optimizer = torch.optim.LBFGS(network.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = experiment.loss(network(rows.inputs.double())[:, 0], rows.target.double(), rows.weights.double())
        loss.backward()
        return loss

    optimizer.step(closure)
    return torch.cat([network.weight.detach()[0], network.bias.detach()])


@pytest.mark.parametrize("loss", ["binary_cross_entropy", nn.BCEWithLogitsLoss()])
def test_weighted_optima_are_those_of_scikit_learn(tmp_path, loss) -> None:
    x, y = imbalanced()
    own = torch.rand(1200, generator=torch.Generator().manual_seed(1)) * 3
    experiment = tw.Experiment(
        nn.Linear(3, 1), train=(x, y), loss=loss, class_weights="balanced", sample_weights=own, directory=tmp_path
    )
    rows = experiment.data.train
    classes = compute_class_weight("balanced", classes=np.array([0, 1]), y=rows.target.long().numpy())
    reference = LogisticRegression(C=np.inf, class_weight=dict(enumerate(classes)), tol=1e-12, max_iter=5000)
    reference.fit(rows.inputs.double(), rows.target.long(), sample_weight=own[rows.ids].double())
    expected = np.append(reference.coef_[0], reference.intercept_)
    assert optimum(experiment).numpy() == pytest.approx(expected, rel=1e-5)


def test_weights_reach_training_and_validation_and_no_rule_takes_them_for_a_fault(tmp_path) -> None:
    x, y = imbalanced()
    network = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 2))
    fitted = {}
    for weights in (None, {1: 7.3}, "balanced"):
        experiment = tw.Experiment(
            network, train=(x, y), loss="cross_entropy", class_weights=weights, directory=tmp_path / str(weights)
        )
        no_alarm(experiment)
        run = experiment.train(tw.Plan(epochs=12, optimizer=RATE, probes=False), listeners=())
        assert [str(f) for f in run.findings if f.severity != "note"] == []
        assert "no better than by one constant" not in run.verdict
        fitted[str(weights)] = run
        rows = experiment.data.validation
        output = run.model(rows.inputs).detach()
        given = None if weights is None else rows.weights
        expected = experiment.loss(output, rows.target, *(() if given is None else (given,)))
        assert run.metrics["loss"] == pytest.approx(float(expected), rel=1e-5)
    recalls = {name: (run.predict(x) == 1)[y == 1].mean() for name, run in fitted.items()}
    assert recalls["balanced"] > recalls["None"] + 0.2
    assert recalls["{1: 7.3}"] > recalls["None"] + 0.2


def test_class_weights_of_labels_raise_their_recall(tmp_path) -> None:
    x, y = make_multilabel_classification(700, 10, n_classes=4, n_labels=1, random_state=0)
    recall = {}
    for weights in (None, "balanced"):
        experiment = tw.Experiment(
            mlp, train=(x, y), loss="binary_cross_entropy", class_weights=weights, directory=tmp_path / str(weights)
        )
        run = experiment.train(tw.Plan(epochs=10, optimizer=RATE, probes=False), listeners=())
        recall[weights] = run.predict(x, threshold=0.5)[y == 1].mean()
    assert recall["balanced"] > recall[None] + 0.05


def test_a_loss_of_ones_own_that_takes_no_weights_is_named_at_once(tmp_path) -> None:
    x, y = imbalanced()
    with pytest.raises(UsageError, match=r"loss\(output, target, weight\)"):
        tw.Experiment(
            nn.Linear(3, 2), train=(x, y), loss=lambda o, t: nn.functional.cross_entropy(o, t),
            class_weights="balanced", directory=tmp_path,
        )  # fmt: skip


@pytest.mark.parametrize(
    "loss",
    [nn.BCEWithLogitsLoss(), nn.functional.binary_cross_entropy_with_logits, nn.MSELoss()],
    ids=["module", "function", "mse"],
)
def test_a_column_of_targets_reaches_torchs_losses_as_it_was_given(tmp_path, loss) -> None:
    """`[N, 1]` against outputs `[N, 1]`: nothing broadcasts, and the training is that of the bare loop."""
    x = torch.randn(256, 4, generator=torch.Generator().manual_seed(0))
    y = (x[:, :1] > 0).float()
    network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1))
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=256)
    experiment = tw.Experiment(
        network, train=(x, y), validation=(x, y), test=False, loss=loss, directory=tmp_path, device="cpu"
    )
    assert not any(finding.counts for finding in experiment.check(plan).findings)
    run = experiment.train(plan, listeners=())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss(network(x), y).backward()
    optimizer.step()
    trained = run.model.network.state_dict()
    for name, value in network.state_dict().items():
        torch.testing.assert_close(trained[name], value, rtol=1e-5, atol=1e-6)

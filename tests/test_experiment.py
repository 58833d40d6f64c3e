"""The main job through the public face, on real data."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import LinearRegression
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset

import thalweg as tw
from thalweg.data.noise import seed_everything
from thalweg.errors import DataError, ModelError, ThalwegError, UsageError

Digits = tuple[Tensor, Tensor]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.1), nn.Linear(64, 10))


def short(**changes: object) -> tw.Plan:
    return tw.Plan(epochs=4, batch_size=64, optimizer=tw.optimizers.AdamW(lr=0.003)).replace(**changes)


def weights(run: tw.Run) -> list[Tensor]:
    return list(run.network.state_dict().values())


def test_from_data_to_an_honest_result(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    check = experiment.check()
    assert not [f for f in check.findings if f.counts]
    run = experiment.train(listeners=())
    assert run.status == "completed"
    assert run.plan.optimizer != "auto"
    assert run.plan.optimizer.lr != "auto"
    assert {d["field"] for d in run.decisions} >= {"optimizer", "optimizer.lr", "epochs", "batch_size", "schedule"}
    assert all(d["reason"] for d in run.decisions)
    assert len(run.history["train.loss"]) == run.plan.epochs
    assert run.metrics["accuracy"] > 0.95
    result = experiment.evaluate(run)
    accuracy = next(m for m in result.measures if m.name == "accuracy")
    assert accuracy.low < accuracy.value < accuracy.high
    assert accuracy.value > 0.94
    assert accuracy.count == 359
    assert experiment.data.test is not None
    assert experiment.data.test.count() == 1
    experiment.evaluate(run)
    assert experiment.data.test.count() == 2
    report = run.report()
    assert run.verdict in report.read_text()


def test_plain_is_the_bare_loop(digits: Digits, runs: Path) -> None:
    """Weights after three epochs equal those of a hand-written loop over the same batches, with torch's optimizer."""
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.01, momentum=0.9), epochs=3, batch_size=50, seed=4)
    run = experiment.train(plan, listeners=())

    setup = experiment._set_up(plan)
    network = setup.network
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, fused=True)
    feeder = setup.feeder(experiment.data.train, batch_size=50, seed=4)
    from thalweg.data.noise import global_rng_kept, seed_noise

    step = 0
    network.train()
    with global_rng_kept():
        for epoch in range(3):
            for x, y in feeder.epoch(epoch):
                seed_noise(4, step)
                optimizer.zero_grad()
                F.cross_entropy(network(x), y).backward()
                optimizer.step()
                step += 1
    assert run.decisions == []
    for a, b in zip(weights(run), network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", ["all observers", "monitors"])
def test_observers_leave_a_training_bit_identical(digits: Digits, runs: Path, kind: str) -> None:
    """Check, race and monitors on and off: weights, buffers, losses, and the user's generators."""

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 10))

    experiment = tw.Experiment(build, train=digits, loss="cross_entropy", directory=runs)
    on = short(monitoring=1.0, probes=kind == "all observers")
    seed_everything(9)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist()
    watched = experiment.train(on, listeners=[lambda event: None])
    bare = experiment.train(short(monitoring=0.0, probes=False), listeners=())
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == np.random.get_state()[1].tolist()
    for a, b in zip(weights(watched), weights(bare), strict=True):
        assert torch.equal(a, b)
    for name in ("train.loss", "validation.loss", "validation.accuracy"):
        assert watched.history[name] == bare.history[name]
    assert len(watched.store.readings("activation.std")) > 0
    assert len(bare.store.readings("activation.std")) == 0


def test_a_module_of_the_users_is_never_touched(digits: Digits, runs: Path) -> None:
    module = mlp()
    before = [value.clone() for value in module.state_dict().values()]
    experiment = tw.Experiment(module, train=digits, loss="cross_entropy", directory=runs)
    first = experiment.train(short(), listeners=())
    second = experiment.train(short(), listeners=())
    for a, b in zip(before, module.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert all(p.grad is None for p in module.parameters())
    for a, b in zip(weights(first), weights(second), strict=True):
        assert torch.equal(a, b)


def test_seeds_vary_a_builder(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    starts = [experiment._set_up(short(seed=seed)).network[0].weight for seed in (1, 1, 2)]  # type: ignore[index]
    assert torch.equal(starts[0], starts[1])
    assert not torch.equal(starts[0], starts[2])


class Tied(nn.Module):
    """An autoencoder-like classifier whose second layer is the first one transposed; a buffer counts the calls."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 64, bias=False)
        self.second = nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.head = nn.Linear(64, 10)
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.calls += 1
        return self.head(torch.relu(self.second(torch.relu(self.first(x)))))


def frozen() -> nn.Module:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    model[0].requires_grad_(False)
    return model


@pytest.mark.parametrize(
    "build",
    [Tied, frozen, lambda: nn.Sequential(nn.LazyLinear(32), nn.ReLU(), nn.LazyLinear(10))],
    ids=["tied", "frozen", "lazy"],
)
@pytest.mark.parametrize("form", ["builder", "instance"])
def test_networks_of_all_kinds(build: type[nn.Module], form: str, digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(
        build if form == "builder" else build(), train=digits, loss="cross_entropy", directory=runs
    )
    start = experiment._set_up(short()).network
    run = experiment.train(short(), listeners=())
    assert run.metrics["accuracy"] > 0.7
    if isinstance(run.network, Tied):
        assert run.network.first.weight is run.network.second.weight
    if build is frozen and form == "instance":
        assert torch.equal(start[0].weight, run.network[0].weight)  # type: ignore[index]
    reopened = experiment.open(run.name)
    for a, b in zip(weights(run), weights(reopened), strict=True):
        assert torch.equal(a, b)


def test_embeddings_of_indices(runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    words = torch.randint(0, 50, (600, 12), generator=generator)
    label = ((words < 10).sum(1) >= 3).long()

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(50, 16), nn.Linear(16, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.embedding(x).mean(1))

    experiment = tw.Experiment(Bag, train=(words, label), loss="cross_entropy", directory=runs)
    run = experiment.train(tw.Plan(epochs=20, optimizer=tw.optimizers.Adam(lr=0.03)), listeners=())
    assert run.plan.preprocessing == "none"
    assert run.metrics["accuracy"] > 0.9


def test_binary_on_one_logit_chooses_its_threshold_on_validation(breast_cancer: Digits, runs: Path) -> None:
    experiment = tw.Experiment(
        lambda: nn.Sequential(nn.Linear(30, 16), nn.ReLU(), nn.Linear(16, 1)),
        train=breast_cancer,
        loss="binary_cross_entropy",
        directory=runs,
    )
    run = experiment.train(short(epochs=20), listeners=())
    assert run.plan.preprocessing == "standardize"
    result = experiment.evaluate(run)
    measures = {m.name: m for m in result.measures}
    assert measures["auc"].value > 0.95
    x, y = breast_cancer
    assert set(np.unique(run.predict(x))) <= {0, 1}
    assert (run.predict(x) == y.numpy()).mean() > 0.9
    probabilities = run.predict_probabilities(x)
    assert probabilities.shape == (569, 2)
    torch.testing.assert_close(probabilities.sum(1), torch.ones(569))


def test_regression_predicts_in_the_targets_unit(diabetes: Digits, runs: Path) -> None:
    x, y = diabetes
    experiment = tw.Experiment(lambda: nn.Linear(10, 1), train=(x, y), loss="mse", directory=runs)
    plan = short(epochs=150, batch_size=32, optimizer=tw.optimizers.AdamW(lr=0.05, weight_decay=0.0))
    run = experiment.train(plan, listeners=())
    assert run.plan.target_scaling == "standardize"
    rows = experiment.data.train
    reference = LinearRegression().fit(rows.inputs.numpy(), rows.target.numpy())  # type: ignore[union-attr]
    predicted = np.asarray(run.predict(x)).reshape(-1)
    assert np.corrcoef(predicted, reference.predict(x.numpy()))[0, 1] > 0.99
    assert abs(predicted.mean() - y.mean().item()) < 10
    measures = {m.name: m.value for m in experiment.evaluate(run).measures}
    assert 40 < measures["rmse"] < 70


def test_a_table_of_mixed_columns(runs: Path, tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    n = 600
    frame = pd.DataFrame(
        {
            "age": generator.normal(40, 10, n),
            "income": np.where(generator.random(n) < 0.1, np.nan, generator.lognormal(10, 1, n)),
            "job": generator.choice(["cook", "clerk", "nurse"], n),
            "member": generator.random(n) < 0.5,
        }
    )
    frame["bought"] = np.where((frame.age > 40) ^ (frame.job == "cook"), "yes", "no")
    path = tmp_path / "table.csv"
    frame.to_csv(path, index=False)

    def build(spec: object) -> nn.Module:
        return nn.Sequential(nn.Linear(spec.inputs[0][0], 32), nn.ReLU(), nn.Linear(32, spec.outputs))  # type: ignore[attr-defined]

    for data in (frame, path):
        experiment = tw.Experiment(build, train=data, target="bought", loss="cross_entropy", directory=runs)
        run = experiment.train(short(epochs=30, batch_size=32), listeners=())
        assert run.metrics["accuracy"] > 0.9
        assert run.classes == ("no", "yes")
    predicted = run.predict(frame.drop(columns="bought").head(50))
    assert (predicted == frame.bought.head(50).to_numpy()).mean() > 0.85


class Noisy(Dataset[tuple[Tensor, Tensor]]):
    """Items that differ at each reading, from each of the three generators a user may draw from."""

    def __init__(self, x: Tensor, y: Tensor) -> None:
        self.x, self.targets = x, y

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        noise = torch.rand(64) + float(np.random.rand())
        return (self.x[index] + noise) / 16 - 0.5, self.targets[index]


def test_a_dataset_is_read_item_by_item_and_reproducibly(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=Noisy(digits[0][:600], digits[1][:600]), loss="cross_entropy", directory=runs)
    first = experiment.train(short(), listeners=())
    torch.rand(5)
    second = experiment.train(short(), listeners=())
    assert first.history["train.loss"] == second.history["train.loss"]
    assert first.metrics["accuracy"] > 0.6


def test_a_loss_of_ones_own(digits: Digits, runs: Path) -> None:
    def focal(output: Tensor, target: Tensor) -> Tensor:
        log_p = F.log_softmax(output, 1).gather(1, target[:, None])[:, 0]
        return (-((1 - log_p.exp()) ** 2) * log_p).mean()

    experiment = tw.Experiment(mlp, train=digits, loss=focal, directory=runs)
    assert experiment.task.kind == "multiclass"
    run = experiment.train(short(), listeners=())
    assert run.metrics["accuracy"] > 0.85


def test_export_runs_without_thalweg(digits: Digits, runs: Path, tmp_path: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(short(), listeners=())
    path = run.export(tmp_path / "model.pt2")
    program = torch.export.load(path).module()
    x = digits[0][:7]
    with torch.no_grad():
        torch.testing.assert_close(program(x), run.model(x))


class Two(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.head = nn.Linear(32, 16), nn.Linear(32, 16), nn.Linear(16, 10)

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.head(torch.relu(self.a(a) + self.b(b)))


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_several_inputs(form: str, digits: Digits, runs: Path, tmp_path: Path) -> None:
    halves = digits[0][:, :32], digits[0][:, 32:]
    inputs = halves if form == "tuple" else {"b": halves[1], "a": halves[0]}
    experiment = tw.Experiment(Two, train=(inputs, digits[1]), loss="cross_entropy", directory=runs)
    run = experiment.train(short(epochs=10), listeners=())
    assert run.metrics["accuracy"] > 0.8
    assert (run.predict(inputs) == experiment.open(run.name).predict(inputs)).all()
    program = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    given = halves if form == "tuple" else (halves[1], halves[0])
    with torch.no_grad():
        torch.testing.assert_close(program(*given).argmax(1), torch.tensor(run.predict(inputs)))


def test_a_run_opens_elsewhere(digits: Digits, runs: Path, tmp_path: Path) -> None:
    import shutil

    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(short(), listeners=())
    experiment.evaluate(run)
    moved = tmp_path / "elsewhere" / run.name
    shutil.copytree(run.directory, moved)
    opened = tw.Run.open(moved)
    assert opened.history == run.history
    assert opened.plan == run.plan
    assert opened.result == run.result
    assert opened.report(tmp_path / "report.html").stat().st_size > 10_000
    with pytest.raises(UsageError, match="network="):
        opened.predict(digits[0])
    assert experiment.evaluate(tw.Run.open(moved)).measures == run.result.measures  # type: ignore[union-attr]
    with_network = tw.Run.open(moved, network=mlp())
    assert (with_network.predict(digits[0]) == run.predict(digits[0])).all()


# ---------------------------------------------------------------------- bad input


def test_data_that_are_not_finite_are_named(digits: Digits, runs: Path) -> None:
    x = digits[0].clone()
    x[5, 3] = float("nan")
    with pytest.raises(DataError, match="5"):
        tw.Experiment(mlp, train=(x, digits[1]), loss="cross_entropy", directory=runs)


def test_shapes_that_do_not_fit_name_the_layer(digits: Digits, runs: Path) -> None:
    def wrong() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(30, 10))

    experiment = tw.Experiment(wrong, train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises(ModelError, match=r"(?s)2.*30.*32"):
        experiment.train(short(), listeners=())
    assert not list(runs.glob("*/run.sqlite"))


def test_the_layer_is_named_also_where_others_are_lazy(runs: Path) -> None:
    def wrong() -> nn.Module:
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.LazyLinear(2))

    data = torch.randn(100, 1, 8, 8), torch.arange(100) % 2
    experiment = tw.Experiment(wrong, train=data, loss="cross_entropy", directory=runs)
    with pytest.raises(ModelError, match=r"Layer '0' \(Conv2d\).*3 channels.*\[7, 1, 8, 8\]"):
        experiment.train(short(), listeners=())


def test_too_few_outputs_are_named(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(lambda: nn.Linear(64, 7), train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises((ModelError, DataError), match=r"(?s)7.*10|10.*7"):
        experiment.train(short(), listeners=())


def test_a_loss_that_returns_a_vector_is_named(digits: Digits, runs: Path) -> None:
    def vector(output: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(output, target, reduction="none")

    experiment = tw.Experiment(mlp, train=digits, loss=vector, directory=runs)
    with pytest.raises(ThalwegError, match="reduce"):
        experiment.train(short(probes=False), listeners=())


def test_a_loss_that_is_nan_ends_the_run_with_the_operation(digits: Digits, runs: Path) -> None:
    def broken(output: Tensor, target: Tensor) -> Tensor:
        return torch.log(output.softmax(1) - 1).mean()

    experiment = tw.Experiment(mlp, train=digits, loss=broken, directory=runs)
    run = experiment.train(short(probes=False), listeners=())
    assert run.status == "failed"
    finding = next(f for f in run.findings if f.code == "NUM01")
    assert "log" in str(finding)
    assert finding.step == 0


def test_a_rate_far_too_high_is_named_with_its_step(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=1e20), epochs=3, batch_size=64)
    run = experiment.train(plan, listeners=())
    assert run.status == "failed"
    assert run.findings[0].step is not None
    assert run.findings[0].step <= 10


def test_a_last_batch_of_one_that_meets_batch_norm_is_named(digits: Digits, runs: Path) -> None:
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))

    experiment = tw.Experiment(build, train=digits, loss="cross_entropy", directory=runs)
    rows = len(experiment.data.train)
    size = next(b for b in range(30, 600) if rows % b == 1)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=size)
    with pytest.raises(ThalwegError, match=f"batches of {size} leave 1"):
        experiment.train(plan, listeners=())


def test_a_loss_that_takes_other_shapes_is_named(digits: Digits, runs: Path) -> None:
    x, y = digits
    experiment = tw.Experiment(
        lambda: nn.Linear(64, 2), train=(x, y % 2), loss=lambda o, t: (o - t).abs().mean(), directory=runs
    )
    with pytest.raises(ModelError, match=r"outputs \[7, 2\] and the targets \[7\]"):
        experiment.train(short(probes=False), listeners=())


def test_nothing_to_train_is_named(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp().requires_grad_(False), train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises(ModelError, match="no trainable parameter"):
        experiment.train(short(), listeners=())


def test_an_unknown_selection_is_named(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises(UsageError, match="accuracy, auto, loss"):
        experiment.train(short(selection="f1"), listeners=())


def test_builders_that_fail_are_named(digits: Digits, runs: Path) -> None:
    def broken() -> nn.Module:
        raise RuntimeError("no such width")

    with pytest.raises(ModelError, match="no such width"):
        tw.Experiment(broken, train=digits, loss="cross_entropy", directory=runs).train(listeners=())
    with pytest.raises(UsageError, match="returned int"):
        tw.Experiment(lambda: 3, train=digits, loss="cross_entropy", directory=runs).train(listeners=())  # type: ignore[arg-type, return-value]


def test_evaluate_without_test_rows_says_so(digits: Digits, runs: Path) -> None:
    experiment = tw.Experiment(mlp, train=digits, test=False, loss="cross_entropy", directory=runs)
    run = experiment.train(short(), listeners=())
    with pytest.raises(UsageError, match="no test rows"):
        experiment.evaluate(run)

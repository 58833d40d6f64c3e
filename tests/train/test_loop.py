"""The loop's promises about numbers: nothing is filtered, averaged over batches, dropped or left changed."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from torch import Tensor, nn

import thalweg as tw
from thalweg.data.rows import Rows
from thalweg.errors import TrainingError
from thalweg.events import EpochEnded, Event
from thalweg.train.evaluation import measure_batches

torch.set_num_threads(1)


def data(rows: int, *, spoiled: int | None = None) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(rows, 6, generator=generator)
    if spoiled is not None:
        x[spoiled] = 3e38  # finite, and not in the layers
    y = (x.clamp(-9, 9).sum(1) + torch.randn(rows, generator=generator) > 0.8).long()
    return x, y


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))


def without_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))


class Squared(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.tanh() + 0 * x.square()  # inf * 0


def plan(**changes: Any) -> tw.Plan:
    part = tw.optimizers.SGD(lr=0.05, momentum=0.9)
    return tw.Plan.plain(optimizer=part, epochs=2, batch_size=16, seed=0).replace(**changes)


def experiment_of(runs: Path, rows: int, build: Any = network, **options: Any) -> tw.Experiment:
    """Two thirds of the rows to train on, the rest to validate on."""
    x, y = options.pop("data", None) or data(rows)
    cut = options.pop("cut", rows * 2 // 3)
    given = {"train": (x[:cut], y[:cut]), "validation": (x[cut:], y[cut:]), "test": False, "directory": runs}
    return tw.Experiment(build, loss="cross_entropy", **given, **options)


# ---------------------------------------------------------------------- what is not finite


def failing_loss(fails_from: int) -> Any:
    """NaN from a number of training batches on; the gradient with it."""
    calls = [0]

    def loss(output: Tensor, target: Tensor) -> Tensor:
        value = nn.functional.cross_entropy(output, target)
        if output.requires_grad:
            calls[0] += 1
        return value * math.nan if calls[0] > fails_from else value

    return loss


def test_a_loss_that_is_not_finite_is_recorded_as_it_is(runs: Path) -> None:
    experiment = experiment_of(runs, 120, without_norm)
    experiment.loss, experiment.loss_name = failing_loss(7), None
    run = experiment.train(plan(monitoring=0.0), listeners=())
    assert run.status == "failed"
    losses = [r.value for r in run.store.readings("train.batch_loss")]
    assert [math.isnan(v) for v in losses[:7]] == [False] * 5 + [False] * 2
    assert any(math.isnan(v) for v in losses[7:])
    # The loss counts its calls, so that no replay repeats it: the step is named, and no operation or cause made up.
    (finding,) = [f for f in run.findings if f.code == "NUM01"]
    assert (finding.step, finding.cause) == (7, "non_finite")
    assert not len(run.store.readings("nonfinite.first"))


def test_a_validation_that_is_not_finite_is_recorded_and_never_the_best(runs: Path) -> None:
    """A row of the validation part is NaN: every epoch's measure is, and none is skipped or averaged away."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(6, 8), nn.Linear(8, 2), Squared())

    experiment = experiment_of(runs, 120, build, data=data(120, spoiled=119))
    events: list[Event] = []
    run = experiment.train(plan(), listeners=[events.append])
    assert [math.isnan(v) for v in run.history["validation.loss"]] == [True, True]
    assert [math.isnan(v) for v in run.history["validation.accuracy"]] == [True, True]
    assert all(math.isfinite(v) for v in run.history["train.loss"])
    assert not any(event.best for event in events if isinstance(event, EpochEnded))


# ---------------------------------------------------------------------- measures


@pytest.mark.parametrize("rows", [300, 321])
def test_metrics_are_those_of_all_rows_at_once(rows: int, runs: Path) -> None:
    """Against scikit-learn on the whole validation part; means over batches of it are other numbers."""
    metrics = ["auc", "average_precision", "f1", "accuracy"]
    experiment = experiment_of(runs, rows, metrics=metrics)
    run = experiment.train(plan(keep="last"), listeners=())
    rest = experiment.data.validation
    assert isinstance(rest, Rows)
    with torch.no_grad():
        output = run.model(rest.inputs)
    score, y = (output[:, 1] - output[:, 0]).double().numpy(), rest.target.numpy()
    expected = {
        "auc": roc_auc_score(y, score),
        "average_precision": average_precision_score(y, score),
        "f1": f1_score(y, score > 0),
        "accuracy": float(((score > 0) == y).mean()),
    }
    for name, value in expected.items():
        assert run.history[f"validation.{name}"][-1] == pytest.approx(value, rel=1e-6), name
    by_batch = [roc_auc_score(y[k : k + 20], score[k : k + 20]) for k in range(0, len(y) - 19, 20)]
    assert sum(by_batch) / len(by_batch) != pytest.approx(expected["auc"], rel=1e-3)


def test_the_size_of_an_evaluated_batch_changes_no_metric() -> None:
    from thalweg.parts.metrics import metric

    x, y = data(101)
    chosen = [metric(name, "binary") for name in ("auc", "f1", "accuracy", "balanced_accuracy")]
    model = network().eval()
    found = []
    for size in (1, 7, 50, 101):
        batches = list(zip(x.split(size), y.split(size), strict=True))
        found.append(measure_batches(model, nn.functional.cross_entropy, batches, chosen).values)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)


def test_an_evaluation_leaves_modes_statistics_and_generators(runs: Path) -> None:
    model = network().train()
    model[3].eval()  # type: ignore[index]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    modes, state = [m.training for m in model.modules()], torch.get_rng_state()
    grads = [p.grad for p in model.parameters()]
    x, y = data(50)
    measure_batches(model, nn.functional.cross_entropy, [(x, y)])
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)
    assert [p.grad for p in model.parameters()] == grads
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])

    def broken(output: Tensor, target: Tensor) -> Tensor:
        raise ArithmeticError

    with pytest.raises(ArithmeticError):
        measure_batches(model, broken, [(x, y)])
    assert [m.training for m in model.modules()] == modes
    assert torch.is_grad_enabled()


def test_what_is_validated_does_not_change_what_is_trained(runs: Path) -> None:
    """The same training with other validation rows, of other numbers, ends in the same weights and estimates."""
    x, y = data(400)
    runs_of = []
    for rest in (x[100:150], 100 * x[150:400]):
        experiment = tw.Experiment(
            network, train=(x[:100], y[:100]), validation=(rest, y[: len(rest)]), test=False, loss="cross_entropy",
            directory=runs,
        )  # fmt: skip
        runs_of.append(experiment.train(plan(keep="last"), listeners=()))
    assert runs_of[0].history["validation.loss"] != runs_of[1].history["validation.loss"]
    assert runs_of[0].history["train.loss"] == runs_of[1].history["train.loss"]
    for a, b in zip(*(run.network.state_dict().values() for run in runs_of), strict=True):
        assert torch.equal(a, b)


# ---------------------------------------------------------------------- last batches


@pytest.mark.parametrize(("rows", "size"), [(33, 16), (33, 32), (12, 1), (41, 8)])
@pytest.mark.parametrize("accumulate", [1, 4])
def test_one_row_before_a_batch_norm_is_refused_before_the_first_step(
    rows: int, size: int, accumulate: int, runs: Path
) -> None:
    """Accumulating does not help: the norm sees one batch at a time."""
    experiment = experiment_of(runs, rows + 20, cut=rows)
    text = "batch_size is 1" if size == 1 else f"{rows} training rows in batches of {size} leave 1"
    with pytest.raises(TrainingError, match=f"batch of one row, and {text}.*another batch_size"):
        experiment.train(plan(batch_size=size, accumulate=accumulate), listeners=())
    assert not list(runs.rglob("*.sqlite"))  # no run was begun
    with pytest.raises(TrainingError, match=text):
        experiment.check(plan(batch_size=size))


@pytest.mark.parametrize(("rows", "size"), [(33, 16), (12, 1)])
def test_one_row_without_a_batch_norm_is_trained_on(rows: int, size: int, runs: Path) -> None:
    run = experiment_of(runs, rows + 20, without_norm, cut=rows).train(plan(batch_size=size), listeners=())
    assert run.status == "completed"
    assert [r.count for r in run.store.readings("train.loss")] == [rows, rows]


def test_one_row_of_several_positions_is_trained_on(runs: Path) -> None:
    """A batch norm over positions has enough of them in one row; trying it leaves no trace."""

    def build() -> nn.Module:
        torch.manual_seed(0)
        return nn.Sequential(nn.Unflatten(1, (2, 3)), nn.BatchNorm1d(2), nn.Dropout(0.5), nn.Flatten(), nn.Linear(6, 2))

    tried = experiment_of(runs, 53, build, cut=33).train(plan(batch_size=16), listeners=())
    assert tried.status == "completed"
    experiment = experiment_of(runs, 53, build, cut=33)
    setup = experiment._set_up(plan(batch_size=16))
    assert int(setup.network[1].num_batches_tracked) == 0  # type: ignore[index]


def test_automatic_batches_leave_no_single_row(runs: Path) -> None:
    for rows in (17, 33, 65, 129):
        run = experiment_of(runs, rows + 20, cut=rows).train(
            tw.Plan(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=1, probes=False), listeners=()
        )
        assert run.status == "completed"
        assert rows % int(run.plan.batch_size) != 1


@pytest.mark.parametrize("rows", [2, 5, 15, 17, 31])
def test_tiny_data_are_never_dropped(rows: int, runs: Path) -> None:
    """Fewer rows than a batch, or a last batch of a few: each epoch trains on every row."""
    seen: list[Tensor] = []

    def loss(output: Tensor, target: Tensor) -> Tensor:
        if output.requires_grad:
            seen.append(target)
        return nn.functional.cross_entropy(output, target)

    x, y = data(rows + 20)
    y[:2] = torch.tensor([0, 1])
    experiment = experiment_of(runs, rows + 20, without_norm, data=(x, y), cut=rows)
    experiment.loss = loss
    run = experiment.train(plan(epochs=3, batch_size=16, monitoring=0.0), listeners=())
    assert [r.count for r in run.store.readings("train.loss")] == [rows] * 3
    assert len(run.store.readings("train.batch_loss")) == 3 * math.ceil(rows / 16)
    assert sum(map(len, seen)) == 3 * rows


def test_an_epochs_progress_is_that_of_its_rows(runs: Path) -> None:
    """The hand-written loop over the same order: the mean loss of each epoch, by the rows."""
    from thalweg.data.noise import global_rng_kept, seed_noise

    experiment = experiment_of(runs, 100, cut=70)
    run = experiment.train(plan(epochs=3), listeners=())
    setup = experiment._set_up(plan(epochs=3))
    model = setup.network.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, fused=True)
    feeder = setup.feeder(experiment.data.train, batch_size=16, seed=0)
    means, step = [], 0
    with global_rng_kept():
        for epoch in range(3):
            total = 0.0
            for x, y in feeder.epoch(epoch):
                seed_noise(0, step)
                optimizer.zero_grad()
                loss = nn.functional.cross_entropy(model(x), y)
                loss.backward()
                optimizer.step()
                total, step = total + float(loss.detach()) * len(y), step + 1
            means.append(total / 70)
    assert run.history["train.loss"] == pytest.approx(means, rel=1e-12)
    assert run.history["step"] == [5.0, 10.0, 15.0]

"""Data and models of people's own forms, from beginning to end: collate, step, DataLoaders, streams, processes."""

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

import thalweg as tw
from thalweg.errors import DataError, ModelError, TrainingError, UsageError
from thalweg.events import Event, Progress
from thalweg.train import loop
from thalweg.train.checkpoint import load_checkpoint

Digits = tuple[Tensor, Tensor]
SYLLABLES = (
    ("shi", "ko", "ra", "mi", "yu", "na", "to", "ka"),
    ("ov", "sky", "vla", "ser", "iev", "dmi", "bor", "tri"),
    ("ini", "gio", "luc", "ella", "ro", "bian", "chi", "ser"),
)
PLAN = tw.Plan(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=32, probes=False)


class Names(Dataset[Any]):
    """Names of two to four syllables, as letters; three languages, one in three each."""

    def __init__(self, count: int = 240) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, row: int) -> Any:
        draw = torch.Generator().manual_seed(row)
        parts = torch.randint(8, (int(torch.randint(2, 5, (), generator=draw)),), generator=draw)
        name = "".join(SYLLABLES[row % 3][int(k)] for k in parts)
        return torch.tensor([ord(letter) - 96 for letter in name]), row % 3


def pad(items: list[Any]) -> Any:
    letters, languages = zip(*items, strict=True)
    lengths = torch.tensor([len(name) for name in letters])
    return (pad_sequence(list(letters), batch_first=True), lengths), torch.tensor(languages)


class Reader(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.gru = nn.Embedding(27, 16, padding_idx=0), nn.GRU(16, 24, batch_first=True)
        self.head = nn.Linear(24, 3)

    def forward(self, letters: Tensor, lengths: Tensor) -> Tensor:
        states, _ = self.gru(self.embedding(letters))
        last: Tensor = states[torch.arange(len(letters)), lengths - 1]
        return self.head(last)  # type: ignore[no-any-return]


# ---------------------------------------------------------------------- collate


def test_names_of_any_length_from_check_to_prediction(runs: Path) -> None:
    experiment = tw.Experiment(Reader, train=Names(), loss="cross_entropy", collate=pad, directory=runs)
    assert experiment.data.split["method"] == "stratified"
    run = experiment.train(tw.Plan(epochs=6), listeners=())
    store = run.store
    assert store.readings().value("overfit.share") or 0 > 0.9
    assert store.readings().value("race.rate") is not None
    assert "FIT01" in store.get("check")["passed"]
    assert store.get("status") == "completed"
    assert experiment.evaluate(run)["accuracy"].value > 0.9
    names = Names(9)
    expected = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    predicted = run.predict(names)
    assert (predicted == expected).mean() > 0.8
    again = experiment.open(run.name)
    assert (again.predict([names[i] for i in range(9)]) == predicted).all()
    batch, _ = pad([names[i] for i in range(9)])
    assert (tw.Run.open(run.directory, network=Reader()).predict(batch) == predicted).all()
    with pytest.raises(UsageError, match="collate function, which is not stored"):
        tw.Run.open(run.directory, network=Reader()).predict([names[0]])
    with pytest.raises(UsageError, match="differ from batch to batch"):
        run.export(runs / "model.pt2")


def test_a_padded_batch_counts_as_its_rows(runs: Path) -> None:
    """The loss of the first epoch is that of the handwritten loop over the same batches."""
    experiment = tw.Experiment(Reader(), train=Names(), loss="cross_entropy", collate=pad, directory=runs)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.05), epochs=1, batch_size=32, seed=3)
    run = experiment.train(plan, listeners=())
    from thalweg.data.feeder import Feeder

    network = experiment.model
    assert isinstance(network, nn.Module)
    optimizer, total = torch.optim.SGD(network.parameters(), lr=0.05), 0.0
    for inputs, target in Feeder(experiment.data.train, batch_size=32, seed=3).epoch(0):
        assert isinstance(inputs, tuple)
        loss = F.cross_entropy(network(*inputs), target)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        total += loss.item() * len(target)
    assert run.history["train.loss"][0] == pytest.approx(total / len(experiment.data.train), rel=1e-6)


def test_items_of_different_shapes_ask_for_a_collate_function(runs: Path) -> None:
    experiment = tw.Experiment(Reader, train=Names(), loss="cross_entropy", directory=runs)
    with pytest.raises(DataError, match=r"cannot be stacked into a batch.*or pass collate="):
        experiment.check()


def test_a_collate_function_that_is_wrong(runs: Path) -> None:
    def fails(items: list[Any]) -> Any:
        raise KeyError("letters")

    for collate, words in (
        (fails, "cannot be collated: fails raised KeyError: 'letters'"),
        (lambda items: pad(items)[0][0], r"is a int64 tensor \[.*Give pairs"),
        (lambda items: (pad(items)[0][0].T, pad(items)[1]), "dimension 0 must count the rows"),
    ):
        with pytest.raises(DataError, match=words):
            tw.Experiment(Reader, train=Names(), loss="cross_entropy", collate=collate, directory=runs)
    arrays = (torch.zeros(9, 2), torch.arange(9) % 3)
    with pytest.raises(UsageError, match="collate= puts the items of a Dataset together"):
        tw.Experiment(Reader, train=arrays, loss="cross_entropy", collate=pad, directory=runs)


# ---------------------------------------------------------------------- step


@dataclass
class Output:
    loss: Tensor | None
    logits: Tensor


class Classifier(nn.Module):
    """A transformer that computes its own loss and returns an object, as those of the Transformers library do."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(27, 16, padding_idx=0)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True, dropout=0.1)
        self.head = nn.Linear(16, 3)

    def forward(self, input_ids: Tensor, attention_mask: Tensor, labels: Tensor | None = None) -> Output:
        mask = attention_mask[..., None].float()
        states = self.layer(self.embedding(input_ids), src_key_padding_mask=attention_mask == 0)
        logits = self.head((states * mask).sum(1) / mask.sum(1))
        return Output(None if labels is None else F.cross_entropy(logits, labels), logits)


class Tokens(Names):
    def __getitem__(self, row: int) -> Any:
        letters, label = super().__getitem__(row)
        return {"input_ids": letters, "labels": label}


def pad_tokens(items: list[Any]) -> Any:
    ids = pad_sequence([item["input_ids"] for item in items], batch_first=True)
    labels = torch.tensor([item["labels"] for item in items])
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": labels}


def classify(model: Any, batch: Any) -> Any:
    output = model(**batch)
    return output.loss, output.logits, batch["labels"]


def test_a_model_that_computes_its_own_loss(runs: Path) -> None:
    experiment = tw.Experiment(Classifier, train=Tokens(), step=classify, collate=pad_tokens, directory=runs)
    assert (experiment.task.kind, experiment.task.classes) == ("multiclass", (0, 1, 2))
    found = experiment.check()
    assert not any(finding.counts for finding in found.findings)
    assert {"FIT01", "DATA01", "LOSS02"} <= set(found.not_judged)
    run = experiment.train(tw.Plan(epochs=4), listeners=())
    assert run.metrics["accuracy"] > 0.8
    assert run.store.readings().value("race.rate") is not None
    assert len(run.store.readings().of("gradient.norm"))
    assert experiment.evaluate(run)["accuracy"].value > 0.8
    assert (experiment.open(run.name).predict(Tokens(30)) == [0, 1, 2] * 10).mean() > 0.8


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Linear(64, 16), nn.Linear(8, 64)

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        return self.encoder(x).chunk(2, dim=1)  # type: ignore[no-any-return]

    def decode(self, mean: Tensor, log_variance: Tensor) -> Tensor:
        code = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        return torch.sigmoid(self.decoder(code))


def elbo(model: Any, x: Tensor) -> Tensor:
    mean, log_variance = model.encode(x)
    reconstruction = F.binary_cross_entropy(model.decode(mean, log_variance), x, reduction="none").sum(1)
    return (reconstruction - 0.5 * (1 + log_variance - mean.square() - log_variance.exp()).sum(1)).mean()


def test_an_autoencoder_whose_step_gives_the_loss_alone(digits: Digits, runs: Path) -> None:
    x = digits[0] / 16
    experiment = tw.Experiment(Autoencoder, train=x, step=elbo, directory=runs)
    assert experiment.task.kind == "own"
    assert not any(finding.counts for finding in experiment.check().findings)
    run = experiment.train(PLAN.replace(probes=True), listeners=())
    assert run.history["validation.loss"][-1] < run.history["validation.loss"][0]
    result = experiment.evaluate(run)
    loss = result["loss"]
    assert loss.low is not None
    assert loss.high is not None
    assert loss.low < loss.value < loss.high
    assert loss.high - loss.low < 0.2 * loss.value
    assert result.count == len(experiment.data.test or [])
    assert run.store.get("result")["kind"] == "own"
    with pytest.raises(UsageError, match=r"gives the loss alone.*run\.network"):
        run.predict(x)
    reopened = experiment.open(run.name).network
    assert torch.equal(reopened.encoder.weight, run.network.encoder.weight)  # type: ignore[union-attr,arg-type]
    assert run.report().is_file()


def test_a_step_on_pairs_is_the_training_with_that_loss(digits: Digits, runs: Path) -> None:
    def step(model: nn.Module, batch: Any) -> Any:
        x, y = batch
        output = model(x)
        return F.cross_entropy(output, y), output, y

    network = nn.Linear(64, 10)
    plan = PLAN.replace(preprocessing="none")
    own = tw.Experiment(network, train=digits, step=step, directory=runs).train(plan, listeners=())
    named = tw.Experiment(network, train=digits, loss="cross_entropy", directory=runs).train(plan, listeners=())
    assert own.history["train.loss"] == named.history["train.loss"]
    assert own.metrics["accuracy"] == named.metrics["accuracy"]
    assert (own.predict(digits[0]) == named.predict(digits[0])).all()


def test_a_step_may_have_another_target_than_the_data(digits: Digits, runs: Path) -> None:
    def step(model: nn.Module, batch: Any) -> Any:
        x, _ = batch
        output = model(x)
        return F.mse_loss(output, x), output, x

    train = (digits[0] / 16, digits[1])
    experiment = tw.Experiment(nn.Linear(64, 64), train=train, step=step, task="regression", directory=runs)
    assert (experiment.task.kind, experiment.task.num_outputs) == ("regression", 64)
    assert "r2" in experiment.train(PLAN, listeners=()).metrics


def test_tensors_that_do_not_count_rows_are_not_cut(runs: Path) -> None:
    """Letters of all names in one tensor, with where each begins: no probe may take rows out of it."""

    def flat(items: list[Any]) -> Any:
        letters, languages = zip(*items, strict=True)
        starts = torch.tensor([0, *(len(name) for name in letters)])[:-1].cumsum(0)
        return {"letters": torch.cat(letters), "starts": starts, "labels": torch.tensor(languages)}

    class Bag(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bag = nn.EmbeddingBag(27, 3)

        def forward(self, letters: Tensor, starts: Tensor) -> Tensor:
            return self.bag(letters, starts)  # type: ignore[no-any-return]

    def step(model: nn.Module, batch: Any) -> Any:
        output = model(batch["letters"], batch["starts"])
        return F.cross_entropy(output, batch["labels"]), output, batch["labels"]

    experiment = tw.Experiment(Bag, train=Names(), step=step, collate=flat, directory=runs)
    assert not any(finding.counts for finding in experiment.check().findings)
    run = experiment.train(tw.Plan(epochs=3), listeners=())
    assert run.store.readings().value("race.rate") is not None
    assert experiment.evaluate(run)["accuracy"].value > 0.6


def test_step_and_loss_exclude_each_other(digits: Digits, runs: Path) -> None:
    with pytest.raises(UsageError, match=r"loss= is missing.*step="):
        tw.Experiment(nn.Linear(64, 10), train=digits, directory=runs)
    with pytest.raises(UsageError, match="step= computes the loss, and loss='mse' was given too"):
        tw.Experiment(nn.Linear(64, 10), train=digits, loss="mse", step=elbo, directory=runs)
    with pytest.raises(UsageError, match="leave class_weights and sample_weights out"):
        tw.Experiment(nn.Linear(64, 10), train=digits, step=elbo, class_weights="balanced", directory=runs)
    with pytest.raises(UsageError, match="task='binary' needs outputs"):
        tw.Experiment(Autoencoder, train=digits[0] / 16, step=elbo, task="binary", directory=runs)


def test_a_step_that_fails_is_named(digits: Digits, runs: Path) -> None:
    with pytest.raises(ModelError, match=r"step\(model, batch\) raised KeyError: 'labels'.*as the data give"):
        tw.Experiment(Reader, train=Tokens(), step=lambda m, b: {}["labels"], collate=pad_tokens, directory=runs)
    with pytest.raises(TrainingError, match=r"step\(model, batch\) returned dict of 1; return the loss"):
        tw.Experiment(Autoencoder, train=digits[0], step=lambda m, b: {"loss": 1}, directory=runs)
    experiment = tw.Experiment(Autoencoder, train=digits[0] / 16, step=elbo, directory=runs)
    with pytest.raises(UsageError, match="target_scaling='standardize' with step="):
        experiment.train(PLAN.replace(target_scaling="standardize"), listeners=())
    tokens = tw.Experiment(Classifier, train=Tokens(), step=classify, collate=pad_tokens, directory=runs)
    with pytest.raises(UsageError, match="preprocessing='standardize' needs batches"):
        tokens.train(PLAN.replace(preprocessing="standardize"), listeners=())


# ---------------------------------------------------------------------- loaders and streams


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))


def test_a_loader_with_its_own_collate_function_and_two_processes(runs: Path) -> None:
    whole = Names(360)

    def loader(rows: range, **options: Any) -> DataLoader[Any]:
        return DataLoader(Subset(whole, rows), batch_size=24, collate_fn=pad, **options)

    experiment = tw.Experiment(
        Reader,
        train=loader(range(240), shuffle=True, num_workers=2),
        validation=loader(range(240, 300)),
        test=loader(range(300, 360)),
        loss="cross_entropy",
        directory=runs,
    )
    run = experiment.train(tw.Plan(epochs=4), listeners=())
    assert run.plan.batch_size == 24
    assert ("batch_size", "the DataLoader's own") in [(d["field"], d["reason"]) for d in run.decisions]
    assert run.store.readings().value("race.rate") is not None
    assert experiment.evaluate(run)["accuracy"].value > 0.8
    assert (run.predict(loader(range(6))) == [0, 1, 2, 0, 1, 2]).mean() > 0.6
    assert any("one pass over the training data took" in note for note in run.store.get("split")["notes"])


class Lines(IterableDataset[Any]):
    """Rows of a file, one at a time."""

    def __init__(self, path: Path, lines: range) -> None:
        self.path, self.lines = path, lines

    def __iter__(self) -> Iterator[Any]:
        with self.path.open() as file:
            for number, line in enumerate(file):
                if number in self.lines:
                    *x, y = map(float, line.split())
                    yield torch.tensor(x) + 0.1 * torch.randn(64), int(y)


@pytest.fixture(scope="module")
def lines(digits: Digits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lines") / "digits.txt"
    rows = zip((digits[0] / 16).tolist()[:900], digits[1].tolist(), strict=False)
    path.write_text("\n".join(" ".join(f"{v:.4g}" for v in (*x, y)) for x, y in rows))
    return path


def streams(path: Path, runs: Path, **options: Any) -> tw.Experiment:
    train, validation, test = (Lines(path, rows) for rows in (range(600), range(600, 750), range(750, 900)))
    held = {"validation": validation, "test": test}
    return tw.Experiment(mlp, train=train, **held, loss="cross_entropy", directory=runs, **options)


def test_a_stream_over_a_file(lines: Path, runs: Path) -> None:
    experiment = streams(lines, runs)
    run = experiment.train(tw.Plan(epochs=5, preprocessing="standardize"), listeners=())
    assert run.store.readings().value("race.rate") is not None
    assert experiment.evaluate(run)["accuracy"].value > 0.75
    standardize = run.model.preprocessing
    x = torch.stack([item[0] for item in Lines(lines, range(600))])
    assert float((standardize.mean - x.mean()).abs().max()) < 1.0  # type: ignore[union-attr,operator]
    assert abs(float(standardize(x).mean())) < 0.05  # type: ignore[operator]


def test_a_batch_of_one_row_before_a_batch_norm(digits: Digits, runs: Path) -> None:
    whole = TensorDataset(digits[0][:65] / 16, digits[1][:65])
    train = DataLoader(whole, batch_size=32)
    network = nn.Sequential(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 10))
    held = {"validation": (digits[0][65:200] / 16, digits[1][65:200]), "test": False}
    experiment = tw.Experiment(network, train=train, **held, loss="cross_entropy", directory=runs)
    with pytest.raises(TrainingError, match=r"of one row, and the DataLoader gave one\. Give it drop_last=True"):
        experiment.train(PLAN, listeners=())


# ---------------------------------------------------------------------- stop and go on


class Augmented(Dataset[Any]):
    def __init__(self, digits: Digits) -> None:
        self.x, self.targets = digits[0][:300] / 16, digits[1][:300]

    def __len__(self) -> int:
        return 300

    def __getitem__(self, row: int) -> Any:
        return self.x[row] + 0.1 * torch.randn(64), self.targets[row]


class StopAt:
    """Interrupts the process like Ctrl-C does, once the training stands at a step."""

    def __init__(self, step: int) -> None:
        self.step, self.asked = step, False

    def __call__(self, event: Event) -> None:
        if isinstance(event, Progress) and event.step == self.step and not self.asked:
            self.asked = True
            signal.raise_signal(signal.SIGINT)


def state_of(run: tw.Run) -> dict[str, Tensor]:
    return load_checkpoint(run.directory / "checkpoints", "last")[0]


def experiment_of(kind: str, digits: Digits, lines: Path, runs: Path) -> tw.Experiment:
    if kind == "dataset":
        return tw.Experiment(mlp, train=Augmented(digits), loss="cross_entropy", directory=runs)
    if kind == "stream":
        return streams(lines, runs)
    whole = TensorDataset(digits[0] / 16, digits[1])
    train = DataLoader(
        Subset(Augmented(digits), range(300)), batch_size=32, shuffle=True, num_workers=2 if "2" in kind else 0
    )
    held = {"validation": DataLoader(Subset(whole, range(300, 400)), batch_size=50), "test": False}
    return tw.Experiment(mlp, train=train, **held, loss="cross_entropy", directory=runs)


@pytest.mark.parametrize(
    ("kind", "workers"),
    [("dataset", 0), ("dataset", 2), ("loader", 0), ("loader 2", 0), ("stream", 0), ("stream", 1)],
)
def test_resume_from_mid_epoch_is_bit_identical(
    kind: str, workers: int, digits: Digits, lines: Path, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each piece by an experiment of its own, as another process would have it; the whole one reads here."""
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    plan = PLAN.replace(epochs=2, workers=0)
    whole = experiment_of(kind, digits, lines, runs).train(plan, listeners=())
    for step in (3, 8):
        torch.manual_seed(step)  # what the user draws in between does not matter
        first = experiment_of(kind, digits, lines, runs)
        stopped = first.train(plan.replace(workers=workers), listeners=[StopAt(step)])
        assert stopped.status == "interrupted"
        resumed = experiment_of(kind, digits, lines, runs).resume(stopped.name, listeners=())
        assert resumed.status == "completed"
        assert whole.history["train.loss"] == resumed.history["train.loss"]
        one, other = state_of(whole), state_of(resumed)
        assert all(torch.equal(value, other[name]) for name, value in one.items())


# Torch raises its error about a dead worker wherever the process is, which may be inside a __del__.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_process_that_dies_loses_nothing_that_was_saved(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(loop, "LOOK_SECONDS", -1.0)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", -1.0)
    flag = tmp_path / "die"

    class Deadly(Augmented):
        def __getitem__(self, row: int) -> Any:
            if flag.exists() and torch.utils.data.get_worker_info() is not None:
                signal.raise_signal(signal.SIGKILL)
            return super().__getitem__(row)

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.step == 9:
            flag.touch()

    plan = PLAN.replace(workers=2)
    experiment = tw.Experiment(mlp, train=Deadly(digits), loss="cross_entropy", directory=runs)
    whole = experiment.train(plan, listeners=())
    with pytest.raises(TrainingError, match=r"A process that reads the data died.*resume\(run\)"):
        experiment.train(plan, listeners=[kill])
    flag.unlink()
    name = max(runs.glob("*/run.sqlite"), key=lambda path: path.stat().st_mtime).parent.name
    assert experiment.open(name).status == "failed"
    resumed = experiment.resume(name, listeners=())
    assert whole.history["train.loss"] == resumed.history["train.loss"]
    one, other = state_of(whole), state_of(resumed)
    assert all(torch.equal(value, other[key]) for key, value in one.items())

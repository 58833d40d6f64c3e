"""Everything that looks on leaves what it looks at bit for bit as it was: the doctor on and off is one training."""

import copy
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.rows import tensors_of
from thalweg.doctor import check, examinations
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.probes.budget import Budget

pytestmark = pytest.mark.slow
SECONDS = 0.5  # for each examination, so that a test of all of them ends
G = torch.Generator().manual_seed(0)
X = torch.randn(300, 12, generator=G)
LABELS = (X @ torch.randn(12, 3, generator=G)).argmax(1)
IMAGES = torch.randn(200, 1, 8, 8, generator=G)
BRIGHT = (IMAGES.mean((1, 2, 3)) > 0).long()
WORDS = torch.randint(0, 20, (200, 6), generator=G)


class Seen(nn.Module):
    """A buffer that depends on every row seen in training, and on their order; and noise from each generator."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(1, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            self.seen = 0.9 * self.seen + x.double().mean()
            x = x * (1 + 0.01 * torch.rand(()))
        return x


class Words(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell, self.last = nn.Embedding(20, 8), nn.GRU(8, 12, batch_first=True), nn.Linear(12, 3)

    def forward(self, words: Tensor) -> Tensor:
        return self.last(self.cell(self.words(words))[0][:, -1])


class Two(nn.Module):
    """Called by name; a part of it is frozen."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.body = nn.Embedding(20, 4), nn.Linear(16, 8)
        self.drop, self.last = nn.Dropout(0.3), nn.Linear(8, 1)
        self.words.requires_grad_(False)

    def forward(self, numbers: Tensor, word: Tensor) -> Tensor:
        return self.last(self.drop(torch.tanh(self.body(torch.cat([numbers, self.words(word)], 1)))))


def mlp(*, depth: int = 2, act: Callable[[], nn.Module] = nn.ReLU, outputs: int = 3) -> nn.Module:
    layers = [part for _ in range(depth) for part in (nn.Linear(16, 16), nn.BatchNorm1d(16), act(), nn.Dropout(0.2))]
    return nn.Sequential(Seen(), nn.Linear(12, 16), act(), *layers, nn.Linear(16, outputs))


def convolutional() -> nn.Module:
    body = (nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2), nn.Dropout(0.2))
    return nn.Sequential(Seen(), *body, nn.Flatten(), nn.Linear(96, 2))


def deep() -> nn.Module:
    """Faulty: sigmoids without end."""
    return nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(12, 12), nn.Sigmoid())], nn.Linear(12, 3))


def flat() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 12), nn.Linear(12, 3), nn.Softmax(1))


def summed(output: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(output, target, reduction="sum")


SGD, ADAM = tw.optimizers.SGD(lr=0.05, momentum=0.9), tw.optimizers.Adam(lr=1e-3)
# What is built, data, loss, optimizer, batch size: healthy ones, and such as raise every doubt.
TRAININGS: dict[str, tuple[Callable[[], nn.Module], Any, Tensor, Any, Any, int]] = {
    "table": (mlp, X, LABELS, "cross_entropy", SGD, 32),
    "images": (convolutional, IMAGES, BRIGHT, "cross_entropy", ADAM, 16),
    "words": (Words, WORDS, WORDS[:, 0] % 3, "cross_entropy", ADAM, 16),
    "two inputs": (Two, {"numbers": X, "word": torch.arange(300) % 20}, X[:, :1] * 3, "mse", SGD, 32),
    "raw inputs": (mlp, 50 + 1e3 * X, LABELS, "cross_entropy", SGD, 32),
    "raw targets": (lambda: mlp(outputs=1), X, 1e4 * X[:, :1], summed, ADAM, 32),
    "batches of two": (mlp, X[:100], LABELS[:100], "cross_entropy", SGD, 2),
    "deep": (deep, X, LABELS, F.cross_entropy, ADAM, 32),
    "softmax": (flat, X, LABELS, "cross_entropy", ADAM, 32),
    "no labels": (mlp, X, LABELS[torch.randperm(300, generator=G)], "cross_entropy", ADAM, 32),
    "one class rare": (mlp, X, (X[:, 0] > 1.6).long(), "cross_entropy", ADAM, 64),
    "diverging": (mlp, X, LABELS, "cross_entropy", tw.optimizers.SGD(lr=1e4), 32),
}


def experiment_of(name: str, directory: Path) -> tuple[tw.Experiment, tw.Plan]:
    build, x, y, loss, optimizer, batch_size = TRAININGS[name]
    experiment = tw.Experiment(
        build, train=(x, y), validation=0.3, test=False, loss=loss, metrics=[], directory=directory
    )
    return experiment, tw.Plan.plain(optimizer=optimizer, epochs=3, batch_size=batch_size, seed=0, probes=True)


# ------------------------------------------------------------------ what must stay


def generators() -> list[Any]:
    return [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()]


def switches() -> list[Any]:
    return [
        torch.is_grad_enabled(),
        torch.get_default_dtype(),
        torch.get_num_threads(),
        torch.is_inference_mode_enabled(),
    ]


def network_state(network: nn.Module) -> list[Any]:
    """Weights, buffers, gradients, modes, what is trained, and hooks."""
    found: list[Any] = []
    for name, module in network.named_modules():
        hooks = [len(getattr(module, kind)) for kind in vars(module) if kind.endswith("_hooks")]
        found.append((name, type(module), module.training, hooks))
    for name, parameter in network.named_parameters():
        gradient = None if parameter.grad is None else parameter.grad.clone()
        found.append((name, id(parameter), parameter.detach().clone(), parameter.requires_grad, gradient))
    return found + [(name, buffer.detach().clone()) for name, buffer in network.named_buffers()]


def state_of(held: Bench | Case) -> list[Any]:
    """All that an examination is lent, and what belongs to the process."""
    start = held.bench if isinstance(held, Case) else held
    found: list[Any] = [
        network_state(start.network),
        *map(Tensor.clone, tensors_of(start.inputs)),
        start.target.clone(),
    ]
    if isinstance(start.loss, nn.Module):
        found.append(network_state(start.loss))
    if start.validation is not None:
        found += [*map(Tensor.clone, tensors_of(start.validation[0])), start.validation[1].clone()]
    if isinstance(held, Case):
        found += [network_state(held.last), network_state(held.kept), copy.deepcopy(dict(held.optimizer_state))]
        for feeder in (held.train, held.validation):
            found += [*map(Tensor.clone, tensors_of(feeder.rows.inputs)), feeder.rows.target.clone()]
    # Torch's own generator is kept around all examinations, by the check and by the diagnosis: probes seed it.
    return [*found, generators()[1:], switches()]


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and a.dtype == b.dtype and torch.equal(a.nan_to_num(7.0), b.nan_to_num(7.0))
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    return bool(a == b)


def test_a_state_tells_what_changed():
    network = mlp()
    before = network_state(network)
    assert same(before, network_state(network))
    network[1].bias.data[0] += 1e-6
    assert not same(before, network_state(network))
    before = generators()
    random.random()
    assert not same(before, generators())


# ------------------------------------------------------------------ each examination


def names(functions: Any) -> list[str]:
    return list(dict.fromkeys(f"{each.__module__}.{each.__name__}" for each in functions))


class Witness:
    """Wraps examinations; remembers which changed something, which ran, and which had something to say."""

    def __init__(self) -> None:
        self.changed: dict[str, list[str]] = {}
        self.ran: set[str] = set()

    def of(self, each: Callable[..., Any], training: str) -> Callable[..., Any]:
        name = f"{each.__module__}.{each.__name__}"

        def watched(held: Any, readings: Any) -> Any:
            object.__setattr__(held, "budget", Budget(SECONDS))
            before = state_of(held)
            found = list(each(held, readings))
            self.ran.add(name)
            if not same(before, state_of(held)):
                self.changed.setdefault(name, []).append(training)
            return found

        watched.__name__, watched.__module__ = each.__name__, each.__module__
        return watched


@pytest.fixture(scope="module")
def witness(tmp_path_factory) -> Witness:
    """All trainings with their check and diagnosis, each examination between two looks at what it was lent."""
    seen = Witness()
    with pytest.MonkeyPatch.context() as patch:
        before, cheap, after = examinations.BEFORE, examinations.MEASUREMENTS, examinations.AFTER
        for training in TRAININGS:
            patch.setattr(check, "BEFORE", tuple(seen.of(each, training) for each in before))
            patch.setattr(check, "MEASUREMENTS", tuple(seen.of(each, training) for each in cheap))
            patch.setattr(examinations, "AFTER", tuple(seen.of(each, training) for each in after))
            experiment, plan = experiment_of(training, tmp_path_factory.mktemp("runs"))
            experiment.train(plan, listeners=())
    return seen


@pytest.mark.parametrize("name", names([*examinations.MEASUREMENTS, *examinations.BEFORE, *examinations.AFTER]))
def test_an_examination_changes_nothing(witness: Witness, name: str) -> None:
    assert name in witness.ran
    assert witness.changed.get(name, []) == []


# ------------------------------------------------------------------ on and off


def trained(run: tw.Run) -> list[Any]:
    """Weights and buffers of the network, and all of the last checkpoint: the optimizer's state among it."""
    folder = run.directory / "checkpoints"
    saved = {file.suffix: file.read_bytes() for file in sorted(folder.glob("last-*.safetensors"))}
    assert saved
    return [network_state_dict(run.network), saved]


def network_state_dict(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


@pytest.mark.parametrize("name", ["table", "images", "words", "raw inputs", "batches of two", "deep"])
def test_a_training_is_the_same_with_and_without_the_doctor(name: str, tmp_path: Path) -> None:
    experiment, plan = experiment_of(name, tmp_path / "on")
    torch.manual_seed(5), np.random.seed(5), random.seed(5)
    before = generators(), switches()
    experiment.check(plan)
    assert same(before, (generators(), switches()))
    on = trained(experiment.train(plan, listeners=()))
    assert same(before, (generators(), switches()))
    bare, _ = experiment_of(name, tmp_path / "off")
    off = trained(bare.train(plan.replace(probes=False), listeners=()))
    assert same(on, off)


def test_a_check_leaves_a_module_and_its_data_alone(tmp_path: Path) -> None:
    network, x, y = mlp(), X.clone(), LABELS.clone()
    network[1].bias.grad = torch.ones(16)
    network[4].eval()
    before = network_state(network), generators()
    experiment = tw.Experiment(network, train=(x, y), test=False, loss="cross_entropy", directory=tmp_path)
    plan = tw.Plan.plain(optimizer=SGD, epochs=3, batch_size=32, probes=True)
    first, second = experiment.check(plan), experiment.check(plan)
    assert same(before, (network_state(network), generators()))
    assert torch.equal(x, X)
    assert torch.equal(y, LABELS)
    assert [f.code for f in first.findings] == [f.code for f in second.findings]

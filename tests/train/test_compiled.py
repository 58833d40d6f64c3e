"""The whole step as one graph against the eager step; what it cannot be used for is said."""

import copy
import shutil
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.noise import global_rng_kept
from thalweg.errors import ModelError
from thalweg.store import Store, Writer
from thalweg.train import compiled
from thalweg.train.clipping import Clipping
from thalweg.train.compiled import CompiledStep, changed_by_forward, choose_compiled, shape_of
from thalweg.train.losses import NAMED, LossFunction
from thalweg.train.monitor import Monitor
from thalweg.train.step import Step

torch.set_num_threads(1)
Digits = tuple[Tensor, Tensor]
Window = list[tuple[Any, Tensor]]
needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) to compile a step with")
compiles = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # torch's compiler imports what torch deprecates

OPTIMIZERS = [
    tw.optimizers.SGD(lr=0.05, momentum=0.9, weight_decay=0.01),
    tw.optimizers.SGD(lr=0.05, momentum=0.9, nesterov=True),
    tw.optimizers.SGD(lr=0.05, momentum=0.9, dampening=0.5),
    tw.optimizers.SGD(lr=0.05),
    tw.optimizers.Adagrad(lr=0.05, weight_decay=0.01),
    tw.optimizers.RMSprop(lr=0.005, momentum=0.5, centered=True),
    tw.optimizers.Adam(lr=0.01, weight_decay=0.01),
    tw.optimizers.AdamW(lr=0.01, weight_decay=0.3),
]


class Everything(nn.Module):
    """Tied weights, a frozen layer, norms of both kinds, an embedding; two inputs in a tuple or a dict.

    No bias before batch norm: its gradient is 0, and what rounding leaves of it differs from one form to the other.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.first = nn.Embedding(7, 6), nn.Linear(5, 6, bias=False)
        self.norm, self.layer = nn.BatchNorm1d(6), nn.LayerNorm(6)
        self.tied, self.again, self.frozen = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.again.weight = self.tied.weight
        self.frozen.requires_grad_(False)
        self.head = nn.Linear(6, 3)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x: Tensor, kind: Tensor) -> Tensor:
        h = self.norm(self.first(x) * self.scale + self.embed(kind))
        h = torch.relu(self.tied(h)) + self.again(self.layer(h)).tanh()
        return self.head(F.gelu(self.frozen(h)))


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(5, 8, bias=False), nn.BatchNorm1d(8), nn.SiLU(), nn.Linear(8, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def rows(size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.randn(size, 5, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 7, (size,), generator=generator), torch.randint(0, 3, (size,), generator=generator)


def windows(form: str, number: int) -> list[Window]:
    """Batches of 12, every fifth of 7 as at an epoch's end."""
    generator = torch.Generator().manual_seed(1)
    found: list[Window] = []
    for k in range(number):
        x, kind, y = rows(7 if k % 5 == 4 else 12, generator)
        inputs = {"tensor": x, "tuple": (x, kind), "dict": {"kind": kind, "x": x}}[form]
        found.append([(inputs, y)])
    return found


def pair(build: Callable[[], nn.Module], part: Any, **options: Any) -> tuple[Step, Step]:
    """Two equal steps in float64, to be taken eagerly and as a graph."""
    torch.manual_seed(0)
    network = build().double().train()
    twin = copy.deepcopy(network)
    loss = options.pop("loss", F.cross_entropy)
    return Step(network, loss, part, **options), Step(twin, loss, part, **options)


def assert_as_eagerly(eager: Step, other: Step, batches: list[Window], *, tolerance: float = 1e-9) -> None:
    """20 steps of each end in the same weights, buffers and optimizer state; every loss agrees."""
    graph = CompiledStep(other, batches[0])
    before = {name: value.clone() for name, value in eager.network.state_dict().items()}
    for name, value in other.network.state_dict().items():
        assert torch.equal(value, before[name])  # making one moves nothing
    with global_rng_kept():
        for k, window in enumerate(batches):
            rate = 0.05 * (1 - k / 40)
            expected, loss = eager(window, step=k, rate=rate), graph(window, step=k, rate=rate)
            torch.testing.assert_close(loss, expected, rtol=tolerance, atol=0)
            assert not loss.requires_grad
    compare(eager.network.state_dict(), other.network.state_dict(), tolerance)
    compare(eager.state_dict(), other.state_dict(), tolerance)
    moved = [name for name, value in eager.network.state_dict().items() if not torch.equal(value, before[name])]
    assert set(eager.names) <= set(moved)
    assert not [name for name in moved if name.startswith("frozen")]


def compare(expected: dict[str, Tensor], found: dict[str, Tensor], tolerance: float) -> None:
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        scale = float(value.double().abs().max())
        torch.testing.assert_close(found[name], value, rtol=tolerance, atol=tolerance * scale, msg=name)


@pytest.fixture
def uncompiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """The function that is compiled, run as it is: the mathematics without the minutes of a compiler."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("part", OPTIMIZERS, ids=str)
def test_the_function_is_the_eager_step_for_every_optimizer(part: tw.optimizers.Optimizer) -> None:
    assert_as_eagerly(*pair(Everything, part), windows("tuple", 20))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize("form", ["tensor", "tuple", "dict"])
@pytest.mark.parametrize("decay_all", [False, True])
def test_the_function_is_the_eager_step_for_every_form_of_inputs(form: str, decay_all: bool) -> None:
    build = Plain if form == "tensor" else Everything
    part = tw.optimizers.AdamW(lr=0.01, weight_decay=0.3)
    assert_as_eagerly(*pair(build, part, decay_all=decay_all), windows(form, 20))


@pytest.mark.usefixtures("uncompiled")
@pytest.mark.parametrize(
    "clipping",
    [Clipping(norm=0.1), Clipping(value=0.01), Clipping(adaptive=0.02), Clipping(0.05, 0.01, 0.02)],
    ids=["norm", "value", "adaptive", "all"],
)
def test_the_function_clips_as_the_eager_step(clipping: Clipping) -> None:
    assert_as_eagerly(*pair(Everything, OPTIMIZERS[0], clipping=clipping), windows("dict", 20))


@pytest.mark.usefixtures("uncompiled")
def test_dropout_is_the_same_function_of_seed_and_step() -> None:
    """Uncompiled the noise is the eager one; compiled it is another, see below."""
    assert_as_eagerly(
        *pair(lambda: nn.Sequential(nn.Linear(5, 8), nn.Dropout(0.4), nn.Linear(8, 3)), OPTIMIZERS[0], seed=4),
        windows("tensor", 20),
    )


# ---------------------------------------------------------------------- really compiled


@needs_compiler
@compiles
@pytest.mark.timeout(600)
def test_the_graph_is_the_eager_step() -> None:
    part = tw.optimizers.AdamW(lr=0.01, weight_decay=0.3)
    assert_as_eagerly(*pair(Everything, part, clipping=Clipping(norm=0.5)), windows("dict", 20))


@needs_compiler
@compiles
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("part", [OPTIMIZERS[k] for k in (1, 4, 5, 6)], ids=lambda part: type(part).__name__)
def test_the_graph_is_the_eager_step_for_every_optimizer(part: tw.optimizers.Optimizer) -> None:
    assert_as_eagerly(*pair(Plain, part), windows("tensor", 20))


def noisy() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(64, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.3), nn.Linear(24, 10))


PLAN = tw.Plan(
    optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=64, probes=False, compile="always", monitoring=1.0,
    clip_norm=1.0, seed=0, selection="loss",
)  # fmt: skip


def weights(run: tw.Run) -> dict[str, Tensor]:
    from thalweg.train.checkpoint import load_checkpoint

    return load_checkpoint(run.directory / "checkpoints", "last")[0]


def assert_same(a: tw.Run, b: tw.Run) -> None:
    assert a.history["train.loss"] == b.history["train.loss"]
    assert a.history["validation.loss"] == b.history["validation.loss"]
    x, y = weights(a), weights(b)
    assert x.keys() == y.keys()
    for name, value in x.items():
        assert torch.equal(value, y[name]), name


@needs_compiler
@compiles
@pytest.mark.timeout(600)
def test_compiled_trainings_repeat_and_resume_to_the_bit(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, batch norm and a partial last batch; monitors on and off; stopped in the middle of an epoch."""
    given = digits[0][:500], digits[1][:500]
    experiment = tw.Experiment(noisy, train=given, loss="cross_entropy", directory=runs, test=False)
    first = experiment.train(PLAN, listeners=())
    assert first.plan.compile == "always"
    assert len(first.store.readings("activation.std")) > 0
    unwatched = experiment.train(PLAN.replace(monitoring=0.0), listeners=())
    assert_same(first, unwatched)
    eager = experiment.train(PLAN.replace(compile="never"), listeners=())
    assert eager.history["train.loss"] != first.history["train.loss"]  # another noise
    assert eager.history["train.loss"] == pytest.approx(first.history["train.loss"], rel=0.15)

    taken = CompiledStep.__call__

    def stop(self: CompiledStep, window: Any, *, step: int, rate: float, momentum: float | None = None) -> Tensor:
        if step == 10:
            import signal

            signal.raise_signal(signal.SIGINT)
        return taken(self, window, step=step, rate=rate, momentum=momentum)

    with monkeypatch.context() as context:
        context.setattr(CompiledStep, "__call__", stop)
        stopped = experiment.train(PLAN, listeners=())
    assert stopped.status == "interrupted"
    assert_same(first, experiment.resume(stopped, listeners=()))


@needs_compiler
@compiles
@pytest.mark.timeout(600)
def test_a_choice_changes_nothing_and_is_of_the_training_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is chosen has dropout and moves the norm's estimates; weights, state and generators are as they were."""
    monkeypatch.setattr(compiled, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compiled, "WORTH", 0.0)
    part = tw.optimizers.AdamW(lr=0.01)
    step = Step(noisy().train(), NAMED["cross_entropy"], part, clipping=Clipping(norm=1.0))  # compiled above already
    window = [(torch.randn(64, 64), torch.arange(64) % 10)]
    step(window, step=0, rate=0.01)
    before = {name: value.clone() for name, value in {**step.network.state_dict(), **step.state_dict()}.items()}
    state = torch.get_rng_state()
    chosen, reason = choose_compiled(step, window, num_steps=1000)
    assert chosen is not None, reason
    assert "times as quick, measured" in reason
    assert torch.equal(state, torch.get_rng_state())
    for name, value in {**step.network.state_dict(), **step.state_dict()}.items():
        assert torch.equal(value, before[name]), name
    assert all(p.grad is None for p in step.network.parameters())
    assert all(module.training for module in step.network.modules())
    losses = {float(chosen(window, step=k, rate=0.0)) for k in range(3)}
    assert len(losses) == 3  # dropout
    assert int(step.network[1].num_batches_tracked) == 4  # type: ignore[index]

    monkeypatch.setattr(compiled, "WORTH", 1e9)
    nothing, reason = choose_compiled(step, window, num_steps=1000)
    assert nothing is None
    assert "times as quick, measured" in reason


MODES: list[bool] = []
WHOLE = compiled.whole_step


def whole_step_seen(stepper: Step, *arguments: Any) -> Tensor:
    MODES.extend(module.training for module in stepper.network.modules())
    return WHOLE(stepper, *arguments)


@pytest.mark.usefixtures("uncompiled")
def test_a_module_that_came_in_evaluation_mode_is_compiled_in_training_mode(
    digits: Digits, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A graph keeps the mode that it was made in, and pretrained modules often come in evaluation mode."""
    MODES.clear()
    monkeypatch.setattr(compiled, "whole_step", whole_step_seen)
    monkeypatch.setattr(compiled, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(compiled, "WORTH", 0.0)
    experiment = tw.Experiment(noisy().eval(), train=digits, loss="cross_entropy", directory=runs)
    run = experiment.train(PLAN.replace(compile="auto", epochs=1), listeners=())
    assert run.plan.compile == "always"
    assert MODES
    assert all(MODES)


# ---------------------------------------------------------------------- what it cannot be


def reason_of(network: nn.Module, x: Any, *, num_steps: int = 10**9, loss: LossFunction = F.cross_entropy) -> str:
    step = Step(network.train(), loss, tw.optimizers.SGD(lr=0.1))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    chosen, reason = choose_compiled(step, [(x, torch.zeros(8, dtype=torch.long))], num_steps=num_steps)
    assert chosen is None
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    return reason


def test_short_trainings_are_not_compiled() -> None:
    assert "the training takes about 0 s" in reason_of(nn.Linear(5, 3), torch.randn(8, 5), num_steps=10)


def test_convolutions_and_recurrent_layers_are_not_compiled() -> None:
    network = nn.Sequential(nn.Conv1d(1, 2, 3), nn.Flatten(), nn.Linear(6, 3))
    assert "convolutions and recurrent layers gain nothing" in reason_of(network, torch.randn(8, 1, 5))


def test_parameters_that_the_loss_does_not_reach_are_named() -> None:
    network = nn.Sequential(nn.Linear(5, 3))
    network.register_parameter("unused", nn.Parameter(torch.ones(2)))
    assert "does not reach unused" in reason_of(network, torch.randn(8, 5))
    step = Step(network.train(), F.cross_entropy, tw.optimizers.SGD(lr=0.1))
    with pytest.raises(ModelError, match=r"does not reach unused.*requires_grad_\(False\).*compile='never'"):
        CompiledStep(step, [(torch.randn(8, 5), torch.zeros(8, dtype=torch.long))])


class Counting(nn.Module):
    """Doubles every third output: what a graph of one call would never, or always do."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.calls = nn.Linear(5, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * (2 if self.calls % 3 == 0 else 1)


class Rebinding(nn.Module):
    """Puts a new tensor in its buffer's place: a graph would go on with the old one."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(5, 3)
        self.register_buffer("mean", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        output = self.layer(x)
        self.mean = 0.9 * self.mean + 0.1 * output.detach().mean(0)
        return output - self.mean


@pytest.mark.parametrize(("build", "name"), [(Counting, "calls"), (Rebinding, "mean")])
def test_a_forward_pass_that_changes_what_no_graph_repeats_is_refused(build: type[nn.Module], name: str) -> None:
    network = nn.Sequential(build())
    assert changed_by_forward(network, torch.randn(8, 5)) == [f"0.{name}"]
    assert f"changes 0.{name}" in reason_of(network, torch.randn(8, 5))
    assert getattr(network[0], "calls", 0) == 0  # not even the trial has touched it
    step = Step(network.train(), F.cross_entropy, tw.optimizers.SGD(lr=0.1))
    with pytest.raises(ModelError, match=f"cannot be one graph.*changes 0.{name}"):
        CompiledStep(step, [(torch.randn(8, 5), torch.zeros(8, dtype=torch.long))])


def test_usual_modules_change_nothing_but_buffers_in_place() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert changed_by_forward(nn.TransformerEncoder(layer, 2, enable_nested_tensor=False), torch.randn(4, 3, 8)) == []
    assert changed_by_forward(noisy(), torch.randn(16, 64)) == []
    spectral = nn.utils.parametrizations.spectral_norm(nn.Linear(5, 3))
    assert changed_by_forward(nn.Sequential(spectral, nn.BatchNorm1d(3)), torch.randn(8, 5)) == []


@pytest.mark.parametrize("changes", [{"accumulate": 2}, {"precision": "bf16"}], ids=str)
def test_always_says_what_it_cannot_do(changes: dict[str, Any], digits: Digits, runs: Path) -> None:
    """It must not train on half of the window, or in another precision, instead."""
    experiment = tw.Experiment(noisy, train=digits, loss="cross_entropy", directory=runs)
    with pytest.raises(ModelError, match="cannot be one graph: accumulation, half precision"):
        experiment.train(PLAN.replace(**changes), listeners=())
    run = experiment.train(PLAN.replace(compile="auto", epochs=1, **changes), listeners=())
    assert run.plan.compile == "never"
    (decision,) = [d for d in run.decisions if d["field"] == "compile"]
    assert "taken eagerly" in decision["reason"]


@needs_compiler
@compiles
@pytest.mark.timeout(600)
def test_what_the_compiler_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(5, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(x) if float(x.sum()) > 0 else -self.layer(x)

    monkeypatch.setattr(compiled, "WORTH_SECONDS", 0.0)
    reason = reason_of(Branching(), torch.randn(8, 5))
    assert reason.startswith("the step cannot be compiled: ModelError")
    step = Step(Branching().train(), F.cross_entropy, tw.optimizers.SGD(lr=0.1))
    window = [(torch.randn(8, 5), torch.zeros(8, dtype=torch.long))]
    graph = CompiledStep(step, window)
    with pytest.raises(ModelError, match=r"cannot be compiled \(.*Set compile='never' or 'auto'"):
        graph(window, step=0, rate=0.1)


def test_a_batch_of_another_shape_goes_the_eager_way(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda s, b, x, *_: sizes.append(len(x)) or x.sum())
    step, eager = pair(Plain, OPTIMIZERS[0])
    graph = CompiledStep(step, windows("tensor", 1)[0])
    for k, window in enumerate(windows("tensor", 5)):
        graph(window, step=k, rate=0.1)
    assert sizes == [12, 12, 12, 12]
    eager(windows("tensor", 5)[-1], step=4, rate=0.1)
    for a, b in zip(step.network.state_dict().values(), eager.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)  # the eager one alone has moved
    x, y = torch.randn(4, 5), torch.zeros(4)
    shapes = [shape_of([(v, y)]) for v in (x, x.double(), x.t().contiguous().t(), (x, x))]
    assert len(set(shapes)) == 4


def test_monitors_of_a_graph_look_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing inside a graph is seen: the layers are read in an eager pass that leaves no trace."""
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    found = {}
    for watched in (True, False):
        step, _ = pair(lambda: noisy(), OPTIMIZERS[0])
        monitor = Monitor(step, Writer(Store(tmp_path / f"{watched}.sqlite", create=True)), share=1.0)
        counter = count()
        generator = torch.Generator().manual_seed(0)
        batches = [
            [(torch.randn(8, 64, generator=generator, dtype=torch.float64), torch.arange(8) % 10)] for _ in range(6)
        ]
        monitor.compiled = CompiledStep(step, batches[0])
        with global_rng_kept():
            take = monitor.step if watched else monitor.compiled
            losses = [take(window, step=next(counter), rate=0.05) for window in batches]
        monitor.writer.flush()
        found[watched] = torch.stack(losses), {**step.network.state_dict(), **step.state_dict()}
        readings = monitor.writer.store.readings()
        assert bool(len(readings.of("activation.std"))) == watched
        if watched:
            assert len(readings.of("update.ratio")) > 0
            assert all(r.value > 0 for r in readings.of("update.ratio"))
    assert torch.equal(found[True][0], found[False][0])
    for a, b in zip(found[True][1].values(), found[False][1].values(), strict=True):
        assert torch.equal(a, b)

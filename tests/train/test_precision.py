"""Half precision against torch's autocast and GradScaler in a loop written by hand, to the bit."""

from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.noise import seed_noise
from thalweg.readings import Reading
from thalweg.store import Store, Writer
from thalweg.train import precision
from thalweg.train.clipping import Clipping
from thalweg.train.evaluation import measure_batches
from thalweg.train.monitor import Monitor
from thalweg.train.precision import LossScale
from thalweg.train.step import Step

torch.set_num_threads(1)
Batches = list[tuple[Tensor, Tensor]]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2), nn.Flatten(), nn.Linear(64, 16), nn.GELU(),
        nn.LayerNorm(16), nn.Linear(16, 3),
    )  # fmt: skip


def batches(count: int, *, spoiled: tuple[int, ...] = ()) -> Batches:
    """At the spoiled steps the inputs are so large that gradients overflow in half precision."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for k in range(count):
        x, y = torch.randn(16, 1, 6, 6, generator=generator), torch.randint(0, 3, (16,), generator=generator)
        found.append((x * 1e6 if k in spoiled else x, y))
    return found


def assert_equal(ours: nn.Module, theirs: nn.Module) -> None:
    for (name, a), b in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_bf16_is_the_autocast_loop_to_the_bit() -> None:
    ours, theirs = network(), network()
    part = tw.optimizers.AdamW(lr=0.01, weight_decay=0.1)
    step = Step(ours, F.cross_entropy, part, clipping=Clipping(norm=0.5), precision="bf16", decay_all=True, seed=5)
    optimizer = part.build(theirs.parameters())
    for k, (x, y) in enumerate(batches(20)):
        loss = step([(x, y)], step=k, rate=0.01)
        seed_noise(5, k)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            expected = F.cross_entropy(theirs(x), y)
        expected.backward()
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
        assert torch.equal(loss, expected.detach())
    assert_equal(ours, theirs)
    assert {p.dtype for p in ours.parameters()} == {torch.float32}


def test_bf16_with_accumulation_is_the_loop_over_pieces() -> None:
    ours, theirs = network(), network()
    part = tw.optimizers.SGD(lr=0.05, momentum=0.9)
    step = Step(ours, F.cross_entropy, part, precision="bf16", seed=5)
    optimizer = part.build(theirs.parameters())
    for k, (x, y) in enumerate(batches(10)):
        step([(x[:12], y[:12]), (x[12:], y[12:])], step=k, rate=0.05)
        seed_noise(5, k)
        optimizer.zero_grad()
        for part_x, part_y in ((x[:12], y[:12]), (x[12:], y[12:])):
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(theirs(part_x), part_y)
            (loss * len(part_y) / 16).backward()
        optimizer.step()
    assert_equal(ours, theirs)


def test_fp16_is_the_loop_with_torchs_scaler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skipped updates, the scale's fall and its growth included."""
    monkeypatch.setattr(precision, "GROWTH_INTERVAL", 4)
    ours, theirs = network(), network()
    part = tw.optimizers.AdamW(lr=0.01)
    step = Step(ours, F.cross_entropy, part, clipping=Clipping(norm=0.5), precision="fp16", decay_all=True, seed=5)
    optimizer = part.build(theirs.parameters())
    scaler = torch.amp.GradScaler("cpu", growth_interval=4)
    scales, skipped = [], []
    for k, (x, y) in enumerate(batches(24, spoiled=(2, 9, 10))):
        before = ours[0].weight.clone()
        step([(x, y)], step=k, rate=0.01)
        seed_noise(5, k)
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.float16):
            loss = F.cross_entropy(theirs(x), y)
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        scaler.step(optimizer)
        scaler.update()
        assert step.loss_scale is not None
        assert float(step.loss_scale.scale) == scaler.get_scale()
        assert int(step.loss_scale.steps_without) == scaler._get_growth_tracker()
        scales.append(scaler.get_scale())
        skipped.append(torch.equal(before, ours[0].weight))
        assert torch.equal(ours[0].weight, theirs[0].weight), k
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(a, b)
    # The batches really did overflow, and the scale really fell and grew.
    assert [k for k in range(24) if skipped[k]] == [k for k in range(24) if scales[k] < ([2.0**16, *scales])[k]]
    assert sum(skipped) >= 3
    assert any(b > a for a, b in pairwise(scales))


def test_the_scale_is_divided_out_exactly_and_counts_steps() -> None:
    scale = LossScale(torch.device("cpu"))
    gradients = [torch.tensor([65536.0, -32768.0]), torch.tensor(3.0)]
    assert scale.divide(gradients)
    assert gradients[0].tolist() == [1.0, -0.5]
    assert float(gradients[1]) == 3.0 / 65536
    assert not scale.divide([torch.tensor([1.0, float("inf")])])
    assert (float(scale.scale), int(scale.steps_without)) == (32768.0, 0)


def test_a_left_out_update_keeps_the_optimizers_state() -> None:
    model = network()
    step = Step(model, F.cross_entropy, tw.optimizers.AdamW(lr=0.01), precision="fp16")
    good, bad = batches(1)[0], batches(1, spoiled=(0,))[0]
    step([good], step=0, rate=0.01)
    before = {name: value.clone() for name, value in step.state_dict().items()}
    weights = [p.detach().clone() for p in model.parameters()]
    step([bad], step=1, rate=0.01)
    assert step.overflowed
    after = step.state_dict()
    assert float(after["loss_scale.scale"]) == float(before["loss_scale.scale"]) / 2
    for name, value in before.items():
        assert torch.equal(value, after[name]) or name.startswith("loss_scale")
    for a, b in zip(weights, model.parameters(), strict=True):
        assert torch.equal(a, b)
    step([good], step=2, rate=0.01)
    assert not step.overflowed


def watched(folder: Path, word: str, *, spoiled: tuple[int, ...] = ()) -> list[Reading]:
    store = Store(folder / f"{word}.sqlite", create=True)
    step = Step(network(), F.cross_entropy, tw.optimizers.AdamW(lr=0.01), precision=word)
    monitor = Monitor(step, Writer(store), share=1.0)
    for k, batch in enumerate(batches(3, spoiled=spoiled)):
        monitor.step([batch], step=k, rate=0.01)
    monitor.writer.flush()
    return list(store.readings())


def test_a_watched_step_that_overflowed_reports_no_gradient(tmp_path: Path) -> None:
    """Its gradients are of the scale, not of the network: an alarm about them would be false."""
    readings = [r for r in watched(tmp_path, "fp16", spoiled=(1,)) if "gradient" in r.name or "update" in r.name]
    assert {r.step for r in readings} == {0, 2}
    assert all(r.value < float("inf") for r in readings)


def test_watched_gradients_do_not_have_the_scale(tmp_path: Path) -> None:
    half, full = watched(tmp_path, "fp16"), watched(tmp_path, "float32")
    places = {(r.name, r.place): r.value for r in full if r.step == 0 and "gradient" in r.name}
    compared = {(r.name, r.place): r.value for r in half if r.step == 0 and "gradient" in r.name}
    assert len(places) > 10
    assert compared == pytest.approx(places, rel=0.02)  # ten bits of mantissa


def test_evaluation_is_float32(runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(120, 1, 6, 6, generator=generator), torch.randint(0, 3, (120,), generator=generator)
    experiment = tw.Experiment(network, train=data, loss="cross_entropy", directory=runs)
    plan = tw.Plan.plain(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=2, batch_size=16, seed=0)
    run = experiment.train(plan.replace(precision="bf16"), listeners=())
    full = experiment.train(plan, listeners=())
    assert run.history["train.loss"] != full.history["train.loss"]
    rows = experiment.data.validation
    expected = F.cross_entropy(run.model(rows.inputs), rows.target).detach()  # type: ignore[union-attr]
    assert run.history["validation.loss"][-1] == pytest.approx(float(expected), rel=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        half = F.cross_entropy(run.model(rows.inputs), rows.target).detach()  # type: ignore[union-attr]
    assert float(half) != pytest.approx(float(expected), rel=1e-5)
    found = measure_batches(run.network, F.cross_entropy, [(rows.inputs, rows.target)])  # type: ignore[union-attr]
    assert found.values["loss"] == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("word", ["bf16", "fp16"])
def test_a_resumed_training_goes_on_to_the_bit(word: str, runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(120, 1, 6, 6, generator=generator), torch.randint(0, 3, (120,), generator=generator)
    experiment = tw.Experiment(network, train=data, loss="cross_entropy", directory=runs, test=False)
    plan = tw.Plan.plain(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=3, batch_size=16, seed=0, precision=word)
    whole = experiment.train(plan, listeners=())
    first = experiment.train(plan.replace(epochs=1), listeners=())
    resumed = experiment.resume(first, epochs=3, listeners=())
    assert_equal(whole.network, resumed.network)
    assert whole.history["train.loss"] == resumed.history["train.loss"]

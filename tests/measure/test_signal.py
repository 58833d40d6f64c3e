import copy
import statistics
import time

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.activations import MODULES, SHAPES, shape_of
from thalweg.measure.calls import MAX_CALLS
from thalweg.measure.signal import Signal
from thalweg.measure.updates import Updates
from thalweg.readings import Readings


def watched_step(network, inputs, target, *, lr=0.1, loss=F.cross_entropy):
    """One plain SGD step under observation; the readings and the loss."""
    names, parameters = zip(*network.named_parameters(), strict=True)
    signal = Signal(network)
    with signal.attached():
        value = loss(network(inputs), target)
        gradients = torch.autograd.grad(value, parameters, allow_unused=True)
    signal.before_update(names, parameters, gradients)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(lr * gradient)
    signal.after_update()
    return Readings(signal.readings(7)), value.detach()


def batch(rows=32, features=6, classes=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, features, generator=generator), torch.randint(classes, (rows,), generator=generator)


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))


def test_statistics_are_those_of_float64_formulas():
    network = mlp()
    inputs, target = batch()
    reference = copy.deepcopy(network).double()
    outputs = [inputs.double()]
    for layer in reference:
        outputs.append(layer(outputs[-1]))
        outputs[-1].retain_grad()
    loss = F.cross_entropy(outputs[-1], target)
    loss.backward()
    readings, _ = watched_step(network, inputs, target)
    gradients = [output.grad for output in outputs]
    outputs = [output.detach() for output in outputs]
    for k, output in enumerate(outputs[1:]):
        place = str(k)
        assert readings.value("activation.mean", place) == pytest.approx(float(output.mean()), rel=1e-5, abs=1e-7)
        assert readings.value("activation.std", place) == pytest.approx(float(output.std(correction=0)), rel=1e-5)
        expected = float(gradients[k + 1].square().mean().sqrt())
        assert readings.value("activation.gradient", place) == pytest.approx(expected, rel=1e-5)
    relu, tanh_input = outputs[2], outputs[3]
    assert readings.value("activation.zero", "1") == pytest.approx(float((relu == 0).double().mean()), abs=1e-6)
    assert readings.value("activation.dead", "1") == pytest.approx(float((relu == 0).all(0).double().mean()), abs=1e-6)
    saturated = 1 - tanh_input.tanh() ** 2 < 0.01
    assert readings.value("activation.saturated", "3") == pytest.approx(float(saturated.double().mean()), abs=1e-6)
    assert readings.of("activation.mean")[0].step == 7
    assert readings.of("activation.mean")[0].count == 32
    assert readings.last("activation.zero", "1").note == "ReLU"


def test_layers_have_gradient_weight_and_update():
    network = mlp()
    before = copy.deepcopy(network)
    inputs, target = batch()
    gradients = torch.autograd.grad(F.cross_entropy(before(inputs), target), list(before.parameters()))
    readings, _ = watched_step(network, inputs, target, lr=0.1)
    for k, place in enumerate(("0", "2", "4")):
        gradient = torch.cat([g.flatten() for g in gradients[2 * k : 2 * k + 2]]).double()
        weight = torch.cat([p.detach().flatten() for p in before[int(place)].parameters()]).double()
        assert readings.value("gradient.rms", place) == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-5)
        assert readings.value("weight.rms", place) == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-5)
        expected = float(0.1 * gradient.norm() / weight.norm())
        assert readings.value("update.ratio", place) == pytest.approx(expected, rel=1e-4)
    whole = torch.cat([g.flatten() for g in gradients]).double().norm()
    assert readings.value("gradient.norm", "") == pytest.approx(float(whole), rel=1e-5)
    ratios = [readings.value("update.ratio", place) for place in ("0", "2", "4")]
    assert readings.value("update.ratio", "") == statistics.median(ratios)


def test_dead_units_are_counted_per_feature_and_per_channel():
    inputs, target = batch(features=16)
    linear = nn.Sequential(nn.Linear(16, 10), nn.ReLU(), nn.Linear(10, 3))
    with torch.no_grad():
        linear[0].bias[:4] = -100.0
        linear[0].bias[4:] = 100.0
    assert watched_step(linear, inputs, target)[0].value("activation.dead", "1") == pytest.approx(0.4, abs=1e-6)
    conv = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(32, 3))
    with torch.no_grad():
        conv[0].bias[:2] = -100.0
        conv[0].bias[2:] = 100.0
    readings, _ = watched_step(conv, inputs.view(-1, 1, 4, 4), target)
    assert readings.value("activation.dead", "1") == pytest.approx(0.25, abs=1e-6)
    assert readings.value("activation.mean", "0") > 10  # read before the ReLU overwrote it


@pytest.mark.parametrize(
    ("layer", "width"),
    [(nn.Conv1d(5, 8, 3, padding=1), 8), (nn.Sequential(nn.Linear(5, 8)), 8)],
    ids=["conv", "linear"],
)
def test_units_of_sequences_are_channels_after_a_convolution_and_features_else(layer, width):
    network = nn.Sequential(layer, nn.ReLU())
    module = layer if isinstance(layer, nn.Conv1d) else layer[0]
    with torch.no_grad():
        module.bias.copy_(torch.where(torch.arange(width) < 2, -100.0, 100.0))
    readings, _ = watched_step(network, torch.randn(4, 5, 5), torch.zeros(()), loss=lambda o, t: o.sum())
    assert readings.value("activation.dead", "1") == pytest.approx(0.25, abs=1e-6)


class Functional(nn.Module):
    """The network of most tutorials: its activations are functions, not modules."""

    def __init__(self):
        super().__init__()
        self.first, self.second, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = self.second(x).relu_()
        return self.head(torch.sigmoid(x))


def test_activations_called_as_functions_are_seen():
    network = nn.Sequential(Functional())
    with torch.no_grad():
        network[0].first.bias.fill_(-100.0)
    readings, _ = watched_step(network, *batch())
    assert readings.places("activation.zero") == ["0.relu", "0.relu_1", "0.sigmoid"]
    assert readings.value("activation.dead", "0.relu") == 1.0
    assert readings.places("activation.mean") == ["0.first", "0.relu", "0.second", "0.relu_1", "0.sigmoid", "0.head"]


def test_every_later_step_sees_the_same_places():
    for network in (mlp(), Functional()):
        signal = Signal(network)
        seen = []
        for _ in range(3):
            with signal.attached():
                torch.autograd.grad(network(batch()[0]).sum(), list(network.parameters()))
            seen.append([(r.name, r.place) for r in signal.readings(0)])
        assert seen[0] == seen[1] == seen[2]


class Several(nn.Module):
    """One ReLU for all layers, a tuple and a dict as outputs, a cell in a loop, an unused layer."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(10, 6, sparse=True)
        self.cell, self.lstm = nn.GRUCell(6, 6), nn.LSTM(6, 6, batch_first=True)
        self.relu, self.head, self.unused = nn.ReLU(), nn.Linear(6, 3), nn.Linear(2, 2)

    def forward(self, tokens):
        x = self.lstm(self.embed(tokens))[0]
        state = torch.zeros(len(tokens), 6)
        for k in range(x.shape[1]):
            state = self.relu(self.cell(x[:, k], state))
        return {"logits": self.head(state)}


def test_any_module():
    tokens, target = torch.randint(10, (8, 12)), torch.randint(3, (8,))
    readings, _ = watched_step(Several(), tokens, target, loss=lambda o, t: F.cross_entropy(o["logits"], t))
    relus = [f"relu_{k}" if k else "relu" for k in range(MAX_CALLS)]
    assert readings.places("activation.dead") == relus
    assert "lstm" in readings.places("activation.mean")
    assert readings.value("gradient.rms", "embed") > 0
    assert "unused" not in readings.places("gradient.rms")
    assert "unused" in readings.places("weight.rms")
    assert readings.value("update.ratio", "unused") == 0


def test_half_precision_keeps_digits():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(64, 4096), nn.ReLU(), nn.Linear(4096, 3)).bfloat16()
    inputs = torch.randn(64, 64, dtype=torch.bfloat16)
    with torch.no_grad():
        expected = float((network[:2](inputs) == 0).double().mean())
    weight = torch.cat([p.detach().flatten().double() for p in network[2].parameters()])
    readings, _ = watched_step(network, inputs, torch.randint(3, (64,)))
    assert readings.value("activation.zero", "1") == pytest.approx(expected, abs=1e-6)
    assert readings.value("weight.rms", "2") == pytest.approx(float(weight.square().mean().sqrt()), rel=1e-5)


def test_attention_and_parametrized_layers_are_one_layer():
    attention = nn.TransformerEncoderLayer(6, 2, 12, batch_first=True)
    network = nn.Sequential(attention, nn.utils.parametrizations.weight_norm(nn.Linear(6, 3)))
    readings, _ = watched_step(network, torch.randn(4, 5, 6), torch.zeros(()), loss=lambda o, t: o.square().mean())
    places = readings.places("activation.mean")
    assert "0.self_attn" in places
    assert "1" in places
    assert not any("parametrizations" in place for place in places + readings.places("gradient.rms"))
    assert readings.value("activation.zero", "0.relu") > 0


def test_checkpointed_activations_are_counted_once():
    from torch.utils.checkpoint import checkpoint

    inner = nn.Sequential(nn.Linear(6, 6), nn.ReLU())

    class Checkpointed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.head = inner, nn.Linear(6, 3)

        def forward(self, x):
            return self.head(checkpoint(self.inner, x, use_reentrant=False))

    readings, _ = watched_step(Checkpointed(), *batch())
    assert readings.places("activation.mean") == ["inner.0", "inner.1", "head"]


def test_watching_leaves_training_bit_identical():
    def train(watch):
        torch.manual_seed(3)
        network = nn.Sequential(
            nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(inplace=True), nn.Dropout(0.3), Functional(), nn.Linear(3, 3)
        )
        network[4].first = nn.Linear(16, 8)
        names, parameters = zip(*network.named_parameters(), strict=True)
        optimizer = torch.optim.Adam(parameters, lr=0.01)
        signal = Signal(network)
        for k in range(20):
            inputs, target = batch(seed=k)
            optimizer.zero_grad()
            if watch:
                with signal.attached():
                    F.cross_entropy(network(inputs), target).backward()
                signal.before_update(names, parameters, [p.grad for p in parameters])
                optimizer.step()
                signal.after_update()
                signal.readings(k)
            else:
                F.cross_entropy(network(inputs), target).backward()
                optimizer.step()
        return network, torch.get_rng_state()

    plain, plain_state = train(watch=False)
    watched, watched_state = train(watch=True)
    assert torch.equal(plain_state, watched_state)
    for a, b in zip(plain.state_dict().values(), watched.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in watched.modules())


def test_hooks_are_removed_after_an_error():
    network = mlp()
    with pytest.raises(RuntimeError), Signal(network).attached():
        network(torch.randn(2, 99))
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_not_finite_values_are_kept():
    network = mlp()
    with torch.no_grad():
        network[2].weight[0, 0] = float("inf")
    readings, _ = watched_step(network, *batch())
    values = [readings.value("activation.mean", "2"), readings.value("activation.std", "4")]
    assert not any(v == v and abs(v) < float("inf") for v in values)


def test_update_of_zero_weights_has_no_ratio():
    head = nn.Linear(4, 2)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    names, parameters = zip(*head.named_parameters(), strict=True)
    updates = Updates(names, parameters, [torch.ones(2, 4), None])
    updates.finish()
    found = updates.readings([float(s) for s in updates.scalars()], 0)
    told = [(r.name, r.place) for r in found]
    assert told == [("weight.rms", "weight"), ("gradient.rms", "weight"), ("weight.rms", "bias"), ("gradient.norm", "")]
    assert found[1].value == pytest.approx(1.0)


@pytest.mark.parametrize("module", MODULES, ids=lambda m: m.__name__)
def test_flat_ends_are_where_the_derivative_is_under_one_percent(module):
    layer = module()
    shape = shape_of(layer)
    z = torch.linspace(-12, 12, 240_001, dtype=torch.float64)
    if module is nn.PReLU:
        layer = layer.double()
    z.requires_grad_()
    slope = torch.autograd.grad(layer(z).sum(), z)[0].abs()
    flat = slope < 0.01 * slope.max()
    z = z.detach()
    if shape.dies:
        assert bool((flat == (z <= 0)).all()) or module is nn.ReLU6
        assert bool((layer(z[z < 0]) == 0).all())
        return
    steep = z[~flat]
    low, high = float(steep[0]), float(steep[-1])
    assert shape.low == pytest.approx(low, abs=2e-4) if low > -11.99 else shape.low == -float("inf")
    assert shape.high == pytest.approx(high, abs=2e-4) if high < 11.99 else shape.high == float("inf")


def test_every_activation_has_a_shape():
    assert set(MODULES.values()) == set(SHAPES)
    assert shape_of(nn.ELU(alpha=2.0)).saturates is False


def test_a_watched_step_is_cheap():
    network, (inputs, target) = mlp(), batch()
    names, parameters = zip(*network.named_parameters(), strict=True)
    signal = Signal(network)
    plain, watched = [], []
    for k in range(60):
        started = time.perf_counter()
        gradients = torch.autograd.grad(F.cross_entropy(network(inputs), target), parameters)
        middle = time.perf_counter()
        with signal.attached():
            gradients = torch.autograd.grad(F.cross_entropy(network(inputs), target), parameters)
        signal.before_update(names, parameters, gradients)
        signal.after_update()
        signal.readings(k)
        plain.append(middle - started)
        watched.append(time.perf_counter() - middle)
    assert statistics.median(watched) < 6 * statistics.median(
        plain
    )  # 3 is usual for such tiny layers without optimizer


def test_the_update_of_a_large_parameter_is_measured_on_a_sample() -> None:
    """Of 2**21 entries every ninth or so is copied, whatever the layout; the ratio is right to a percent."""
    generator = torch.Generator().manual_seed(0)
    for weight in (torch.randn(2048, 1024, generator=generator), torch.randn(512, 512, 2, 4, generator=generator)):
        weight = weight.contiguous(memory_format=torch.channels_last) if weight.dim() == 4 else weight
        updates = Updates(["layer.weight"], [weight], [None])
        assert updates.before[0].numel() < weight.numel() / 7
        change = torch.randn(weight.shape, generator=generator) * 1e-3 * weight.abs()
        exact = float(change.norm() / weight.norm())
        weight += change
        updates.finish()
        readings = Readings(updates.readings([float(s) for s in updates.scalars()], 0))
        assert readings.value("update.ratio", "layer") == pytest.approx(exact, rel=0.01)

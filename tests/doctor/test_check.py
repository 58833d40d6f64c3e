import copy
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import TensorDataset

from thalweg.data.rows import DatasetRows, Rows
from thalweg.data.task import infer_task
from thalweg.doctor.check import Check, check
from thalweg.errors import ModelError, TrainingError
from thalweg.parts.optimizers import SGD, Adam
from thalweg.train.losses import resolve_loss

sys.path.insert(0, str(Path(__file__).parent))
from zoo import BRIGHT, HALVES, IMAGES, LABELS, NUMBERS, ZOO, X, mlp


def examine(network: nn.Module, loss, inputs, target: Tensor, **options) -> Check:
    function, name = resolve_loss(loss)
    rows = Rows(inputs, target, torch.arange(len(target)), "train")
    return check(network, function, loss_name=name, task=infer_task(target, loss_name=name), rows=rows, **options)


def found(result: Check) -> list[tuple[str, str]]:
    """Code and cause of the alarms."""
    return [(f.code, f.cause) for f in result.findings if f.counts]


@pytest.mark.parametrize("name", ZOO)
def test_healthy_trainings_raise_no_alarm(name):
    torch.manual_seed(0)
    healthy = ZOO[name]
    result = examine(healthy.build(), healthy.loss, healthy.inputs, healthy.target)
    assert found(result) == []


class InList(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hidden, self.last = [nn.Linear(12, 32), nn.Linear(32, 32)], nn.Linear(32, 5)

    def forward(self, x):
        for layer in self.hidden:
            x = torch.relu(layer(x))
        return self.last(x)


class Detached(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.last = nn.Linear(12, 32), nn.Linear(32, 5)

    def forward(self, x):
        return self.last(torch.relu(self.body(x)).detach())


def constant() -> nn.Module:
    network = mlp()
    for p in network.parameters():
        nn.init.constant_(p, 0.05)
    return network


def wide() -> nn.Module:
    network = mlp()
    for module in network:
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=3.0)
    return network


def sigmoids() -> nn.Module:
    hidden = [m for _ in range(10) for m in (nn.Linear(32, 32), nn.Sigmoid())]
    return nn.Sequential(nn.Linear(12, 32), nn.Sigmoid(), *hidden, nn.Linear(32, 5))


def exploding() -> nn.Module:
    hidden = [m for _ in range(6) for m in (nn.Linear(12, 12), Exponential())]
    return nn.Sequential(*hidden, nn.Linear(12, 5))


class Exponential(nn.Module):
    def forward(self, x):
        return torch.exp(x)


def first_or_not(output, target):
    return F.binary_cross_entropy(output[:, 0], target.clamp(max=1).float())


def own_loss(output, target):
    return F.cross_entropy(output, target)


UNEVEN = X * 10.0 ** torch.arange(12).remainder(5)
LOSS = ("LOSS02", "loss_head_mismatch")
BROKEN = {
    "softmax twice": (lambda: mlp(5, nn.Softmax(1)), "cross_entropy", X, LABELS, LOSS),
    "softmax over the batch": (lambda: mlp(5, nn.Softmax(0)), lambda o, t: F.nll_loss(o.log(), t), X, LABELS, LOSS),
    "softmax over one unit": (
        lambda: mlp(1, nn.Softmax(1)), lambda o, t: F.binary_cross_entropy(o[:, 0], t), X, HALVES, LOSS
    ),
    "sigmoid before logits": (lambda: mlp(1, nn.Sigmoid()), "binary_cross_entropy", X, HALVES, LOSS),
    "relu before numbers": (lambda: mlp(1, nn.ReLU()), "mse", X, NUMBERS, LOSS),
    "nll of logits": (mlp, "nll", X, LABELS, LOSS),
    "broadcast": (lambda: mlp(1), lambda o, t: ((o - t) ** 2).mean(), X, NUMBERS, LOSS),
    "turned sign": (mlp, lambda o, t: -F.cross_entropy(o, t), X, LABELS, LOSS),
    "one unit for five classes": (lambda: mlp(1, nn.Sigmoid()), first_or_not, X, LABELS, LOSS),
    "logits where probabilities are wanted": (
        mlp, lambda o, t: F.nll_loss(o.clamp(1e-7, 1).log(), t), X, LABELS, LOSS
    ),
    "constant start": (constant, "cross_entropy", X, LABELS, ("INIT01", "init_constant")),
    "layers in a list": (InList, "cross_entropy", X, LABELS, ("GRAD01", "parameters_not_trained")),
    "detached": (Detached, "cross_entropy", X, LABELS, ("GRAD01", "parameters_not_trained")),
    "uneven inputs": (mlp, "cross_entropy", UNEVEN, LABELS, ("DATA01", "input_scale")),
    "one target": (mlp, own_loss, X, torch.zeros_like(LABELS), ("DATA03", "label_corruption")),
    "linear stack": (
        lambda: nn.Sequential(nn.Linear(12, 32), nn.Linear(32, 1)),
        "binary_cross_entropy",
        X,
        HALVES,
        ("ARCH01", "no_nonlinearity"),
    ),
    "stack of sigmoids": (sigmoids, "cross_entropy", X, LABELS, ("FIT01", "vanishing")),
    "not finite": (exploding, "cross_entropy", X, LABELS, ("LOSS01", "exploding")),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_broken_trainings_are_found_with_their_cause(name):
    torch.manual_seed(0)
    build, loss, inputs, target, expected = BROKEN[name]
    result = examine(build(), loss, inputs, target)
    assert expected in found(result)
    assert {cause for _, cause in found(result)} == {expected[1]}


def test_wide_weights_start_far_above_and_a_plans_rate_is_used():
    torch.manual_seed(0)
    result = examine(wide(), "cross_entropy", X, LABELS, optimizer=SGD(lr=0.1))
    assert ("LOSS01", "init_scale") in found(result)


def test_a_far_target_is_harm_at_the_plans_rate():
    torch.manual_seed(0)
    result = examine(mlp(1), "mse", X, 1e5 * NUMBERS + 2e5, optimizer=Adam(lr=3e-3))
    assert found(result) == [("DATA02", "target_scale")]


def test_without_probes_nothing_is_trained_and_harm_stays_a_suspicion():
    torch.manual_seed(0)
    result = examine(wide(), "cross_entropy", X, LABELS, probes=False)
    assert found(result) == []
    assert [f.standing for f in result.findings] == ["suspicion"]
    assert "FIT01" in result.not_judged
    assert not [r for r in result.readings if r.name.startswith(("probe.", "overfit."))]


def test_facts_passed_and_order():
    torch.manual_seed(0)
    result = examine(mlp(), "cross_entropy", X, LABELS)
    assert result.facts[0].startswith("loss at start 1.6")
    assert "(ln 5 = 1.61)" in result.facts[0]
    assert result.facts[1].startswith("fits 32 rows in ")
    assert set(result.passed) >= {
        "ARCH01",
        "DATA01",
        "DATA02",
        "DATA03",
        "FIT01",
        "GRAD01",
        "INIT01",
        "LOSS01",
        "LOSS02",
    }
    assert "DATA04" in result.not_judged  # which needs all parts of the data
    assert result.seconds > 0
    counts = [f.counts for f in examine(InList(), lambda o, t: F.cross_entropy(o.softmax(1), t), X, LABELS).findings]
    assert counts == sorted(counts, reverse=True)


class Noisy(nn.Module):
    """Draws from every generator, counts its calls, has buffers and a mode of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.drop, self.last = nn.BatchNorm1d(12), nn.Dropout(0.3), nn.Linear(12, 5)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.last(self.drop(self.norm(x))) + 1e-3 * (random.random() + np.random.rand())


def test_network_buffers_modes_and_generators_are_bit_identical():
    torch.manual_seed(0)
    network = Noisy()
    network.norm.eval()
    network.last.bias.grad = torch.ones(5)
    before = copy.deepcopy(network.state_dict())
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    data = X.clone()
    first = examine(network, "cross_entropy", X, LABELS)
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())
    assert (network.training, network.norm.training) == (True, False)
    assert torch.equal(network.last.bias.grad, torch.ones(5))
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])
    assert states[2] == random.getstate()
    assert torch.equal(data, X)
    assert first.findings == examine(network, "cross_entropy", X, LABELS).findings


def test_the_same_seed_gives_the_same_readings():
    torch.manual_seed(0)
    network = mlp()
    first, second = (list(examine(network, "cross_entropy", X, LABELS).readings) for _ in range(2))
    assert first == second


def test_transforms_come_before_the_network():
    torch.manual_seed(0)
    network = mlp()
    result = examine(network, "cross_entropy", UNEVEN, LABELS, transform=lambda v: (v - UNEVEN.mean(0)) / UNEVEN.std(0))
    assert found(result) == []
    far = 1e5 * NUMBERS + 2e5
    result = examine(mlp(1), "mse", X, far, target_transform=lambda t: (t - far.mean()) / far.std())
    assert found(result) == []


def test_rows_of_a_dataset():
    dataset = TensorDataset(X, LABELS)
    rows = DatasetRows(dataset, LABELS, torch.arange(len(X)), "train")
    torch.manual_seed(0)
    task = infer_task(LABELS, loss_name="cross_entropy")
    result = check(mlp(), F.cross_entropy, loss_name="cross_entropy", task=task, rows=rows)
    assert found(result) == []


@pytest.mark.parametrize(
    ("network", "loss", "error", "words"),
    [
        (mlp(), lambda o, t: F.cross_entropy(o, t, reduction="none"), TrainingError, "one value is needed"),
        (nn.Linear(11, 5), "cross_entropy", ModelError, "11 values in the last dimension"),
        (mlp(3), "cross_entropy", TrainingError, r"outputs of shape \[300, 3\]"),
        (mlp().requires_grad_(False), "cross_entropy", ModelError, "no trainable parameter"),
    ],
)
def test_what_cannot_be_trained_is_said(network, loss, error, words):
    with pytest.raises(error, match=words):
        examine(network, loss, X, LABELS)


def test_a_loss_that_refuses_what_it_never_gets_is_left_in_peace():
    def picky(output, target):
        assert bool((output > 0).all())
        return F.nll_loss(output.log(), target)

    torch.manual_seed(0)
    assert found(examine(mlp(5, nn.Softmax(1)), picky, X, LABELS)) == []


def test_a_loss_on_decisions_reaches_nothing():
    class Decides(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            return self.body(x).argmax(1)

    torch.manual_seed(1)  # from some starts no harm is seen in so few rows, and the finding is a note
    result = examine(Decides(), lambda o, t: (o != t).float().mean(), X, LABELS)
    assert found(result) == [("GRAD01", "parameters_not_trained")]


def test_a_loss_that_is_nan_is_a_finding():
    result = examine(mlp(), lambda o, t: F.cross_entropy(o, t) * float("nan"), X, LABELS)
    assert found(result) == [("LOSS01", "non_finite")]
    assert "FIT01" in result.not_judged


def test_images_and_digits(digits):
    x, y = digits
    torch.manual_seed(0)
    assert (
        found(examine(nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), "cross_entropy", x / 16, y)) == []
    )
    network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 2), nn.Softmax(1))
    assert found(examine(network, "cross_entropy", IMAGES, BRIGHT)) == [LOSS]


def test_a_check_does_not_wait_for_torchs_compiler():
    """The first optimizer of torch's in a process imports it, which takes a second."""
    code = """
import sys, torch, thalweg as tw
x = torch.randn(64, 4)
experiment = tw.Experiment(torch.nn.Linear(4, 2), train=(x, (x[:, 0] > 0).long()), loss="cross_entropy")
experiment.check()
print("torch._dynamo" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

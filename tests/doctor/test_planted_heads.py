"""Faults of loss and last layer, planted in small networks and examined by the whole check."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.doctor.check import check

G = torch.Generator().manual_seed(0)
X = torch.randn(300, 12, generator=G)
LABELS = (X @ torch.randn(12, 5, generator=G)).argmax(1)
HALVES = (X[:, 0] * X[:, 1] > 0).long()
NUMBERS = torch.sin(X[:, 0]) + X[:, 1] * X[:, 2]
CLASSES = Task("multiclass", tuple(range(5)), 5)
BINARY = Task("binary", (0, 1), 2)
REAL = Task("regression", (), 1)


def nll_of(probability, target):
    return F.nll_loss(probability.clamp_min(1e-7).log(), target)


def body(outputs: int, *last: nn.Module) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 32), nn.ReLU(), nn.Linear(32, outputs), *last)


class FunctionalSoftmax(nn.Module):
    """Softmax at the end of forward; `always` or in evaluation only, as networks for use often have it."""

    def __init__(self, always: bool) -> None:
        super().__init__()
        self.body, self.always = body(5), always

    def forward(self, x):
        z = self.body(x)
        return z.softmax(-1) if self.always or not self.training else z


class ByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = body(5)

    def forward(self, x):
        e = self.body(x).exp()
        return e / e.sum(1, keepdim=True)


def loss02(network, loss, target, task):
    rows = Rows(X, target, torch.arange(len(X)), "train")
    found = check(network, loss, loss_name=None, task=task, rows=rows, probes=False)
    return [f for f in found.findings if f.code == "LOSS02"]


def mse(output, target):
    return ((output - target) ** 2).mean()


def one_hot_bce(output, target):
    return F.binary_cross_entropy(output, F.one_hot(target, 5).float())


PLANTED = {
    "softmax before cross-entropy": (body(5, nn.Softmax(1)), F.cross_entropy, LABELS, CLASSES, "softmax"),
    "softmax as a function": (FunctionalSoftmax(True), F.cross_entropy, LABELS, CLASSES, "softmax"),
    "softmax by hand": (ByHand(), F.cross_entropy, LABELS, CLASSES, "softmax"),
    "sigmoid before cross-entropy": (body(5, nn.Sigmoid()), F.cross_entropy, LABELS, CLASSES, "sigmoid"),
    "tanh before cross-entropy": (body(5, nn.Tanh()), F.cross_entropy, LABELS, CLASSES, "tanh"),
    "sigmoid twice": (
        body(1, nn.Sigmoid()),
        lambda o, t: F.binary_cross_entropy_with_logits(o[:, 0], t.float()),
        HALVES,
        BINARY,
        "sigmoid",
    ),
    "softmax twice": (body(5, nn.Softmax(1), nn.Softmax(1)), nll_of, LABELS, CLASSES, "softmax"),
    "softmax over one output": (
        body(1, nn.Softmax(1)),
        lambda o, t: F.binary_cross_entropy(o[:, 0], t.float()),
        HALVES,
        BINARY,
        "one output",
    ),
    "softmax over the batch": (body(5, nn.Softmax(0)), nll_of, LABELS, CLASSES, "over the batch"),
    "one sigmoid for five classes": (
        body(1, nn.Sigmoid()),
        lambda o, t: F.binary_cross_entropy(o[:, 0].clamp(0, 1), t.float().clamp(0, 1)),
        LABELS,
        CLASSES,
        "1 output for 5",
    ),
    "likelihood of probabilities": (body(5, nn.Softmax(1)), F.nll_loss, LABELS, CLASSES, None),
    "likelihood of logits": (body(5), F.nll_loss, LABELS, CLASSES, "falls without end"),
    "ReLU on targets below 0": (
        body(1, nn.ReLU()),
        lambda o, t: mse(o[:, 0], t),
        NUMBERS,
        REAL,
        "relu",
    ),
    "tanh on targets beyond 1": (body(1, nn.Tanh()), lambda o, t: mse(o[:, 0], t), 5 * NUMBERS, REAL, "tanh"),
    "sigmoid on targets beyond 1": (body(1, nn.Sigmoid()), lambda o, t: mse(o[:, 0], t), NUMBERS, REAL, "sigmoid"),
    "outputs [N, 1], targets [N]": (body(1), mse, NUMBERS, REAL, "all 256 targets"),
    "negative cross-entropy": (body(5), lambda o, t: -F.cross_entropy(o, t), LABELS, CLASSES, "higher for right"),
    "logarithm of logits": (
        body(5),
        lambda o, t: F.nll_loss(o.clamp(1e-7, 1 - 1e-7).log(), t),
        LABELS,
        CLASSES,
        "no gradient",
    ),
}
HEALTHY = {
    "cross-entropy": (body(5), F.cross_entropy, LABELS, CLASSES),
    "log softmax": (body(5, nn.LogSoftmax(1)), F.nll_loss, LABELS, CLASSES),
    "log softmax twice": (body(5, nn.LogSoftmax(1)), F.cross_entropy, LABELS, CLASSES),
    "softmax and its logarithm": (body(5, nn.Softmax(1)), nll_of, LABELS, CLASSES),
    "softmax in evaluation only": (FunctionalSoftmax(False), F.cross_entropy, LABELS, CLASSES),
    "sigmoid": (body(1, nn.Sigmoid()), lambda o, t: F.binary_cross_entropy(o[:, 0], t.float()), HALVES, BINARY),
    "weights of classes": (
        body(5),
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 10, 1, 3, 1])),
        LABELS,
        CLASSES,
    ),
    "smoothed labels": (body(5), nn.CrossEntropyLoss(label_smoothing=0.1), LABELS, CLASSES),
    "hinge": (body(5), F.multi_margin_loss, LABELS, CLASSES),
    "mean squares of classes": (body(5), lambda o, t: mse(o, F.one_hot(t, 5).float()), LABELS, CLASSES),
    "one sigmoid per class": (body(5, nn.Sigmoid()), one_hot_bce, LABELS, CLASSES),
    "mean squares of a softmax": (
        body(5, nn.Softmax(1)),
        lambda o, t: mse(o, F.one_hot(t, 5).float()),
        LABELS,
        CLASSES,
    ),
    "ReLU on counts": (body(1, nn.ReLU()), lambda o, t: mse(o[:, 0], t), NUMBERS.abs(), REAL),
    "sigmoid on shares": (body(1, nn.Sigmoid()), lambda o, t: mse(o[:, 0], t), NUMBERS.sigmoid(), REAL),
    "huber": (body(1), lambda o, t: F.huber_loss(o[:, 0], t), NUMBERS, REAL),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_fault_is_an_alarm(name):
    network, loss, target, task, words = PLANTED[name]
    found = loss02(network, loss, target, task)
    if words is None:  # bounded by the softmax: it trains, less steeply, and only a twin can tell
        assert not any(f.counts for f in found)
        return
    (finding,) = found
    assert finding.counts, finding
    assert finding.cause == "loss_head_mismatch"
    assert words in finding.title


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_pair_is_no_alarm(name):
    assert not any(f.counts for f in loss02(*HEALTHY[name]))

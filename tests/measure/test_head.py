import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.head import Head, head_of

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).requires_grad_()


@pytest.mark.parametrize(
    ("output", "kind"),
    [
        (F.softmax(X, 1), "softmax"),
        (nn.Softmax(-1)(X), "softmax"),
        (X.exp() / X.exp().sum(1, keepdim=True), "softmax"),  # by hand
        (F.log_softmax(X, -1), "log_softmax"),
        (torch.sigmoid(X[:, 0]), "sigmoid"),
        (torch.sigmoid(X).reshape(6, 2, 2).transpose(1, 2), "sigmoid"),
        (torch.tanh(X), "tanh"),
        (nn.ReLU(inplace=True)(X * 1), "relu"),
        (F.softplus(X), "softplus"),
        (X.exp(), "exp"),
        (X.clamp(0, 1), "clamp"),
        (F.leaky_relu(X), "none"),
        (5 * torch.sigmoid(X), "none"),
        (X * 1, "none"),
    ],
)
def test_kinds_are_read_from_the_operation(output, kind):
    assert head_of(output).kind == kind


def test_the_dimension_of_a_softmax_is_told():
    assert (head_of(F.softmax(X, 0)).dim, head_of(F.softmax(X, -1)).dim) == (0, 1)
    assert head_of(F.softmax(X[:, :1], 1)).size == 1
    assert (head_of(X.clamp(min=-2)).low, head_of(X.clamp(min=-2)).high) == (-2.0, torch.inf)


@pytest.mark.parametrize(
    "head",
    [
        Head("none"),
        Head("softmax", dim=1, size=4),
        Head("sigmoid", 0.0, 1.0),
        Head("tanh", -1.0, 1.0),
        Head("relu", 0.0, torch.inf),
        Head("logsigmoid", -torch.inf, 0.0),
    ],
)
def test_free_numbers_and_outputs_are_inverse(head):
    outputs = head.outputs(torch.randn(6, 4))
    assert bool((outputs >= head.low).all())
    assert bool((outputs <= head.high).all())
    torch.testing.assert_close(head.outputs(head.free(outputs)), outputs, rtol=1e-4, atol=1e-5)


def test_softmax_of_probabilities_keeps_its_inner_head():
    free = torch.randn(6, 4, requires_grad=True)
    twice = head_of(free.softmax(1).softmax(1))
    assert (twice.kind, twice.inner.kind) == ("softmax", "softmax")
    torch.testing.assert_close(twice.outputs(free), free.softmax(1).softmax(1))
    assert head_of(torch.sigmoid(free).softmax(1)).inner.kind == "sigmoid"
    assert head_of(free.log_softmax(1).softmax(1)).inner is None
    right = torch.eye(4)
    highest = float(torch.tensor(1.0).exp() / (torch.tensor(1.0).exp() + 3))
    assert abs(float(twice.outputs(twice.free(right)).max()) - highest) < 1e-3  # e / (e + 3)

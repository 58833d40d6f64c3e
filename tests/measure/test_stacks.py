import pytest
import torch
from torch import nn

from thalweg.measure.head import FREE, head_of
from thalweg.measure.stacks import affine_error, linear_stacks

X = torch.randn(16, 8, generator=torch.Generator().manual_seed(0))
IMAGES = torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(1))


def pairs(network, inputs=X):
    found = linear_stacks(network, inputs)
    return {r.place: r.value for r in found if r.name == "stack.error"}, {
        r.place: r.value for r in found if r.name == "stack.saved"
    }


@pytest.mark.parametrize(
    ("network", "inputs", "places"),
    [
        (nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 1)), X, ["0 → 1", "1 → 2"]),
        (nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Identity(), nn.Linear(16, 3)), X, ["0 → 3"]),
        (nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Linear(16, 3)), X, ["0 → 2"]),
        (
            nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 8, 3), nn.Flatten(), nn.Linear(128, 2)),
            IMAGES,
            ["0 → 1", "1 → 3"],
        ),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 2)), IMAGES, ["0 → 3"]),
        (nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)), X, []),
        (nn.Sequential(nn.Linear(8, 16), nn.ReLU(inplace=True), nn.Linear(16, 3)), X, []),
        (nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.Linear(16, 3)), X, []),
        (nn.Sequential(nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3)), IMAGES, []),
    ],
)
def test_stacks_are_found_and_proven(network, inputs, places):
    errors, _ = pairs(network, inputs)
    assert list(errors) == places
    assert all(error < 1e-4 for error in errors.values())


class Functional(nn.Module):
    """The same two layers with and without a function between them that is no module."""

    def __init__(self, function) -> None:
        super().__init__()
        self.a, self.b, self.function = nn.Linear(8, 16), nn.Linear(16, 4), function

    def forward(self, x):
        return self.b(self.function(self.a(x)))


def test_functions_that_are_no_modules_count():
    assert list(pairs(Functional(torch.relu_))[0]) == []
    assert list(pairs(Functional(lambda v: v.reshape(-1, 16)))[0]) == ["a → b"]


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.gain = nn.Linear(8, 8), nn.Linear(8, 8), nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return x + self.gain * self.b(torch.relu(self.a(x)))


def test_a_layer_that_a_residual_connection_reads_is_no_stack():
    assert pairs(nn.Sequential(nn.Linear(8, 8), Block()))[0] == {}


def test_factorizations_save_nothing():
    assert pairs(nn.Sequential(nn.Linear(8, 2), nn.Linear(2, 8)))[1] == {"0 → 1": -1.0}
    separable = nn.Sequential(nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 16, 1))
    assert pairs(separable, torch.randn(4, 4, 6, 6))[1]["0 → 1"] < 0


def affine(network, inputs=X):
    output = network(inputs)
    return affine_error(network, inputs, head_of(output))


@pytest.mark.parametrize(
    "head", [nn.Identity(), nn.Sigmoid(), nn.Softmax(1), nn.LogSoftmax(1)], ids=lambda h: type(h).__name__
)
def test_linear_networks_are_affine_up_to_their_head(head):
    network = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.Linear(16, 3), head).eval()
    assert affine(network).value < 1e-3
    assert affine(network).count == 2


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.Tanh(), nn.GELU(), nn.LeakyReLU(0.3), nn.SiLU(), nn.Sigmoid(), nn.LayerNorm(16), nn.Hardtanh()],
    ids=lambda a: type(a).__name__,
)
def test_any_nonlinearity_shows_even_near_zero(activation):
    network = nn.Sequential(nn.Linear(8, 16), activation, nn.Linear(16, 3))
    with torch.no_grad():
        network[0].weight.mul_(1e-3)
    assert affine(network).value > 0.05


def test_what_cannot_be_told_is_not():
    assert affine_error(nn.Embedding(5, 3), torch.zeros(4, dtype=torch.long), FREE) is None
    constant = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
    with torch.no_grad():
        constant[2].weight.zero_()
    assert affine_error(constant, X, FREE) is None
    relu = nn.Sequential(nn.Linear(8, 4), nn.ReLU())
    assert affine_error(relu, X, head_of(relu(X))) is None

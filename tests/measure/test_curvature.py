import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.curvature import Hessian, blocks_of, curvature, lanczos
from thalweg.measure.untouched import untouched
from thalweg.readings import Readings


def small(*, act=nn.Tanh, norm=False):
    torch.manual_seed(0)
    middle = [nn.BatchNorm1d(5)] if norm else []
    return nn.Sequential(nn.Linear(4, 5), *middle, act(), nn.Dropout(0.3), nn.Linear(5, 3)).double()


def rows(count=96):
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(count, 4, generator=draw, dtype=torch.float64)
    return x, (x[:, 0] > 0).long() + (x[:, 1] > 0.5).long()


def explicit(network, loss, x, y):
    """The Hessian entry by entry, in evaluation mode."""
    network = network.eval()
    names = [name for name, _ in network.named_parameters()]
    shapes = [p.shape for p in network.parameters()]
    flat = torch.cat([p.detach().reshape(-1) for p in network.parameters()])

    def value(weights):
        parts = weights.split([s.numel() for s in shapes])
        given = {n: p.reshape(s) for n, p, s in zip(names, parts, shapes, strict=True)}
        return loss(torch.func.functional_call(network, given, x), y)

    return torch.autograd.functional.hessian(value, flat)


@pytest.mark.parametrize("norm", [False, True])
def test_the_largest_eigenvalue_is_that_of_the_explicit_hessian(norm):
    network, (x, y) = small(norm=norm), rows()
    if norm:
        network(x)  # running estimates of its own
    values = torch.linalg.eigvalsh(explicit(network, F.cross_entropy, x, y))
    network.train()
    found = Readings(curvature(network, F.cross_entropy, x, y, steps=20, step=7))
    assert found.value("curvature.sharpness") == pytest.approx(float(values[-1]), rel=1e-6)
    assert found.last("curvature.sharpness").step == 7
    few = Readings(curvature(network, F.cross_entropy, x, y))  # ten steps, as a diagnosis takes
    assert found.value("curvature.sharpness") == pytest.approx(few.value("curvature.sharpness"), rel=1e-2)
    assert network.training


def test_in_single_precision_it_is_the_same_to_three_digits():
    network, (x, y) = small(), rows()
    exact = Readings(curvature(network, F.cross_entropy, x, y, steps=20)).value("curvature.sharpness")
    single = Readings(curvature(network.float(), F.cross_entropy, x.float(), y, steps=20))
    assert single.value("curvature.sharpness") == pytest.approx(exact, rel=1e-3)


def test_products_and_both_ends_of_the_spectrum_are_those_of_the_explicit_hessian():
    network, (x, y) = small(), rows()
    hessian = explicit(network, F.cross_entropy, x, y)
    values = torch.linalg.eigvalsh(hessian)
    vector = torch.randn(len(hessian), generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with untouched(network):
        given = Hessian(network, F.cross_entropy, blocks_of(x, y), list(network.parameters()))
        torch.testing.assert_close(given(vector), hessian @ vector)
        assert given.loss == pytest.approx(F.cross_entropy(network(x), y).item())
        ends = lanczos(given, vector, steps=43)
    assert (ends.low, ends.high) == pytest.approx((float(values[0]), float(values[-1])), abs=1e-8)
    assert float(ends.lowest @ hessian @ ends.lowest) == pytest.approx(float(values[0]), abs=1e-8)


def test_curvature_along_the_gradient_is_the_second_difference_of_the_loss():
    network, (x, y) = small(), rows()
    found = Readings(curvature(network, F.cross_entropy, x, y)).value("curvature.along")
    network.eval()
    gradients = torch.autograd.grad(F.cross_entropy(network(x), y), list(network.parameters()))
    size, h = torch.cat([g.flatten() for g in gradients]).norm(), 1e-4
    losses = []
    with torch.no_grad():
        for sign in (1, -2, 1):
            for p, g in zip(network.parameters(), gradients, strict=True):
                p.add_(g, alpha=float((1 if sign == 1 and not losses else -1) * h / size))
            losses.append(float(F.cross_entropy(network(x), y)))
    assert found == pytest.approx((losses[0] - 2 * losses[1] + losses[2]) / h**2, rel=1e-3)


def test_scaled_coordinates_have_the_scaled_hessian():
    network, (x, y) = small(), rows()
    draw = torch.Generator().manual_seed(3)
    scale = {n: torch.rand(p.shape, generator=draw, dtype=p.dtype) + 0.1 for n, p in network.named_parameters()}
    s = torch.cat([part.reshape(-1) for part in scale.values()])
    values = torch.linalg.eigvalsh(s[:, None] * explicit(network, F.cross_entropy, x, y) * s)
    found = Readings(curvature(network, F.cross_entropy, x, y, scale=scale, steps=20))
    assert found.value("curvature.sharpness") == pytest.approx(float(values[-1]), rel=1e-6)


def test_the_interval_covers_the_curvature_of_all_rows():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(20_000, 1, generator=draw)
    truth = 2 * float(x.square().mean())  # of a mean square
    inside = 0
    for k in range(40):
        part = x[500 * k : 500 * (k + 1)]
        (found, *_) = curvature(nn.Linear(1, 1, bias=False), nn.MSELoss(), part, torch.zeros(500, 1))
        inside += found.low < truth < found.high
    assert inside >= 34  # 38 of 40 expected; 34 at a level of 0.003


def test_frozen_parameters_are_left_out_and_everything_stays_as_it_is():
    network, (x, y) = small(norm=True), rows()
    network[0].weight.requires_grad_(False)
    network[0].bias.grad = torch.ones(5, dtype=torch.float64)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    found = curvature(network, F.cross_entropy, x, y)
    assert found
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert [p.requires_grad for p in network.parameters()][:2] == [False, True]
    assert torch.equal(network[0].bias.grad, torch.ones(5, dtype=torch.float64))
    for p in network.parameters():
        p.requires_grad_(False)
    assert curvature(network, F.cross_entropy, x, y) == []


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.layer = nn.Embedding(9, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.last = nn.Linear(8, 2)

    def forward(self, words):
        return self.last(self.layer(self.words(words)).mean(1))


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.cell, self.last = nn.Embedding(9, 4), nn.LSTM(4, 6, batch_first=True), nn.Linear(6, 2)

    def forward(self, words):
        return self.last(self.cell(self.words(words))[0][:, -1])


@pytest.mark.parametrize("kind", [Attention, Recurrent])
def test_attention_and_recurrence_can_be_differentiated_twice(kind):
    torch.manual_seed(0)
    words = torch.randint(0, 9, (64, 5))
    found = Readings(curvature(kind(), F.cross_entropy, words, words[:, 0] % 2))
    assert found.value("curvature.sharpness") > 0


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return gradient


def test_what_cannot_be_differentiated_twice_is_not_read():
    class Net(nn.Linear):
        def forward(self, x):
            return Once.apply(super().forward(x))

    assert curvature(Net(2, 1), nn.MSELoss(), torch.randn(40, 2), torch.zeros(40, 1)) == []


def test_a_loss_that_is_linear_in_the_weights_has_no_curvature():
    network = nn.Linear(2, 1, bias=False)
    found = Readings(curvature(network, lambda output, target: output.mean(), torch.ones(40, 2), torch.zeros(40)))
    assert found.value("curvature.sharpness") == 0
    lost = curvature(network, lambda output, target: output.mean() / 0, torch.ones(40, 2), torch.zeros(40))
    assert lost == []


def test_lanczos_stops_where_it_is_told_to_and_where_nothing_is_left():
    matrix = torch.diag(torch.arange(50.0))
    asked = iter([True, True, False])
    assert lanczos(matrix.mv, torch.ones(50), steps=30, may_go_on=lambda: next(asked)).steps == 2
    assert lanczos(matrix.mv, torch.ones(50), steps=30, may_go_on=lambda: False) is None
    single = lanczos(torch.eye(50).mv, torch.ones(50), steps=30)
    assert (single.steps, single.low, single.high) == (1, pytest.approx(1), pytest.approx(1))
    assert lanczos(lambda v: v / 0, torch.ones(5), steps=3) is None

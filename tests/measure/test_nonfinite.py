import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.measure.nonfinite import find_nonfinite, locate_nonfinite


class Call(nn.Module):
    """Any function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def batch(rows=8):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, 4, generator=generator), torch.randint(3, (rows,), generator=generator)


def find(network, loss=F.cross_entropy, inputs=None, target=None):
    usual_inputs, usual_target = batch()
    inputs, target = usual_inputs if inputs is None else inputs, usual_target if target is None else target
    return find_nonfinite(network, loss, inputs, target, step=3, seed=0)


def mean_loss(output, target):
    return output.mean()


def test_a_finite_step_has_nothing_to_name():
    assert find(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout())) is None
    assert locate_nonfinite(nn.Linear(4, 3), F.cross_entropy, *batch(), step=0, seed=0) == []


def test_logarithm_of_zero_in_a_layer():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Sequential(Call(torch.log)), nn.Linear(3, 3))
    with torch.no_grad():
        zeros = network[:2](batch()[0]) == 0
    found = find(network)
    assert (found.kind, found.place, found.operation, found.direction) == ("operation", "2.0", "aten.log", "forward")
    assert found.rows == tuple(zeros.any(1).nonzero().flatten().tolist())
    assert found.share == pytest.approx(float(zeros.double().mean()))
    assert found.low == 0.0


def test_logarithm_of_a_probability_in_the_loss():
    def loss(output, target):
        return -torch.log(output.softmax(1)[range(len(target)), target]).mean()

    network = nn.Linear(4, 3)
    with torch.no_grad():
        network.weight.mul_(1e5)
    found = find(network, loss)
    assert (found.place, found.operation) == ("loss", "aten.log")
    assert 0 < len(found.rows) < 8


def test_overflow_is_named_not_the_nan_that_follows():
    network = nn.Sequential(nn.Linear(4, 3), Call(lambda x: torch.exp(x * 1e4)), Call(lambda x: x - x))
    found = find(network)
    assert (found.place, found.operation) == ("1", "aten.exp")
    assert found.high > 88


def test_overflow_by_conversion():
    found = find(nn.Sequential(nn.Linear(4, 3), Call(lambda x: (x * 1e6).half().float())))
    assert (found.place, found.operation) == ("1", "aten._to_copy")


@pytest.mark.parametrize(
    "function",
    [lambda x: torch.sqrt(x * 0.0), lambda x: (x - x.detach()).square().sum(1).sqrt()],
    ids=["entry", "norm"],
)
def test_backward_of_a_root_at_zero(function):
    found = find(nn.Sequential(nn.Linear(4, 3), Call(function), Call(lambda x: x * 1.0)), mean_loss)
    assert (found.place, found.direction) == ("1", "backward")
    assert found.operation == "aten.div in SqrtBackward0"
    assert found.rows == tuple(range(8))


def test_backward_in_the_loss_is_told_from_the_network():
    found = find(nn.Linear(4, 3), lambda output, target: (output * 0.0).sqrt().sum())
    assert (found.place, found.direction) == ("loss", "backward")


def test_what_was_not_finite_before_the_step():
    spoiled = batch()[0].clone()
    spoiled[5, 1] = torch.nan
    found = find(nn.Linear(4, 3), inputs=spoiled)
    assert (found.kind, found.rows, found.share) == ("input", (5,), pytest.approx(1 / 32))
    network = nn.Sequential(nn.Linear(4, 3))
    with torch.no_grad():
        network[0].weight[0, 0] = torch.inf
    found = find(network)
    assert (found.kind, found.place) == ("parameter", "0.weight")
    value = torch.ones(8, 3)
    value[2] = torch.nan
    found = find(nn.Linear(4, 3), F.mse_loss, target=value)
    assert (found.kind, found.rows) == ("target", (2,))


def attend(x, mask):
    return (x @ x.T).masked_fill(mask, -torch.inf).softmax(-1) @ x


def test_an_infinity_on_purpose_is_not_blamed():
    causal = torch.ones(8, 8, dtype=torch.bool).triu(1)
    assert find(nn.Sequential(Call(lambda x: attend(x, causal)), nn.Linear(4, 3))) is None
    spoiler = nn.Sequential(Call(lambda x: attend(x, causal)), nn.Linear(4, 3), Call(lambda x: (x - 99).log()))
    assert find(spoiler).place == "2"


def test_a_row_that_is_masked_everywhere():
    mask = torch.zeros(8, 8, dtype=torch.bool)
    mask[6] = True
    found = find(nn.Sequential(Call(lambda x: attend(x, mask)), nn.Linear(4, 3)))
    assert (found.place, found.operation, found.rows) == ("0", "aten._softmax", (6,))


def test_the_noise_is_that_of_the_training():
    network = nn.Sequential(nn.Dropout(0.5), Call(lambda x: torch.log(x.square())), nn.Linear(4, 3))
    inputs, target = batch()
    with global_rng_kept():
        seed_noise(11, 42)
        dropped = network[0](inputs) == 0
    found = find_nonfinite(network, F.cross_entropy, inputs, target, step=42, seed=11)
    assert found.rows == tuple(dropped.any(1).nonzero().flatten().tolist())
    assert found.share == pytest.approx(float(dropped.double().mean()))


def test_generators_and_parameters_are_left_as_found():
    network = nn.Sequential(nn.Dropout(0.5), nn.Linear(4, 3), Call(torch.log))
    before, state = copy.deepcopy(network.state_dict()), torch.get_rng_state()
    find(network)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(a, b) for a, b in zip(before.values(), network.state_dict().values(), strict=True))
    assert all(p.grad is None for p in network.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())


def test_dicts_tuples_and_sparse_gradients():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.head = nn.Embedding(5, 4, sparse=True), nn.Linear(4, 3)

        def forward(self, token, number):
            return {"a": (self.head(self.embed(token)), (number * 0).sqrt() * self.head.bias.sum())}

    inputs = {"token": torch.arange(5).repeat(2)[:8], "number": torch.ones(8)}
    network = Two()
    assert find(network, lambda o, t: F.cross_entropy(o["a"][0], t), inputs) is None
    found = find(network, lambda o, t: o["a"][0].sum() + o["a"][1].sum(), inputs)
    assert found is None  # the root of zero is reached by no gradient
    found = find(network, lambda o, t: (o["a"][0] * 0).sqrt().sum(), inputs)
    assert (found.place, found.direction) == ("loss", "backward")


def test_a_value_from_outside_of_torch():
    def loss(output, target):
        return torch.from_numpy(output.detach().numpy() * float("nan")).sum() + output.sum()

    assert find(nn.Linear(4, 3), loss).place == "loss"


def test_readings_give_the_numbers_of_the_rows():
    inputs, target = batch(16)
    inputs[[3, 7]] = torch.nan
    network = nn.Sequential(Call(lambda x: torch.log(x.square())), nn.Linear(4, 3))
    clean = torch.nan_to_num(inputs, 0.0)
    first, *rows = locate_nonfinite(network, F.cross_entropy, clean, target, step=9, seed=0, rows=range(100, 116))
    assert (first.name, first.note, first.place, first.step) == ("nonfinite.first", "aten.log forward", "0", 9)
    assert (first.count, first.value) == (2, 2 / 16)
    assert [r.value for r in rows] == [103, 107]
    assert all(r.name == "nonfinite.row" and r.count == 2 for r in rows)

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.modes import differ, evaluation_noise, mixing

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


class Apply(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.function, self.body, self.last = function, nn.Linear(8, 16), nn.Linear(16, 3)

    def forward(self, x):
        return self.last(self.function(self.body(x)))


def test_modules_that_obey_their_mode_are_silent():
    network = nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 3))
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert evaluation_noise(network, X).value == 0
    assert mixing(network, X).value < 1e-5
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert network.training


def test_dropout_as_a_function_is_told_from_other_noise():
    found = evaluation_noise(Apply(lambda x: F.dropout(x, 0.5)), X)
    assert found.value > 0.1
    assert (found.note, found.place) == ("dropout", "last")
    other = evaluation_noise(Apply(lambda x: x + torch.randn_like(x)), X)
    assert other.value > 0.1
    assert other.note == ""


def test_difference_is_relative_to_the_rows_deviation():
    one = torch.tensor([[-1.0], [1.0]])
    assert abs(differ(one, one + 0.5) - 0.5) < 1e-12
    assert abs(differ(10 * one, 10 * one + 5) - 0.5) < 1e-12


def test_what_looks_at_other_rows_mixes_them():
    assert mixing(Apply(lambda x: x - x.mean(0)), X).value > 1e-2
    assert mixing(Apply(lambda x: F.batch_norm(x, None, None, training=True)), X).value > 1e-2
    sequences = X.reshape(32, 2, 8)
    wrong = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=False))
    right = nn.Sequential(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))
    assert mixing(wrong, sequences).value > 1e-2
    assert mixing(right, sequences).value < 1e-5


def test_a_recurrence_along_the_rows_is_seen_from_both_ends():
    class Running(nn.Module):
        def forward(self, x):
            return x.cumsum(0)

    assert mixing(Running(), X).value > 1e-2


def test_outputs_that_are_no_tensor_of_rows_are_not_judged():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    assert mixing(Pair(), X) is None
    assert evaluation_noise(Pair(), X).value == 0

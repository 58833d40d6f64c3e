import torch
from torch import nn
from torch.nn import functional as F

from thalweg.probes.headless import without_head

X = torch.randn(16, 6, generator=torch.Generator().manual_seed(0))


def body(*last: nn.Module) -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3), *last)


class Functional(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.body, self.function = body(), function

    def forward(self, x):
        return self.function(self.body(x)).squeeze()


def test_a_module_is_replaced_in_a_clone():
    network = body(nn.Softmax(1))
    bare = without_head(network, X)
    torch.testing.assert_close(bare(X).softmax(1), network(X))
    assert isinstance(network[3], nn.Softmax)


def test_functions_are_left_out_and_gradients_pass():
    for function in (lambda z: F.softmax(z, 1), torch.sigmoid, lambda z: z.tanh(), F.relu):
        network = Functional(function)
        bare = without_head(network, X)
        torch.testing.assert_close(bare(X), network.body(X))
        bare(X).sum().backward()
        assert all(p.grad is not None for p in bare.parameters())


def test_two_heads_are_both_taken_off():
    network = body(nn.Softmax(1), nn.Softmax(1))
    torch.testing.assert_close(without_head(network, X)(X), network[:3](X))


def test_a_shared_activation_keeps_its_other_places():
    relu = nn.ReLU()
    network = nn.Sequential(nn.Linear(6, 8), relu, nn.Linear(8, 3), relu)
    torch.testing.assert_close(without_head(network, X)(X), network[:3](X))


def test_without_a_head_or_with_one_by_hand_there_is_nothing_to_take_off():
    assert without_head(body(), X) is None

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = body()

        def forward(self, x):
            e = self.body(x) ** 2
            return e / e.sum(1, keepdim=True)

    assert without_head(ByHand(), X) is None

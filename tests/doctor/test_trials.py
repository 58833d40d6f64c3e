import torch
from torch import nn
from torch.nn import functional as F

from thalweg.doctor.trials import rescaled, with_relu

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(0))


def test_rescaled_layers_give_deviation_1_and_the_original_stays():
    network = nn.Sequential(nn.Linear(8, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 3))
    with torch.no_grad():
        for place in (0, 2, 4):
            network[place].weight.mul_(30)
            network[place].bias.zero_()
    before = network[0].weight.detach().clone()
    changed = rescaled(network, X)
    for last in (1, 3, 5):
        assert abs(float(changed[:last](X).detach().std()) - 1) < 1e-4
    assert torch.equal(before, network[0].weight)
    assert not changed[0]._forward_hooks


def test_relu_comes_after_the_first_layer_of_each_pair():
    network = nn.Sequential(nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 2))
    changed = with_relu(network, ["0 → 1", "1 → 2"])
    expected = network[2](F.relu(network[1](F.relu(network[0](X)))))
    torch.testing.assert_close(changed(X), expected)
    torch.testing.assert_close(network(X), network[2](network[1](network[0](X))))

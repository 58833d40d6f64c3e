import torch
from torch import nn
from torch.nn import functional as F

from thalweg.probes.first_steps import RELATIVE_STEP, batches, first_steps
from thalweg.train.clone import clone

G = torch.Generator().manual_seed(0)
X, Y = torch.randn(64, 8, generator=G), torch.randint(0, 4, (64,), generator=G)


def test_steps_go_against_the_gradient_by_one_percent():
    network = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    trained = clone(network)
    steps = first_steps(trained, F.cross_entropy, X, Y, steps=1)
    weights = torch.cat([w.flatten() for w in steps.weights.values()])
    loss = F.cross_entropy(network(X[:32]), Y[:32])
    expected = torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(network.parameters()))])
    found = torch.cat([g.flatten() for g in steps.gradients[0].values()])
    torch.testing.assert_close(found, expected)
    # two gradients, and a step after each
    moved = torch.cat([p.detach().flatten() for p in trained.parameters()]) - weights
    first = found * (RELATIVE_STEP * weights.norm() / found.norm())
    second = torch.cat([g.flatten() for g in steps.gradients[1].values()])
    length = RELATIVE_STEP * (weights - first).norm()
    torch.testing.assert_close(moved, -first - second * length / second.norm(), rtol=1e-4, atol=1e-6)


def test_a_sleeping_branch_wakes():
    network = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    nn.init.zeros_(network[2].weight)
    steps = first_steps(network, F.cross_entropy, X, Y)
    assert not bool(steps.gradients[0]["0.weight"].any())
    assert bool(steps.gradients[1]["0.weight"].any())


def test_a_loss_that_reaches_nothing_gives_none():
    network = nn.Linear(8, 4)
    steps = first_steps(network, lambda o, t: o.detach().sum(), X, Y)
    assert all(g is None for gradients in steps.gradients for g in gradients.values())


def test_batches_cover_the_rows_and_repeat_few():
    assert [b.tolist() for b in batches(6, 3)] == [[0, 1], [2, 3], [4, 5]]
    assert [b.tolist() for b in batches(3, 4)] == [[0, 1], [2, 0], [1, 2], [0, 1]]
    assert [b.tolist() for b in batches(1, 2)] == [[0], [0]]

import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.branches import branches
from thalweg.measure.following import follow


def ends(network, inputs):
    return [(*(maker.place for maker in branch.ends), branch.bent) for branch in branches(follow(network, inputs))]


class Residual(nn.Module):
    def __init__(self, channels, outputs, stride=1):
        super().__init__()
        self.conv1, self.norm1 = nn.Conv2d(channels, outputs, 3, stride, 1), nn.BatchNorm2d(outputs)
        self.conv2, self.norm2 = nn.Conv2d(outputs, outputs, 3, 1, 1), nn.BatchNorm2d(outputs)
        self.short = nn.Identity()
        if stride > 1:
            self.short = nn.Sequential(nn.Conv2d(channels, outputs, 1, stride), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        y += self.short(x)
        return F.relu(y)


def test_residual_networks_with_projections():
    network = nn.Sequential(Residual(3, 3), Residual(3, 6, 2), Residual(6, 6))
    assert ends(network, torch.randn(4, 3, 8, 8)) == [("0.norm2", ""), ("1.norm2", ""), ("2.norm2", "")]


def test_transformers():
    block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True)
    after = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = ends(nn.Sequential(block, after), torch.randn(4, 5, 8))
    assert found == [("0.self_attn", ""), ("0.linear2", ""), ("1.self_attn", ""), ("1.linear2", "")]


class Parallel(nn.Module):
    """Two branches of one stream, with a factor and dropout, as in some language models."""

    def __init__(self):
        super().__init__()
        self.norm, self.one, self.two = nn.LayerNorm(8), nn.Linear(8, 8), nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.last, self.factor = nn.Linear(8, 8), nn.Parameter(torch.ones(8))

    def forward(self, x):
        y = self.norm(x)
        return x + F.dropout(self.one(y)) + self.factor * self.last(self.two(y))


def test_parallel_branches():
    assert sorted(ends(nn.Sequential(Parallel(), Parallel()), torch.randn(4, 8))) == [
        ("0.last", ""), ("0.one", ""), ("1.last", ""), ("1.one", ""),
    ]  # fmt: skip


class Bent(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(8, 8)

    def forward(self, x):
        return x + torch.relu(self.layer(x))


def test_a_branch_that_ends_with_an_activation():
    assert ends(Bent(), torch.randn(4, 8)) == [("layer", "ReLU")]


class Sums(nn.Module):
    """Additions that are no shortcuts: of two projections, positions, the maps of a pyramid, a recurrence."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c, self.d = (nn.Linear(8, 8) for _ in range(4))
        self.positions = nn.Parameter(torch.zeros(8))

    def forward(self, x):
        x = x + self.positions
        low = self.a(x)
        high = torch.relu(self.b(torch.relu(low)))
        return self.c(low) + self.d(high) + high.sum()


def test_other_sums_are_no_branches():
    assert ends(Sums(), torch.randn(4, 8)) == []
    assert ends(nn.RNNCell(8, 8), torch.randn(4, 8)) == []

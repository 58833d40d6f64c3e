"""Which trainings can be one program."""

from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.train.population.members import Member, bucket_of, buckets, numbers_of, refused

PLAN = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1, momentum=0.9), epochs=1, batch_size=8)


def net(*, width: int = 4, p: float = 0.1, slope: float = 0.01, stride: int = 1, bias: bool = True) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(1, width, 3, stride=stride, bias=bias), nn.LeakyReLU(slope), nn.Dropout(p), nn.BatchNorm1d(width)
    )


def member(network: nn.Module | None = None, **changes: Any) -> Member:
    return Member(net() if network is None else network, PLAN.replace(**changes), seed=0)


@pytest.mark.parametrize(
    "other",
    [
        member(net(p=0.5)),
        member(**{"optimizer.lr": 0.3}),
        member(**{"optimizer.momentum": 0.0, "optimizer.weight_decay": 0.1}),
        member(clip_norm=2.0),
        member(label_smoothing=0.1),
        Member(net(), PLAN, seed=5, rows=torch.ones(9, dtype=torch.bool)),
    ],
    ids=["dropout", "rate", "momentum", "clipping", "smoothing", "seed and fold"],
)
def test_numbers_may_differ(other: Member) -> None:
    assert bucket_of(other) == bucket_of(member())
    assert buckets([member(), other]) == [[0, 1]]


@pytest.mark.parametrize(
    "other",
    [
        member(net(width=5)),
        member(net(slope=0.2)),
        member(net(stride=2)),
        member(net(bias=False)),
        member(net().double()),
        member(net().requires_grad_(False)),
        member(batch_size=16),
        member(optimizer=tw.optimizers.Adam(lr=0.1)),
        member(**{"optimizer.nesterov": True}),
        member(regularizer=tw.regularizers.L2()),
        member(decay_all=not PLAN.decay_all),
    ],
    ids=[
        "width",
        "slope",
        "stride",
        "bias",
        "dtype",
        "frozen",
        "batch",
        "rule",
        "nesterov",
        "regularizer",
        "decay_all",
    ],
)
def test_what_may_not(other: Member) -> None:
    assert buckets([member(), other, member()]) == [[0, 2], [1]]


def test_tied_weights_are_another_architecture() -> None:
    tied, free = (nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)]) for _ in range(2))
    tied[1].weight = tied[0].weight
    assert bucket_of(member(tied)) != bucket_of(member(free))


def test_a_function_as_activation_counts() -> None:
    relu, gelu = (nn.TransformerEncoderLayer(8, 2, 16, activation=name) for name in ("relu", "gelu"))
    assert bucket_of(member(relu)) != bucket_of(member(gelu))
    none, some = (nn.MultiheadAttention(8, 2, dropout=p) for p in (0.0, 0.1))
    assert bucket_of(member(none)) != bucket_of(member(some))  # one of them draws noise, the other does not


def test_numbers_of_optimizers() -> None:
    assert numbers_of(tw.optimizers.Adam(lr=0.5)) == {
        "lr": 0.5,
        "weight_decay": 0.0,
        "betas": (0.9, 0.999),
        "eps": 1e-8,
    }
    assert "ns_coefficients" not in numbers_of(tw.optimizers.Muon(lr=0.1))
    assert "ns_steps" not in numbers_of(tw.optimizers.Muon(lr=0.1))


def test_what_is_trained_by_itself() -> None:
    assert not refused(member())
    assert "Torch runs" in refused(member(optimizer=tw.optimizers.Torch(kind="torch.optim.ASGD", lr=0.1)))
    assert "accumulation" in refused(member(accumulate=2))
    assert "half precision" in refused(member(precision="bf16"))

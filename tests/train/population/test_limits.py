"""Clipping and regularizers of each member against those of a single training."""

from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.parts.regularizers import L1, L2, DecoupledDecay, ElasticNet, MaxNorm, Several
from thalweg.train.losses import NAMED
from thalweg.train.population.forward import batched
from thalweg.train.population.members import Member
from thalweg.train.population.population import Population
from thalweg.train.step import stepper_of

CASES: dict[str, list[dict[str, Any]]] = {
    "norm": [{"clip_norm": 0.05}, {"clip_norm": None}, {"clip_norm": 0.5}],
    "value": [{"clip_value": 0.01}, {"clip_value": None}, {"clip_value": 0.1}],
    "adaptive": [{"clip_adaptive": 0.01}, {"clip_adaptive": 0.05}, {"clip_adaptive": None}],
    "all of them": [{"clip_adaptive": 0.1, "clip_value": 0.02, "clip_norm": 0.05 * (k + 1)} for k in range(3)],
    "l1": [{"regularizer": L1(strength=0.01 * k)} for k in range(3)],
    "l1, proximal": [{"regularizer": L1(strength=0.1 * k, proximal=True)} for k in range(3)],
    "l2": [{"regularizer": L2(strength=0.1 * k), "clip_norm": 0.1} for k in range(3)],
    "decay": [{"regularizer": DecoupledDecay(strength=0.1 * k)} for k in range(3)],
    "elastic net": [{"regularizer": ElasticNet(l1=0.01 * k, l2=0.1, proximal=True)} for k in range(3)],
    "max norm": [{"regularizer": MaxNorm(limit=0.3 + 0.2 * k)} for k in range(3)],
    "several": [
        {"regularizer": Several(parts=(L2(strength=0.1 * k), L1(strength=0.02), MaxNorm(limit=0.4))), "decay_all": True}
        for k in range(3)
    ],
}


def network(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    layers = [nn.Conv2d(1, 4, 3), nn.ReLU(), nn.ConvTranspose2d(4, 4, 2, groups=2), nn.GroupNorm(2, 4), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(100, 3)).double()


@pytest.mark.parametrize("name", CASES)
def test_each_member_has_limits_of_its_own(name: str) -> None:
    optimizer = tw.optimizers.SGD(lr=0.1, momentum=0.5, weight_decay=0.01)
    plain = {"optimizer": optimizer, "epochs": 1, "batch_size": 8, "seed": 0}
    members = [Member(network(k), tw.Plan.plain(**plain, **own), seed=0) for k, own in enumerate(CASES[name])]  # type: ignore[arg-type]
    generator = torch.Generator().manual_seed(0)
    data = [
        (
            torch.randn(8, 1, 6, 6, generator=generator, dtype=torch.float64),
            torch.randint(0, 3, (8,), generator=generator),
        )
        for _ in range(15)
    ]
    loss = NAMED["cross_entropy"]
    form = Population(members, loss, [data[0]], make=batched)
    for batch in data:
        form.step(batch, [0.03, 0.06, 0.09])
    for k, member in enumerate(members):
        single = network(k)
        stepper = stepper_of(member.plan, single, loss)
        for step, batch in enumerate(data):
            stepper([batch], step=step, rate=[0.03, 0.06, 0.09][k])
        for ours, theirs in zip(form.network(k).parameters(), single.parameters(), strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", CASES)
def test_they_matter(name: str) -> None:
    """The cases above would prove nothing if nothing were clipped."""
    loss, generator = NAMED["cross_entropy"], torch.Generator().manual_seed(0)
    x = torch.randn(8, 1, 6, 6, dtype=torch.float64, generator=generator)
    batch = (x, torch.randint(0, 3, (8,), generator=generator))
    moved = []
    for own in ({}, *CASES[name]):
        plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=8, seed=0, **own)
        single = network(0)
        stepper_of(plan, single, loss)([batch], step=0, rate=0.1)
        moved.append(torch.cat([p.detach().flatten() for p in single.parameters()]))
    assert max(float((other - moved[0]).abs().max()) for other in moved[1:]) > 1e-6

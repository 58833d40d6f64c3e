"""A schedule as a scheduler of torch: in a loop of one's own, saved and loaded."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from thalweg.errors import UsageError
from thalweg.parts import schedules
from thalweg.parts.schedules import Cosine, Measured, OneCycle, Plateau, Schedule, Triangular, Warmup

N = 60


def sgd(**options: Any) -> torch.optim.Optimizer:
    groups = [{"params": [nn.Parameter(torch.zeros(1))]}, {"params": [nn.Parameter(torch.zeros(1))], "lr": 0.01}]
    return torch.optim.SGD(groups, lr=0.1, **{"momentum": 0.9, **options})


def course(optimizer: torch.optim.Optimizer, scheduler: Any, num_steps: int) -> list[tuple[float, ...]]:
    seen = []
    for _ in range(num_steps):
        groups = optimizer.param_groups
        seen.append(
            (*(g["lr"] for g in groups), groups[0]["betas"][0] if "betas" in groups[0] else groups[0]["momentum"])
        )
        optimizer.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize(
    "schedule",
    [*(getattr(schedules, name)() for name in schedules.__all__), OneCycle(momenta=(0.85, 0.95))],
    ids=lambda s: repr(s)[:50],
)
def test_it_sets_every_group_to_its_share_of_the_peak(schedule: Schedule) -> None:
    optimizer = sgd()
    found = course(optimizer, schedule.build(optimizer, num_steps=N), N)
    for step, (first, second, momentum) in enumerate(found):
        factor, cycled = schedule.factor(step, N), schedule.momentum(step, N)
        assert (first, second) == (0.1 * factor, 0.01 * factor)
        assert momentum == (0.9 if cycled is None else cycled)
    assert optimizer.param_groups[0]["lr"] == 0.1 * schedule.factor(N - 1, N)  # and stays there


def test_betas_are_cycled() -> None:
    optimizer = torch.optim.AdamW([nn.Parameter(torch.zeros(1))], lr=0.1, betas=(0.9, 0.98))
    schedule = Triangular(cycle=10, momenta=(0.8, 0.9))
    found = course(optimizer, schedule.build(optimizer, num_steps=N), N)
    assert [momentum for _, momentum in found] == [schedule.momentum(step, N) for step in range(N)]
    assert optimizer.param_groups[0]["betas"][1] == 0.98


@pytest.mark.parametrize("schedule", [Warmup(warmup=5, then=Cosine()), Plateau(window=4)], ids=repr)
def test_a_saved_one_goes_on(schedule: Schedule, tmp_path: Path) -> None:
    optimizer = sgd()
    scheduler = schedule.build(optimizer, num_steps=N)
    tell(scheduler)
    whole = course(optimizer, scheduler, N)
    first = sgd()
    scheduler = schedule.build(first, num_steps=N)
    tell(scheduler)
    half = course(first, scheduler, 25)
    torch.save({"optimizer": first.state_dict(), "scheduler": scheduler.state_dict()}, tmp_path / "saved.pt")
    saved = torch.load(tmp_path / "saved.pt")  # weights only: plain numbers
    second = sgd()
    scheduler = schedule.build(second, num_steps=N)
    second.load_state_dict(saved["optimizer"])
    scheduler.load_state_dict(saved["scheduler"])
    assert half + course(second, scheduler, N - 25) == whole


def tell(scheduler: Any) -> None:
    for loss in [0.5, 0.6] * 4:
        scheduler.measured(validation_loss=loss)


def test_a_plateau_is_told_the_losses() -> None:
    optimizer, losses = sgd(), [0.5, 0.6] * 10
    schedule = Plateau(window=4)
    scheduler = schedule.build(optimizer, num_steps=N)
    rates = []
    for loss in losses[:6]:
        for _ in range(3):
            rates.append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            scheduler.measured(validation_loss=loss) if len(rates) % 3 == 0 else None
            scheduler.step()
    assert rates == [0.1] * 12 + [pytest.approx(0.01)] * 6
    history = [Measured(3 * n, 1.0, loss) for n, loss in enumerate(losses[:4], start=1)]
    assert 0.1 * schedule.informed(history, N).factor(12, N) == rates[12]


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UsageError, match=r"Warmup got warmup=60 steps"):
        Warmup(warmup=60).build(sgd(), num_steps=N)
    adagrad = torch.optim.Adagrad([nn.Parameter(torch.zeros(1))])
    with pytest.raises(UsageError, match=r"Adagrad has no momentum that OneCycle could cycle"):
        OneCycle(momenta=(0.85, 0.95)).build(adagrad, num_steps=N)

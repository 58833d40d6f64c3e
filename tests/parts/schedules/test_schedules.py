"""Schedules against torch's schedulers, and their properties."""

import pytest
import torch
from torch.optim import lr_scheduler

from thalweg.errors import UsageError
from thalweg.parts import schedules
from thalweg.parts.schedules import Constant, OneCycle, Schedule, WarmupCosine

PEAK = 0.3


def torchs(make, num_steps: int) -> list[float]:
    """The rate of every step as a torch scheduler gives it, as a share of the peak."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = make(optimizer)
    rates = []
    for _ in range(num_steps):
        rates.append(optimizer.param_groups[0]["lr"] / PEAK)
        optimizer.step()
        scheduler.step() if len(rates) < num_steps else None
    return rates


def ours(schedule: Schedule, num_steps: int) -> list[float]:
    return [schedule.factor(step, num_steps) for step in range(num_steps)]


@pytest.mark.parametrize("num_steps", [20, 97, 1000])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.75])
def test_one_cycle_equals_torch(num_steps, warmup):
    def make(optimizer):
        return lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=PEAK,
            total_steps=num_steps,
            pct_start=warmup,
            div_factor=20,
            final_div_factor=50,
            cycle_momentum=False,
        )

    schedule = OneCycle(warmup=warmup, initial=1 / 20, final=1 / 1000)
    assert ours(schedule, num_steps) == pytest.approx(torchs(make, num_steps), rel=1e-12)


@pytest.mark.parametrize("num_steps", [1, 2, 20, 997])
@pytest.mark.parametrize("final", [0.0, 0.1])
def test_cosine_equals_torch(num_steps, final):
    def make(optimizer):
        return lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps, eta_min=final * PEAK)

    found = ours(WarmupCosine(warmup=0.0, final=final), num_steps)
    assert found == pytest.approx(torchs(make, num_steps), rel=1e-9)


@pytest.mark.parametrize(("num_steps", "rising"), [(20, 2), (200, 20), (1000, 100)])
def test_warmup_then_cosine_equals_torch(num_steps, rising):
    def make(optimizer):
        up = lr_scheduler.LinearLR(optimizer, start_factor=1 / (rising + 1), total_iters=rising)
        down = lr_scheduler.CosineAnnealingLR(optimizer, T_max=num_steps - rising)
        return lr_scheduler.SequentialLR(optimizer, [up, down], [rising])

    assert ours(WarmupCosine(warmup=0.1), num_steps) == pytest.approx(torchs(make, num_steps), rel=1e-9)


def test_constant_equals_torch():
    assert ours(Constant(), 20) == torchs(lambda o: lr_scheduler.LambdaLR(o, lambda step: 1.0), 20)


@pytest.mark.parametrize("schedule", [WarmupCosine(warmup=0.2), OneCycle()], ids=repr)
def test_rises_to_the_peak_once_and_falls(schedule):
    rates = ours(schedule, 100)
    peak = rates.index(max(rates))
    assert rates[peak] == pytest.approx(1.0, abs=1e-3)
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)
    assert all(0 < rate <= 1 for rate in rates)


@pytest.mark.parametrize("name", schedules.__all__)
def test_every_schedule_takes_any_budget(name):
    schedule = getattr(schedules, name)()
    for num_steps in range(1, 60):
        assert all(0 <= rate <= 1 for rate in ours(schedule, num_steps))
        assert ours(schedule, num_steps) == ours(schedule, num_steps)
        assert schedule.factor(num_steps, num_steps) <= schedule.factor(num_steps - 1, num_steps)  # stays at its end


def test_extended_budget_continues_where_the_share_of_steps_stands():
    schedule = WarmupCosine(warmup=0.1, final=0.1)
    assert schedule.factor(200, 400) == pytest.approx(schedule.factor(100, 200), rel=1e-12)
    assert schedule.factor(199, 400) > schedule.factor(199, 200)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (WarmupCosine, {"warmup": 1.0}, r"WarmupCosine got warmup=1.0; allowed: a share from 0 to below 1"),
        (WarmupCosine, {"warmup": -0.1}, r"warmup=-0.1"),
        (WarmupCosine, {"final": 2}, r"final=2; allowed: a share from 0 to 1"),
        (WarmupCosine, {"final": float("nan")}, r"final=nan"),
        (OneCycle, {"warmup": "0.3"}, r"OneCycle got warmup='0.3'"),
        (OneCycle, {"initial": 25}, r"initial=25"),
        (OneCycle, {"final": True}, r"final=True"),
    ],
)
def test_wrong_values_are_named(kind, values, message):
    with pytest.raises(UsageError, match=message):
        kind(**values)

"""Every schedule that torch has too, over whole trainings: rate and momentum of each step to 1e-12 of the peak."""

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler as torchs

from thalweg.parts.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    Polynomial,
    Product,
    Schedule,
    Sequential,
    Step,
    Triangular,
    Warmup,
    WarmupCosine,
    WarmupStableDecay,
)

PEAK = 0.3
Make = Callable[[torch.optim.Optimizer], Any]


def torchs_course(make: Make, num_steps: int, optimizer: torch.optim.Optimizer) -> tuple[list[float], list[float]]:
    """Rate, as a share of the peak, and momentum of every step as a torch scheduler sets them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SequentialLR calls its parts in a way that they warn of
        scheduler = make(optimizer)
        rates, momenta = [], []
        for step in range(num_steps):
            group = optimizer.param_groups[0]
            rates.append(group["lr"] / PEAK)
            momenta.append(group["betas"][0] if "betas" in group else group["momentum"])
            optimizer.step()
            if step < num_steps - 1:  # OneCycleLR refuses one more
                scheduler.step()
    return rates, momenta


def sgd() -> torch.optim.Optimizer:
    return torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=PEAK, momentum=0.9)


def adam() -> torch.optim.Optimizer:
    return torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=PEAK)


def rates_of(schedule: Schedule, num_steps: int) -> list[float]:
    return [schedule.factor(step, num_steps) for step in range(num_steps)]


def sequence(*makes: Make, at: list[int]) -> Make:
    return lambda o: torchs.SequentialLR(o, [make(o) for make in makes], at)


N = 1000
CASES: list[tuple[Schedule, Make]] = [
    (Constant(), lambda o: torchs.LambdaLR(o, lambda step: 1.0)),
    (Step(every=300), lambda o: torchs.StepLR(o, 300, 0.1)),
    (Step(every=0.1, reduction=0.7), lambda o: torchs.StepLR(o, 100, 0.7)),
    (Step(every=1, reduction=0.99), lambda o: torchs.StepLR(o, 1, 0.99)),
    (MultiStep(at=(300, 301, 999)), lambda o: torchs.MultiStepLR(o, [300, 301, 999], 0.1)),
    (MultiStep(at=(0.25, 0.7), reduction=0.3), lambda o: torchs.MultiStepLR(o, [250, 700], 0.3)),
    (Exponential(every=1, reduction=0.993), lambda o: torchs.ExponentialLR(o, 0.993)),
    (Exponential(reduction=0.01), lambda o: torchs.ExponentialLR(o, 0.01 ** (1 / N))),
    (Polynomial(), lambda o: torchs.PolynomialLR(o, N)),
    (Polynomial(power=0.9, over=0.6), lambda o: torchs.PolynomialLR(o, 600, 0.9)),
    (Polynomial(power=3, over=250), lambda o: torchs.PolynomialLR(o, 250, 3)),
    (Linear(), lambda o: torchs.LinearLR(o, 1.0, 0.0, N)),
    (Linear(start=1 / 3, end=1.0, over=5), torchs.LinearLR),
    (Linear(start=0.9, end=0.2, over=0.5), lambda o: torchs.LinearLR(o, 0.9, 0.2, 500)),
    (Cosine(), lambda o: torchs.CosineAnnealingLR(o, N)),
    (Cosine(final=0.1), lambda o: torchs.CosineAnnealingLR(o, N, 0.1 * PEAK)),
    (CosineRestarts(first=100, mult=1), lambda o: torchs.CosineAnnealingWarmRestarts(o, 100)),
    (CosineRestarts(first=0.05, mult=1, final=0.2), lambda o: torchs.CosineAnnealingWarmRestarts(o, 50, 1, 0.2 * PEAK)),
    (CosineRestarts(first=10, mult=2), lambda o: torchs.CosineAnnealingWarmRestarts(o, 10, 2)),
    (CosineRestarts(first=7, mult=3, final=0.01), lambda o: torchs.CosineAnnealingWarmRestarts(o, 7, 3, 0.01 * PEAK)),
    (
        WarmupCosine(warmup=0.1, final=0.05),
        sequence(
            lambda o: torchs.LinearLR(o, 1 / 101, 1.0, 100),
            lambda o: torchs.CosineAnnealingLR(o, 900, 0.05 * PEAK),
            at=[100],
        ),
    ),
    (
        Warmup(warmup=50, start=0.1, then=Step(every=300)),
        sequence(lambda o: torchs.LinearLR(o, 0.1, 1.0, 50), lambda o: torchs.StepLR(o, 300, 0.1), at=[50]),
    ),
    (
        Warmup(warmup=0.02, form="exponential", start=0.01, then=Polynomial(power=2)),
        sequence(
            lambda o: torchs.LambdaLR(o, lambda step: 0.01 ** (1 - step / 20)),
            lambda o: torchs.PolynomialLR(o, 980, 2),
            at=[20],
        ),
    ),
    (
        WarmupStableDecay(warmup=0.1, decay=200),
        sequence(
            lambda o: torchs.LinearLR(o, 1 / 101, 1.0, 100),
            lambda o: torchs.ConstantLR(o, 1.0),
            lambda o: torchs.LinearLR(o, 1.0, 0.0, 200),
            at=[100, 800],
        ),
    ),
    (
        Sequential(parts=(Linear(start=0.5, end=1.0), Exponential(every=1, reduction=0.99), Cosine()), at=(0.1, 0.5)),
        sequence(
            lambda o: torchs.LinearLR(o, 0.5, 1.0, 100),
            lambda o: torchs.ExponentialLR(o, 0.99),
            lambda o: torchs.CosineAnnealingLR(o, 500),
            at=[100, 500],
        ),
    ),
    (
        Product(parts=(Linear(), Step(every=300), Exponential(every=1, reduction=0.999))),
        lambda o: torchs.ChainedScheduler(
            [torchs.LinearLR(o, 1.0, 0.0, N), torchs.StepLR(o, 300, 0.1), torchs.ExponentialLR(o, 0.999)]
        ),
    ),
]


@pytest.mark.parametrize(("schedule", "make"), CASES, ids=[repr(schedule)[:70] for schedule, _ in CASES])
def test_rates_equal_torch(schedule: Schedule, make: Make) -> None:
    expected, _ = torchs_course(make, N, sgd())
    assert rates_of(schedule, N) == pytest.approx(expected, rel=0, abs=1e-12)


@pytest.mark.parametrize("optimizer", [sgd, adam])
@pytest.mark.parametrize("form", ["cosine", "linear"])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.75])
@pytest.mark.parametrize("num_steps", [20, 97, 1000])
def test_one_cycle_equals_torch(num_steps: int, warmup: float, form: str, optimizer: Any) -> None:
    def make(built: torch.optim.Optimizer) -> Any:
        return torchs.OneCycleLR(
            built,
            max_lr=PEAK,
            total_steps=num_steps,
            pct_start=warmup,
            anneal_strategy="cos" if form == "cosine" else "linear",
            div_factor=20,
            final_div_factor=50,
        )

    schedule = OneCycle(warmup=warmup, initial=1 / 20, final=1 / 1000, form=form, momenta=(0.85, 0.95))
    rates, momenta = torchs_course(make, num_steps, optimizer())
    assert rates_of(schedule, num_steps) == pytest.approx(rates, rel=0, abs=1e-12)
    found = [schedule.momentum(step, num_steps) for step in range(num_steps)]
    assert found == pytest.approx(momenta, rel=0, abs=1e-12)


@pytest.mark.parametrize("mode", ["triangular", "triangular2", "exp_range"])
@pytest.mark.parametrize(("up", "down"), [(50, 50), (20, 80), (3, 1)])
@pytest.mark.parametrize("optimizer", [sgd, adam])
def test_triangular_equals_torch(mode: Any, up: int, down: int, optimizer: Any) -> None:
    cycle = up + down

    def make(built: torch.optim.Optimizer) -> Any:
        return torchs.CyclicLR(
            built,
            base_lr=0.2 * PEAK,
            max_lr=PEAK,
            step_size_up=up,
            step_size_down=down,
            mode=mode,
            gamma=0.8 ** (1 / cycle),
            base_momentum=0.8,
            max_momentum=0.9,
        )

    schedule = Triangular(low=0.2, cycle=cycle, mode=mode, shrink=0.8, rise=up / cycle, momenta=(0.8, 0.9))
    rates, momenta = torchs_course(make, N, optimizer())
    assert rates_of(schedule, N) == pytest.approx(rates, rel=0, abs=1e-12)
    found = [schedule.momentum(step, N) for step in range(N)]
    assert found == pytest.approx(momenta, rel=0, abs=1e-12)

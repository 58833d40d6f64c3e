"""Every schedule through the same cases: range, budgets, extension, JSON, wrong values, lengths that do not fit."""

import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thalweg.errors import UsageError
from thalweg.parts import schedules
from thalweg.parts.optimizers import SGD
from thalweg.parts.schedules import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Linear,
    Measured,
    MultiStep,
    OneCycle,
    Plateau,
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
from thalweg.plan import Plan

DEFAULTS: list[Schedule] = [getattr(schedules, name)() for name in schedules.__all__]
OTHERS: list[Schedule] = [
    Step(every=7, reduction=0.5),
    MultiStep(at=(3, 11), reduction=0.5),
    Linear(start=0.1, end=0.7, over=4),
    Polynomial(power=0.9, final=0.1, over=0.5),
    OneCycle(form="linear", momenta=(0.85, 0.95)),
    Triangular(mode="exp_range", cycle=0.3, rise=0.2, momenta=(0.8, 0.9)),
    Triangular(mode="triangular2", cycle=5, low=0.01),
    CosineRestarts(first=3, mult=1.5, final=0.1),
    WarmupCosine(warmup=3),
    WarmupStableDecay(warmup=2, decay=0.9, form="1-sqrt", final=0.1),
    WarmupStableDecay(form="cosine"),
    Warmup(then=OneCycle(momenta=(0.85, 0.95)), form="cosine"),
    Warmup(then=Warmup(then=Plateau(window=4)), form="exponential", start=0.01),
    Sequential(parts=(Warmup(then=Cosine()), Triangular(), Plateau(window=4)), at=(0.2, 0.9)),
    Product(parts=(Cosine(), Step(), OneCycle(momenta=(0.1, 0.2)))),
]
every = pytest.mark.parametrize("schedule", DEFAULTS + OTHERS, ids=lambda s: repr(s)[:60])


def course(schedule: Schedule, num_steps: int) -> list[float]:
    return [schedule.factor(step, num_steps) for step in range(num_steps)]


@every
def test_any_budget_gives_finite_shares(schedule: Schedule) -> None:
    for num_steps in [*range(1, 40), 1000]:
        rates = course(schedule, num_steps)
        assert all(0 <= rate <= 1 + 1e-12 for rate in rates), num_steps
        assert any(rates), "no step moves anything"
        assert course(schedule, num_steps) == rates
        momenta = [schedule.momentum(step, num_steps) for step in range(num_steps)]
        assert all(m is None for m in momenta) or all(m is not None and 0 <= m < 1 for m in momenta)


@settings(max_examples=60, deadline=None)
@given(num_steps=st.integers(1, 10**7), place=st.floats(0, 1), index=st.integers(0, len(DEFAULTS + OTHERS) - 1))
def test_any_step_of_any_training(num_steps: int, place: float, index: int) -> None:
    schedule = (DEFAULTS + OTHERS)[index]
    step = min(int(place * num_steps), num_steps - 1)
    assert 0 <= schedule.factor(step, num_steps) <= 1 + 1e-12
    assert 0 <= schedule.warmup_steps(num_steps) <= max(num_steps, 4)


PEAKS = [s for s in DEFAULTS if not isinstance(s, Plateau)]


@pytest.mark.parametrize("schedule", PEAKS, ids=repr)
def test_the_peak_is_reached_after_the_warm_up(schedule: Schedule) -> None:
    num_steps = 1000
    rates = course(schedule, num_steps)
    rising = schedule.warmup_steps(num_steps)
    assert max(rates) == pytest.approx(1.0, abs=1e-4)
    assert rates[rising] == pytest.approx(1.0, abs=1e-4)
    assert rates[: rising + 1] == sorted(rates[: rising + 1])


FALLING = [Cosine(), Exponential(), Linear(), MultiStep(), Polynomial(), Step(), WarmupCosine(), WarmupStableDecay()]


@pytest.mark.parametrize("schedule", [*FALLING, OneCycle(), Sequential()], ids=repr)
def test_it_falls_after_the_peak_and_stays_at_its_end(schedule: Schedule) -> None:
    rates = course(schedule, 500)[schedule.warmup_steps(500) :]
    assert rates == sorted(rates, reverse=True)
    assert schedule.factor(500, 500) <= schedule.factor(499, 500)


@pytest.mark.parametrize(
    "schedule",
    [
        Constant(),
        Step(every=30),
        MultiStep(at=(30, 60)),
        Exponential(every=30, reduction=0.5),
        Polynomial(over=80),
        Linear(over=80),
        Cosine(over=80),
        CosineRestarts(first=20),
        Triangular(cycle=20, momenta=(0.8, 0.9)),
        Warmup(warmup=10, then=Cosine(over=50)),
        WarmupStableDecay(warmup=10, decay=20),
        Sequential(parts=(Linear(start=0.1, end=1.0), Constant()), at=(40,)),
        Product(parts=(Step(every=30), Linear(over=90))),
        Plateau(),
    ],
    ids=lambda s: repr(s)[:60],
)
def test_in_steps_an_extended_training_keeps_its_past(schedule: Schedule) -> None:
    """What the docstring promises: the first steps do not depend on how many follow (but for a fall at the end)."""
    kept = 80 if isinstance(schedule, WarmupStableDecay) else 100
    assert course(schedule, 100)[:kept] == course(schedule, 200)[:kept]
    assert [schedule.momentum(step, 100) for step in range(kept)] == [schedule.momentum(s, 200) for s in range(kept)]


@pytest.mark.parametrize("schedule", [s for s in DEFAULTS if not isinstance(s, WarmupCosine | OneCycle)], ids=repr)
def test_in_shares_an_extended_training_goes_on_at_the_same_share(schedule: Schedule) -> None:
    """A tenth of a training is a tenth of a longer one, but for rounding to a step where a stretch begins."""
    for step in range(0, 1000, 100):
        assert schedule.factor(10 * step, 10_000) == pytest.approx(schedule.factor(step, 1000), abs=0.02)


@every
def test_a_plan_takes_it_and_json_brings_it_back(schedule: Schedule) -> None:
    plan = Plan(optimizer=SGD(lr=0.1, momentum=0.9), schedule=schedule)
    assert Plan.from_json(json.dumps(plan.to_json())) == plan


@every
def test_without_plateaus_what_was_measured_changes_nothing(schedule: Schedule) -> None:
    flat = [Measured(step, 1.0, 1.0) for step in range(1, 101)]
    assert course(schedule.informed([], 100), 100) == course(schedule, 100)
    if "Plateau" not in repr(schedule):
        assert course(schedule.informed(flat, 100), 100) == course(schedule, 100)
    else:
        assert course(schedule.informed(flat, 100), 100) != course(schedule, 100)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (WarmupCosine, {"warmup": 1.0}, r"WarmupCosine got warmup=1.0; allowed: a share from 0 to below 1"),
        (WarmupCosine, {"warmup": -0.1}, r"warmup=-0.1"),
        (WarmupCosine, {"warmup": -5}, r"warmup=-5; allowed: .* an integer of at least 0 for steps"),
        (WarmupCosine, {"final": 2}, r"final=2; allowed: a share from 0 to 1"),
        (WarmupCosine, {"final": math.nan}, r"final=nan"),
        (OneCycle, {"warmup": "0.3"}, r"OneCycle got warmup='0.3'"),
        (OneCycle, {"initial": 25}, r"initial=25"),
        (OneCycle, {"final": True}, r"final=True"),
        (OneCycle, {"form": "cubic"}, r"OneCycle got form='cubic'; allowed: 'cosine' or 'linear'"),
        (OneCycle, {"momenta": 0.9}, r"momenta=0.9; allowed: None or two numbers"),
        (OneCycle, {"momenta": (0.85, 1.0)}, r"momenta=\(0.85, 1.0\)"),
        (Triangular, {"rise": 1.0}, r"rise=1.0"),
        (Triangular, {"mode": "triangular3"}, r"mode='triangular3'; allowed: 'triangular' or 'triangular2'"),
        (Triangular, {"cycle": 0}, r"cycle=0"),
        (Triangular, {"momenta": (0.8,)}, r"momenta=\(0.8,\)"),
        (Step, {"every": 1.5}, r"Step got every=1.5; allowed: a share above 0 and up to 1.0, or an integer"),
        (Step, {"every": True}, r"every=True"),
        (Step, {"every": math.nan}, r"every=nan"),
        (Step, {"reduction": 0}, r"reduction=0; allowed: a number above 0, up to 1"),
        (MultiStep, {"at": (0.7, 0.5)}, r"at=\(0.7, 0.5\); allowed: a tuple of ascending"),
        (MultiStep, {"at": (0.5, 100)}, r"at=\(0.5, 100\)"),
        (MultiStep, {"at": ()}, r"at=\(\)"),
        (MultiStep, {"at": 0.5}, r"at=0.5"),
        (MultiStep, {"at": (0.5, 1.0)}, r"at=\(0.5, 1.0\)"),
        (Polynomial, {"power": 0}, r"power=0; allowed: a number above 0"),
        (CosineRestarts, {"mult": 0.5}, r"mult=0.5; allowed: a number of at least 1"),
        (Warmup, {"then": "cosine"}, r"Warmup got then='cosine'; allowed: a schedule"),
        (Warmup, {"start": 0.0}, r"start=0.0"),
        (WarmupStableDecay, {"warmup": 0.5, "decay": 0.6}, r"decay=0.6; allowed: a share that the warm-up leaves over"),
        (WarmupStableDecay, {"form": "sqrt"}, r"form='sqrt'"),
        (Plateau, {"window": 3}, r"window=3; allowed: an integer from 4 to 100"),
        (Plateau, {"window": 10.0}, r"window=10.0"),
        (Plateau, {"level": 1.0}, r"level=1.0"),
        (Plateau, {"losses": "test"}, r"losses='test'; allowed: 'validation' or 'train'"),
        (Product, {"parts": ()}, r"parts=\(\)"),
        (
            Product,
            {"parts": (OneCycle(momenta=(0, 0.5)), Triangular(momenta=(0, 0.5)))},
            r"at most one part that cycles",
        ),
        (Sequential, {"parts": (Constant(),), "at": (0.5,)}, r"a tuple of two or more schedules"),
        (Sequential, {"at": (0.5, 0.6)}, r"at=\(0.5, 0.6\); allowed: one place less than parts, here 1"),
        (Sequential, {"parts": (Constant(), OneCycle(momenta=(0.8, 0.9)))}, r"all cycle the momentum"),
    ],
)
def test_wrong_values_are_named(kind: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        kind(**values)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (WarmupCosine(warmup=300), r"WarmupCosine got warmup=300 steps, but it has only 300 steps.* at most 299"),
        (OneCycle(warmup=500), r"OneCycle got warmup=500 steps"),
        (Warmup(warmup=1000), r"Warmup got warmup=1,000 steps"),
        (Warmup(warmup=200, then=Cosine(over=101)), r"Cosine got over=101 steps, but it has only 100 steps"),
        (WarmupStableDecay(warmup=100, decay=201), r"WarmupStableDecay got decay=201 steps, but it has only 200"),
        (WarmupStableDecay(warmup=250, decay=0.5), r"WarmupStableDecay got decay=150 steps, but it has only 50"),
        (Step(every=301), r"Step got every=301"),
        (MultiStep(at=(100, 300)), r"MultiStep got at=300 steps"),
        (Exponential(every=301), r"every=301"),
        (Linear(over=301), r"over=301"),
        (Polynomial(over=301), r"over=301"),
        (Triangular(cycle=301), r"cycle=301"),
        (CosineRestarts(first=301), r"first=301"),
        (Sequential(at=(300,)), r"Sequential got at=300 steps"),
        (Sequential(parts=(Constant(), Step(every=200)), at=(150,)), r"Step got every=200 steps, but it has only 150"),
        (Product(parts=(Constant(), Warmup(warmup=300))), r"Warmup got warmup=300"),
    ],
    ids=lambda value: repr(value)[:50],
)
def test_a_length_that_does_not_fit_is_refused(schedule: Schedule, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        schedule.check(300)
    schedule.check(2000)


@every
def test_shares_fit_every_training(schedule: Schedule) -> None:
    if schedule in DEFAULTS:
        for num_steps in range(1, 60):
            schedule.check(num_steps)


def test_a_plan_changes_a_part_of_it() -> None:
    assert Plan().replace(**{"schedule.warmup": 100}).schedule == WarmupCosine(warmup=100)
    assert Plan.from_json({"schedule": "step"}).schedule == Step()
    assert replace(Warmup(), then=Cosine()).then == Cosine()


def test_parts_that_cycle_the_momentum_may_have_a_warmup_of_one_step() -> None:
    cycle = OneCycle(warmup=1, momenta=(0.85, 0.95))
    for schedule in (Product(parts=(cycle, Constant())), Sequential(parts=(cycle, cycle), at=(0.5,))):
        assert schedule.momentum(0, 10) == pytest.approx(0.85)


def test_a_stretch_without_a_step_is_passed_over() -> None:
    schedule = Sequential(parts=(Warmup(warmup=5), Linear()), at=(0.001,))
    schedule.check(50)
    assert schedule.warmup_steps(50) == 0
    assert schedule.factor(0, 50) == 1.0
    assert Sequential(parts=(Warmup(warmup=5), Linear()), at=(0.5,)).warmup_steps(50) == 5


def test_the_first_step_is_at_the_peak_where_a_place_rounds_to_none() -> None:
    schedule = MultiStep(at=(0.001, 0.5))
    assert [schedule.factor(step, 4) for step in range(4)] == pytest.approx([1.0, 0.1, 0.01, 0.01])
    assert MultiStep().factor(0, 1) == 1.0

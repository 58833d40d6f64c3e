import sys
from pathlib import Path

import pytest
import torch

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop06_nothing_moves import judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of


def seen(still: float, ungraded: float, *, steps: int = 100, rate: float | None = 0.1) -> Readings:
    found = [Reading("loop.unmoved", still, count=steps), Reading("loop.ungraded", ungraded, count=20)]
    return Readings(found if rate is None else [*found, Reading("loop.peak_rate", rate)])


BROKEN = seen(1.0, 1.0)
HEALTHY = seen(0.0, 0.0)


def test_steps_without_gradient_are_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "parameters_not_trained")
    assert "zero_grad" in finding.remedies[0].text


def test_a_rate_of_zero_is_another_cause():
    (finding,) = judge(seen(1.0, 0.0, rate=0.0))
    assert (finding.cause, finding.remedies[0].safety) == ("lr_too_low", "changes training")
    assert "data type" in judge(seen(1.0, 0.0, rate=1e-12))[0].why
    assert judge(seen(1.0, 0.0, rate=None))[0].counts


def test_one_parameter_that_moves_is_enough():
    assert judge(seen(0.99, 1.0)) == []


def test_a_few_steps_do_not_tell():
    assert judge(seen(1.0, 1.0, steps=2)) == []
    assert judge(seen(1.0, 0.0, steps=9)) == []
    assert len(judge(seen(1.0, 1.0, steps=3))) == len(judge(seen(1.0, 0.0, steps=10))) == 1


@pytest.mark.parametrize("told", [True, False])
def test_planted_in_a_loop(told):
    watch = loop(step_first=True, told=told)
    assert alarms(watch) == ["LOOP06"]
    assert of(watch, "LOOP06")[0].cause == "parameters_not_trained"


def test_a_rate_of_zero_in_a_loop():
    watch = loop(optimizer=lambda m: torch.optim.SGD(m.parameters(), lr=0.0))
    assert of(watch, "LOOP06")[0].cause == "lr_too_low"


def test_a_loop_that_moves_and_a_warm_up_are_silent():
    assert of(loop(), "LOOP06") == []
    warm = loop(schedule=lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: min(step / 20, 1.0)))
    assert alarms(warm) == []

import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop10_clipping_order import judge
from thalweg.watched import Watch

sys.path.insert(0, str(Path(__file__).parent))
from planted import mlp, of, rows, twin

STEPS = Reading("loop.steps", 500, count=20)
BROKEN = Readings([STEPS, Reading("loop.clipped_scaled", 1.0, count=9, note="65536"), *twin(0.3, 0.8)])
HEALTHY = Readings([STEPS])


def test_scaled_clipping_is_an_alarm_with_a_better_twin_and_a_note_without():
    (alarm,) = judge(BROKEN)
    assert (alarm.severity, alarm.standing, alarm.cause) == ("error", "verified", "lr_too_low")
    assert "1.53e-05" in alarm.title or "1.526e-05" in alarm.title
    (fact,) = judge(Readings([STEPS, Reading("loop.clipped_scaled", 1.0, count=9, note="65536")]))
    assert (fact.severity, fact.standing) == ("note", "proven")


def test_late_clipping_is_a_note_where_most_steps_have_it():
    (fact,) = judge(Readings([STEPS, Reading("loop.late_change", 0.9, count=10, note="0.2")]))
    assert (fact.severity, fact.standing) == ("note", "proven")
    assert judge(Readings([STEPS, Reading("loop.late_change", 0.3, count=10, note="0.2")])) == []


def clipped(where: str, limit: float, *, scale: bool, adam: bool = False) -> Watch:
    """A loop that clips right ("between"), before it unscales ("early"), or after the step ("late")."""
    torch.manual_seed(0)
    model, (x, y) = mlp(), rows()
    if adam:
        optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu", enabled=scale)
    draw = torch.Generator().manual_seed(1)
    with tw.watch(model, optimizer, listeners=()) as watch:
        for _ in range(6):
            for few in torch.randperm(len(y), generator=draw).split(32):
                optimizer.zero_grad()
                loss = F.cross_entropy(model(x[few]), y[few])
                scaler.scale(loss).backward()
                if where == "between":
                    scaler.unscale_(optimizer)
                if where in ("between", "early"):
                    nn.utils.clip_grad_norm_(model.parameters(), limit)
                scaler.step(optimizer)
                scaler.update()
                if where == "late":
                    nn.utils.clip_grad_norm_(model.parameters(), limit)
                watch.step(loss)
    return watch


def test_clipping_before_unscaling_is_found_with_its_harm():
    (alarm,) = of(clipped("early", 1.0, scale=True), "LOOP10")
    assert alarm.counts
    (fact,) = of(clipped("early", 1.0, scale=True, adam=True), "LOOP10")
    assert not fact.counts, "Adam divides by the gradient's own size"


def test_clipping_after_the_step_is_found():
    (fact,) = of(clipped("late", 0.05, scale=False), "LOOP10")
    assert "after" in fact.title


@pytest.mark.parametrize(("scale", "limit"), [(True, 1.0), (True, 0.02), (False, 0.02), (False, 1.0)])
def test_clipping_in_its_place_passes(scale, limit):
    watch = clipped("between", limit, scale=scale)
    assert of(watch, "LOOP10") == []

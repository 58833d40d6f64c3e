"""Small real trainings that are over, as the diagnosis has them, for tests of what twins show."""

import time
from dataclasses import replace

import torch
from sklearn import datasets
from torch import nn
from torch.nn import functional as F

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.doctor.bench import bench
from thalweg.doctor.case import Case
from thalweg.doctor.remedies.tournament import try_suspected, try_twins
from thalweg.measure.head import FREE
from thalweg.parts.schedules import Constant
from thalweg.plan import Plan
from thalweg.probes.budget import Budget
from thalweg.probes.twin import Lane, Twin
from thalweg.readings import Reading, Readings

TASK = Task("multiclass", tuple(range(10)), 10)


def digits():
    """1,200 training and 597 validation rows of 64 standardized pixels, and their digits."""
    bunch = datasets.load_digits()
    x, y = torch.tensor(bunch.data, dtype=torch.float32) / 8 - 1, torch.tensor(bunch.target)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    parts = order[:1200], order[1200:]
    return [Rows(x[rows], y[rows], rows, name) for rows, name in zip(parts, ("train", "validation"), strict=True)]


def mlp(*, dropout=0.0, width=32):
    torch.manual_seed(0)
    layers = [nn.Dropout(dropout)] if dropout else []
    layers += [nn.Linear(64, width), nn.ReLU()]
    layers += [nn.Dropout(dropout)] if dropout else []
    return nn.Sequential(*layers, nn.Linear(width, 10))


def case_of(network, plan, *, seconds=4.0):
    """A training of `plan.epochs` epochs of batches of 32, and its readings."""
    train_rows, validation_rows = digits()
    plan = plan.replace(seed=0, schedule=plan.schedule if plan.schedule != "auto" else Constant())
    plan = plan.replace(clip_norm=None if plan.clip_norm == "auto" else plan.clip_norm)
    plan = plan.replace(precision="float32", keep="last")
    train = Feeder(train_rows, batch_size=32, seed=0)
    held = Feeder(validation_rows, batch_size=256, seed=0, shuffle=False)
    steps = plan.epochs * len(train)
    budget = Budget(60.0)
    lane = Lane(Twin(network, F.cross_entropy, plan, steps, train, held, task=TASK, head=FREE))
    started, losses = time.monotonic(), []
    for step in range(0, steps, 5):
        lane.advance(min(5, steps - step), budget=budget)
        losses.append(Reading("train.batch_loss", lane.loss, step=lane.done))
    seconds_taken = time.monotonic() - started
    start = bench(
        network,
        F.cross_entropy,
        task=TASK,
        rows=train_rows,
        validation=validation_rows,
        transform=None,
        target_transform=None,
        optimizer=plan.optimizer,
        batch_size=32,
        seed=0,
        device="cpu",
        budget=Budget(seconds),
    )
    case = Case(
        bench=start,
        last=lane.network,
        kept=lane.network,
        optimizer_state=lane.step_on.state_dict(),
        plan=plan,
        num_steps=steps,
        steps=lane.done,
        train=train,
        validation=held,
        seconds=seconds_taken,
        budget=start.budget,
    )
    return case, Readings([*losses, Reading("plan.rate", float(plan.optimizer.lr)), Reading("plan.steps", steps)])


def examined(network, optimizer, *, epochs=5, more=(), **plan):
    """The readings of a training with those of the tournament."""
    case, readings = case_of(network, Plan.plain(optimizer=optimizer, epochs=epochs, batch_size=32, **plan))
    readings.extend(more)
    for examination in (try_suspected, try_twins):
        readings.extend(examination(case, readings))
    return readings


def tried(
    name, plain=0.3, changed=0.9, *, best=None, again=None, half=0.04, steps=1.0, setting=0.1, tries=1, constant=0.1
):
    """The readings of a twin with a remedy, of the tournament's best one too, as pure rules get them."""
    gain = changed - plain
    found = [
        Reading("plain", plain, note="accuracy", count=500),
        Reading("changed", changed, low=changed - half, high=changed + half, note="accuracy", count=500),
        Reading("constant", constant, note="accuracy", count=500),
        Reading("difference", gain, low=gain - half, high=gain + half, count=500),
        Reading("steps", steps, count=500),
        Reading("tries", tries, count=500),
        Reading("setting", setting),
        *([] if again is None else [Reading("again", again, count=500)]),
    ]
    return [
        Reading("twin.plain", plain, note="accuracy"),
        Reading("twin.constant", constant, note="accuracy"),
        *(replace(reading, name=f"twin.{name}.{reading.name}") for reading in found),
        Reading("twin.best", changed, note=best or name, count=500),
    ]

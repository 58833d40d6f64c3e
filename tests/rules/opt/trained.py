"""Small real trainings, under the whole doctor or bare, for tests of rules about optimization."""

import tempfile
import time

import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.doctor.bench import bench
from thalweg.doctor.case import Case
from thalweg.measure.head import FREE
from thalweg.probes.budget import Budget
from thalweg.probes.twin import Lane, Twin
from thalweg.readings import Reading, Readings

REGRESSION = Task("regression", (), 1)


def linear_rows(count=1500, *, noise=0.5, width=20):
    """Rows whose target is a linear function of the inputs and noise."""
    draw = torch.Generator().manual_seed(0)
    x, w = torch.randn(count, width, generator=draw), torch.randn(width, generator=draw) / width**0.5
    return x, (x @ w)[:, None] + noise * torch.randn(count, 1, generator=draw)


def mlp(act=nn.Tanh, *, width=32):
    return nn.Sequential(nn.Linear(20, width), act(), nn.Linear(width, 1))


def trained(build, rows, optimizer, *, batch_size, epochs, loss="mse", **plan) -> Readings:
    """The readings of a training, its check and its diagnosis."""
    with tempfile.TemporaryDirectory() as directory:
        experiment = tw.Experiment(
            build, train=rows, validation=0.3, test=False, loss=loss, metrics=[], directory=directory, seed=0
        )
        given = tw.Plan.plain(optimizer=optimizer, batch_size=batch_size, epochs=epochs, seed=0, probes=True, **plan)
        return experiment.train(given, listeners=()).store.readings()


def case_of(network, rows, optimizer, *, batch_size, epochs, schedule, seconds=30.0) -> tuple[Case, Readings]:
    """A bare training of a regression, and the curve of its loss; examinations of it have all the time they need."""
    x, y = rows
    cut = len(x) * 7 // 10
    parts = [Rows(x[:cut], y[:cut], torch.arange(cut), "train")]
    parts += [Rows(x[cut:], y[cut:], torch.arange(cut, len(x)), "validation")]
    plan = tw.Plan.plain(optimizer=optimizer, batch_size=batch_size, epochs=epochs, seed=0, schedule=schedule)
    plan = plan.replace(keep="last", precision="float32", clip_norm=None)
    train, held = Feeder(parts[0], batch_size=batch_size, seed=0), Feeder(parts[1], batch_size=256, seed=0)
    steps, curve = epochs * len(train), []
    lane = Lane(Twin(network, F.mse_loss, plan, steps, train, held, task=REGRESSION, head=FREE))
    started = time.thread_time()
    for _ in range(epochs):
        sums, last = 0.0, lane.done + len(train)
        while lane.done < last:
            before = lane.done
            lane.advance(min(25, last - lane.done), budget=Budget(60.0))
            sums += lane.loss * (lane.done - before)
        curve += [Reading(name, sums / len(train), step=lane.done) for name in ("train.loss", "train.batch_loss")]
    taken = time.thread_time() - started
    parts_of = {"rows": parts[0], "validation": parts[1], "transform": None, "target_transform": None}
    start = bench(network, F.mse_loss, task=REGRESSION, **parts_of, seed=0, device="cpu", budget=Budget(seconds))
    state = lane.step_on.state_dict()
    case = Case(
        start, lane.network, lane.network, state, plan, steps, lane.done, train, held, taken, budget=start.budget
    )
    return case, Readings([*curve, Reading("loss.constant", float(y.var())), Reading("loss.floor", 0.0)])

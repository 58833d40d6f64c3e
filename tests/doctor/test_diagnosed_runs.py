"""Trainings on real data: healthy ones raise no alarm, faulty ones are named."""

from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.plan import Plan

CALIFORNIA = Path(__file__).parents[3] / "shared" / "data" / "california_housing.csv.gz"
CONSTANT = tw.schedules.Constant()
pytestmark = pytest.mark.slow


def mlp(features, outputs):
    layers = [nn.Linear(features, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, outputs)]
    return nn.Sequential(*layers)


def cnn():
    body = [
        nn.Unflatten(1, (1, 8, 8)),
        nn.Conv2d(1, 8, 3),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 3),
        nn.ReLU(),
    ]
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(256, 10))


def train(runs, data, model, loss, plan, **more):
    experiment = tw.Experiment(model, train=data, loss=loss, directory=runs, seed=0, **more)
    return experiment.train(plan)


def alarms(run):
    return [finding for finding in run.findings if finding.counts]


def set_rate(optimizer, *, epochs=8, **more):
    return Plan(optimizer=optimizer, schedule=CONSTANT, epochs=epochs, batch_size=32, **more)


@pytest.mark.parametrize(
    "plan",
    [
        Plan(epochs=8),
        set_rate(tw.optimizers.Adam(lr=1e-3)),
        set_rate(tw.optimizers.SGD(lr=0.05, momentum=0.9)),
    ],
    ids=["automatic", "adam", "sgd"],
)
def test_healthy_digits(plan, runs, digits):
    run = train(runs, digits, lambda: mlp(64, 10), "cross_entropy", plan)
    assert alarms(run) == []
    assert run.verdict.startswith("Healthy: no rule found a fault")
    assert ", best at epoch" in run.verdict


def test_healthy_convolutions(runs, digits):
    run = train(runs, digits, cnn, "cross_entropy", set_rate(tw.optimizers.Adam(lr=3e-3), epochs=5))
    assert alarms(run) == []


def test_healthy_breast_cancer(runs, breast_cancer):
    run = train(runs, breast_cancer, lambda: mlp(30, 1), "binary_cross_entropy", Plan(epochs=10))
    assert alarms(run) == []


@pytest.mark.skipif(not CALIFORNIA.exists(), reason="the California housing file is not beside the project")
def test_healthy_california(runs):
    import pandas as pd

    table = pd.read_csv(CALIFORNIA).select_dtypes("number").dropna().sample(2000, random_state=0)
    values = torch.tensor(table.to_numpy(), dtype=torch.float32)
    run = train(runs, (values[:, :-1], values[:, -1:]), lambda: mlp(8, 1), "mse", Plan(epochs=8))
    assert alarms(run) == []


@pytest.mark.parametrize(
    ("optimizer", "code"),
    [
        (tw.optimizers.Adam(lr=0.3), "LR01"),
        (tw.optimizers.SGD(lr=5.0, momentum=0.9), "LR01"),
        (tw.optimizers.Adam(lr=3e-6), "LR02"),
        (tw.optimizers.SGD(lr=5e-5, momentum=0.9), "LR02"),
    ],
    ids=["adam x 100", "sgd x 100", "adam / 1000", "sgd / 1000"],
)
def test_a_wrong_rate_is_the_one_fault(optimizer, code, runs, digits):
    run = train(runs, digits, lambda: mlp(64, 10), "cross_entropy", set_rate(optimizer))
    assert {f.code for f in alarms(run)} == {code}
    assert "with one fault: the learning rate" in run.verdict


def test_random_labels_are_named(runs, digits):
    inputs, target = digits
    dealt = target[torch.randperm(len(target), generator=torch.Generator().manual_seed(0))]
    run = train(runs, (inputs, dealt), lambda: mlp(64, 10), "cross_entropy", Plan(epochs=5))
    assert [(f.code, f.cause) for f in alarms(run)] == [("LABEL01", "label_corruption")]
    assert run.verdict.startswith("Not learning, with one fault")


def noisy(count, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(count, 20, generator=generator)
    return x, x[:, :1] + 1.5 * torch.randn(count, 1, generator=generator)


@pytest.mark.parametrize(("keep", "severity"), [("last", "warning"), ("best", "note")])
def test_a_small_noisy_set_is_overfitted(keep, severity, runs):
    plan = set_rate(tw.optimizers.Adam(lr=3e-3), epochs=40, keep=keep)
    run = train(runs, noisy(300, 0), lambda: mlp(20, 1), "mse", plan, validation=noisy(600, 1), test=noisy(100, 2))
    (found,) = [f for f in run.findings if f.code == "GEN01"]
    assert (found.severity, found.cause) == (severity, "overfitting")


def test_units_with_a_large_negative_bias_are_dead(runs, digits):
    def build():
        network = mlp(64, 10)
        nn.init.constant_(network[2].bias, -50.0)
        return network

    run = train(runs, digits, build, "cross_entropy", Plan(epochs=4))
    found = next(f for f in run.findings if f.code == "ACT03")
    assert (found.severity, found.standing, found.step) == ("error", "proven", 0)
    assert found.place.endswith("3")


def test_an_overflowing_loss_is_located(runs):
    x, y = noisy(800, 0)
    plan = set_rate(tw.optimizers.SGD(lr=3.0), preprocessing="none", target_scaling="none")
    run = train(runs, (x, y), lambda: mlp(20, 1), "mse", plan)
    assert run.status == "failed"
    (found,) = alarms(run)
    assert (found.code, found.cause) == ("NUM01", "lr_too_high")
    assert run.verdict.startswith("Failed: numbers were no longer finite at step")

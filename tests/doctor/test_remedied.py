import pytest
import torch
from torch import nn
from torch.nn import functional as F

import thalweg as tw

X = torch.randn(1200, 12, generator=torch.Generator().manual_seed(0))
Y = (X @ torch.randn(12, 30, generator=torch.Generator().manual_seed(1))).argmax(1)


def bce_of_classes(output, target):
    return F.binary_cross_entropy(output, F.one_hot(target, 30).float())


def trained(tmp_path, loss, last, epochs):
    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(12, 64), nn.ReLU(), nn.Linear(64, 30), *last)

    experiment = tw.Experiment(
        build, train=(X, Y), test=False, loss=loss, task="multiclass", metrics=[], directory=tmp_path
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=epochs, batch_size=32, probes=True, seed=0)
    return [f for f in experiment.train(plan, listeners=()).findings if f.code == "LOSS02"]


@pytest.mark.slow
def test_one_sigmoid_per_class_is_an_alarm_where_cross_entropy_learns(tmp_path):
    (finding,) = trained(tmp_path, bce_of_classes, (nn.Sigmoid(),), 8)
    assert (finding.counts, finding.standing, finding.cause) == (True, "verified", "loss_head_mismatch")


@pytest.mark.slow
def test_cross_entropy_on_free_outputs_is_none(tmp_path):
    assert trained(tmp_path, "cross_entropy", (), 8) == []

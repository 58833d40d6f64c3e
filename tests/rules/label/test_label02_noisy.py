import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw
from thalweg.data.task import Task
from thalweg.probes.labels import noise
from thalweg.probes.reference import fit, target_of
from thalweg.readings import Reading, Readings
from thalweg.rules.label import label02_noisy


def estimate(share, half=0.02):
    suspects = [Reading("labels.suspect", 1.0 - k / 100, str(7 * k)) for k in range(20)]
    return Readings(
        [Reading("labels.noise", share, "train", low=share - half, high=share + half, count=2000), *suspects]
    )


BROKEN = estimate(0.15)
HEALTHY = estimate(0.03)


def test_wrong_labels_are_a_suspicion_with_their_rows():
    (found,) = label02_noisy.judge(BROKEN)
    assert (found.severity, found.counts, found.cause) == ("warning", False, "label_corruption")
    assert found.title == "About 15 % of the training labels seem to be wrong"
    assert found.evidence[1].value.startswith("0, 7, 14")


def test_the_interval_decides():
    assert label02_noisy.judge(estimate(0.06, 0.02)) == []


def planted(share, seed=0):
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32), torch.tensor(y)
    draw = torch.Generator().manual_seed(seed)
    wrong = torch.rand(len(y), generator=draw) < share
    labels = torch.where(wrong, (y + torch.randint(1, 10, (len(y),), generator=draw)) % 10, y)
    found = fit(x, target_of(labels, Task("multiclass", tuple(range(10)), 10)), x[:1], seed=seed)
    return Readings(noise(found, 1000 + torch.arange(len(y)))), wrong


@pytest.mark.parametrize("share", [0.0, 0.03, 0.1, 0.3])
def test_the_share_is_estimated_and_the_rows_are_found(share):
    readings, wrong = planted(share)
    found = readings.last("labels.noise")
    assert found.low - 0.02 <= float(wrong.double().mean()) <= found.high + 0.02
    assert bool(label02_noisy.judge(readings)) == (share >= 0.1)
    suspects = [int(r.place) - 1000 for r in readings.of("labels.suspect")]
    if share:
        assert float(wrong[suspects].double().mean()) >= 0.9  # precision at 20


def test_nothing_is_said_of_what_plain_learners_do_not_see():
    draw = torch.Generator().manual_seed(0)
    x, y = torch.randn(400, 5, generator=draw), torch.randint(0, 3, (400,), generator=draw)
    assert noise(fit(x, target_of(y, Task("multiclass", (0, 1, 2), 3)), x[:1]), torch.arange(400)) == []


def test_rows_are_named_as_the_user_numbers_them(tmp_path):
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x, dtype=torch.float32) / 16, torch.tensor(y)
    draw = torch.Generator().manual_seed(0)
    wrong = torch.rand(len(y), generator=draw) < 0.2
    labels = torch.where(wrong, (y + torch.randint(1, 10, (len(y),), generator=draw)) % 10, y)
    experiment = tw.Experiment(
        lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        train=(x, labels),
        test=False,
        loss="cross_entropy",
        metrics=[],
        directory=tmp_path,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.003), epochs=5, batch_size=32, probes=True, seed=0)
    run = experiment.train(plan, listeners=())
    suspects = [int(r.place) for r in run.store.readings().of("labels.suspect")]
    assert len(suspects) == 20
    assert float(wrong[suspects].double().mean()) >= 0.9
    assert label02_noisy.judge(run.store.readings())

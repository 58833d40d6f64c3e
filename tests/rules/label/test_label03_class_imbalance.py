import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.label import label03_class_imbalance


def twins(plain, changed, *, even=None, constant=0.1, half=0.03, **more):
    """Readings of the twin: scores of all rows, and with every class counted alike."""
    found = [Reading("balance.ratio", 100.0)]
    for name, pair, bar in (("balance", (plain, changed), constant), ("balance_even", even, 0.1)):
        if pair is not None:
            gap = pair[1] - pair[0]
            found += [
                Reading(f"twin.{name}.plain", pair[0], note="accuracy", count=1000),
                Reading(f"twin.{name}.changed", pair[1], note="accuracy", count=1000),
                Reading(f"twin.{name}.constant", bar, note="accuracy", count=1000),
                Reading(f"twin.{name}.difference", gap, low=gap - half, high=gap + half, count=1000),
                Reading(f"twin.{name}.steps", 1.0),
            ]
    return Readings([*found, *(Reading(name.replace("_", ".", 1), value) for name, value in more.items())])


BROKEN = twins(0.53, 0.67)
HEALTHY = twins(0.79, 0.80)


def test_a_twin_that_answers_rare_classes_makes_it_a_warning():
    (found,) = label03_class_imbalance.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "class_imbalance")
    assert found.title == "Rare classes are lost: 53 % where batches of all classes alike reach 67 %"


def test_where_all_rows_count_alike_a_better_balance_is_no_fault():
    assert label03_class_imbalance.judge(twins(0.95, 0.92, even=(0.6, 0.9), constant=0.9)) == []
    (found,) = label03_class_imbalance.judge(twins(0.9, 0.85, even=(0.1, 0.8), constant=0.9))
    assert found.counts  # it always names the most frequent class, though the rare ones can be told


def test_a_weighted_plain_learner_makes_it_a_note():
    def pair(own, plain):
        readings = [("outcome.balanced", own), ("reference.balanced", plain), ("balance.ratio", 50.0)]
        return Readings([Reading(name, v, low=v - 0.05, high=v + 0.05) for name, v in readings])

    (found,) = label03_class_imbalance.judge(pair(0.6, 0.8))
    assert (found.severity, found.counts) == ("note", False)
    assert label03_class_imbalance.judge(pair(0.75, 0.8)) == []


@pytest.mark.parametrize(
    "readings", [twins(0.64, 0.67), twins(0.53, 0.67, half=0.2), twins(0.53, 0.67, nonfinite_step=3)]
)
def test_what_is_no_harm(readings):
    assert label03_class_imbalance.judge(readings) == []


def trained(shares, directory):
    draw = torch.Generator().manual_seed(0)
    centers = 2.0 * torch.eye(4)
    y = torch.arange(4).repeat_interleave(400)
    x = centers[y] + torch.randn(1600, 4, generator=draw)
    held = torch.arange(1600) % 4 == 0
    kept = (torch.rand(1600, generator=draw) < torch.tensor(shares)[y]) & ~held
    experiment = tw.Experiment(
        lambda: nn.Sequential(nn.Linear(4, 32), nn.ReLU(), nn.Linear(32, 4)),
        train=(x[kept], y[kept]),
        validation=(x[held], y[held]),
        test=False,
        loss="cross_entropy",
        metrics=[],
        directory=directory,
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=0.003), epochs=15, batch_size=32, probes=True, seed=0)
    return [f for f in experiment.train(plan, listeners=()).findings if f.code == "LABEL03"]


def test_rare_classes_are_found_in_a_real_training(tmp_path):
    (found,) = trained((1.0, 1.0, 0.015, 0.015), tmp_path / "rare")
    assert found.counts
    assert trained((0.5, 0.5, 0.5, 0.3), tmp_path / "even") == []

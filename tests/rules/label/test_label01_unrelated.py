import pytest
import torch
from torch import nn

from thalweg.data.rows import Rows
from thalweg.data.task import Task
from thalweg.doctor.check import check
from thalweg.readings import Reading, Readings
from thalweg.rules.label import label01_unrelated


def labeled(train, validation=None, *, reference=0.1, outcome=None, count=1000, **more):
    """Readings of the permutation tests `(explained, best of the permutations, chance)`."""
    found = []
    for place, test in (("train", train), ("validation", validation)):
        if test is not None:
            explained, best, chance = test
            found += [
                Reading("labels.explained", explained, place, count=count),
                Reading("labels.permuted", best - 0.005, place, low=best - 0.01, high=best, count=count),
                Reading("labels.chance", chance, place, count=count),
            ]
    found += [
        Reading("reference.score", reference, low=reference - 0.02, high=reference + 0.02),
        Reading("reference.constant", 0.12),
    ]
    if outcome is not None:
        found += [
            Reading("outcome.score", outcome, low=outcome - 0.02, high=outcome + 0.02),
            Reading("outcome.constant", 0.12),
        ]
    return Readings([*found, *(Reading(name.replace("_", ".", 1), value) for name, value in more.items())])


CHANCE, FOUND = (-0.01, -0.005, 0.4), (0.5, -0.01, 0.05)
BROKEN = labeled(CHANCE, FOUND)
HEALTHY = labeled(FOUND, reference=0.8)


def test_training_labels_that_validation_rows_show_to_be_learnable_are_an_error_before_the_first_step():
    (found,) = label01_unrelated.judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("error", "verified", "label_corruption")
    assert found.title == "The labels of the training rows have nothing to do with their inputs"
    assert found.excluded[0].cause == "a task that is too hard"


def test_where_no_rows_show_a_dependence_the_network_decides_after_the_training():
    assert label01_unrelated.judge(labeled(CHANCE, CHANCE)) == []
    told = {"race_learnable": 0.0, "overfit_share": 0.95}
    assert label01_unrelated.judge(labeled(CHANCE, CHANCE, **told)) == []  # not yet trained
    (found,) = label01_unrelated.judge(labeled(CHANCE, CHANCE, outcome=0.11, **told))
    assert found.counts
    assert {rival.cause for rival in found.excluded} >= {"the network", "the learning rate"}
    assert label01_unrelated.judge(labeled(CHANCE, CHANCE, outcome=0.4, **told)) == []  # it learns what they do not
    assert label01_unrelated.judge(labeled(CHANCE, CHANCE, outcome=0.11, overfit_share=0.95)) == []  # no race


@pytest.mark.parametrize(
    "readings",
    [
        labeled((0.02, -0.005, 0.05), FOUND),  # half of the labels may be noise
        labeled(CHANCE, (0.004, -0.005, 0.05)),  # one in twenty by chance
        labeled(CHANCE, FOUND, reference=0.4),  # what is learned on training rows holds
        labeled(CHANCE, FOUND, outcome=0.5),
        labeled(CHANCE, FOUND, count=30),
    ],
)
def test_what_is_no_corruption(readings):
    assert label01_unrelated.judge(readings) == []


def examined(shuffled, *, hard=False, seed=0):
    draw = torch.Generator().manual_seed(seed)
    x = torch.randn(900, 10, generator=draw)
    y = (x[:, :8].prod(1) > 0).long() if hard else (x[:, 0] + x[:, 1] > 0).long() + (x[:, 2] > 0).long()
    parts = []
    for name, rows in (("train", slice(0, 600)), ("validation", slice(600, 900))):
        inputs, target = x[rows], y[rows]
        if shuffled and name == "train":
            inputs = inputs[torch.randperm(len(inputs), generator=draw)]
        parts.append(Rows(inputs, target, torch.arange(len(target)), name))
    task = Task("multiclass", (0, 1, 2), 3)
    net = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
    found = check(
        net, nn.functional.cross_entropy, loss_name="cross_entropy", task=task, rows=parts[0], validation=parts[1]
    )
    return [f for f in found.findings if f.code == "LABEL01"]


def test_inputs_shuffled_without_their_labels_are_found_in_real_data():
    assert len(examined(True)) == 1
    assert examined(False) == []


def test_a_task_that_plain_learners_cannot_see_raises_no_alarm():
    assert [examined(False, hard=True, seed=seed) for seed in range(3)] == [[], [], []]

import torch

from thalweg.data.task import Task
from thalweg.probes.labels import association
from thalweg.probes.reference import fit, target_of


def explained(x, y, classes=2, seed=0):
    return association(fit(x, target_of(y, Task("multiclass", tuple(range(classes)), classes)), x[:1]), seed=seed)


def test_labels_of_their_inputs_exceed_every_permutation():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(400, 4, generator=draw)
    found = explained(x, (x[:, 0] * x[:, 1] > 0).long())
    assert found.chance == 0.05
    assert found.explained > 0.3 > float(found.permuted.max())


def test_the_test_keeps_its_level_on_labels_that_mean_nothing():
    below = 0
    for seed in range(40):
        draw = torch.Generator().manual_seed(seed)
        x, y = torch.randn(120, 3, generator=draw), torch.randint(0, 3, (120,), generator=draw)
        below += explained(x, y, 3, seed).chance <= 0.05
    assert below <= 6  # of 40 at the level of 5 %: more than 6 is seen once in 70 times


def test_many_classes_are_mixed_into_few_columns():
    draw = torch.Generator().manual_seed(0)
    y = torch.arange(600) % 60
    x = torch.randn(60, 10, generator=draw)[y] + 0.1 * torch.randn(600, 10, generator=draw)
    assert explained(x, y, 60).chance == 0.05
    assert explained(x[torch.randperm(600, generator=draw)], y, 60).chance > 0.05


def test_readings_name_the_part():
    x = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
    found = explained(x, (x[:, 0] > 0).long()).readings("train", step=5)
    assert [(r.name, r.place, r.step) for r in found] == [
        (f"labels.{name}", "train", 5) for name in ("explained", "permuted", "chance")
    ]

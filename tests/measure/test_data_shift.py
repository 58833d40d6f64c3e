"""Parts that are told apart, and parts that are not: beside scikit-learn, SciPy and many draws."""

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency
from sklearn.metrics import roc_auc_score
from torch import Tensor

from thalweg.data.rows import Batch
from thalweg.measure.data_features import describe_rows
from thalweg.measure.data_shift import areas, chi_square_level, compare_inputs, compare_targets
from thalweg.readings import Readings
from thalweg.rules.data.data06_split_shift import differs, differs_much, other_shares, prepared_unequally


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def inputs(train: object, held: object, *labels: Tensor) -> Readings:
    return Readings(compare_inputs(train, held, *(labels or (None, None))))  # type: ignore[arg-type]


def test_areas_are_those_of_scikit_learn() -> None:
    scores, parts = random(300, 4).double(), (random(300, 4, seed=1) > 0.3).double()
    expected = [roc_auc_score(parts[:, i].numpy(), scores[:, i].numpy()) for i in range(4)]
    assert areas(scores, parts).tolist() == pytest.approx(expected)


def test_chi_square_is_that_of_scipy() -> None:
    table = torch.tensor([[30.0, 50.0, 20.0], [45.0, 25.0, 30.0]], dtype=torch.float64)
    assert chi_square_level(table) == pytest.approx(chi2_contingency(table.numpy(), correction=False).pvalue)


@pytest.mark.parametrize("form", ["columns", "images", "tokens", "two"])
def test_parts_of_one_kind_pass(form: str) -> None:
    made = {
        "columns": lambda seed: random(400, 8, seed=seed),
        "images": lambda seed: random(400, 3, 8, 8, seed=seed),
        "tokens": lambda seed: torch.randint(0, 30, (400, 10), generator=torch.Generator().manual_seed(seed)),
        "two": lambda seed: {"a": random(400, 4, seed=seed), "b": random(400, 2, seed=seed + 100)},
    }[form]
    alarmed = [differs(inputs(made(seed), made(seed + 1000))) for seed in range(10)]
    assert sum(alarmed) == 0


@pytest.mark.parametrize(
    "kind", ["factor 255", "mean not subtracted", "noise", "one column", "tokens", "another sequence of tokens"]
)
def test_parts_of_two_kinds_are_told(kind: str) -> None:
    x, v = random(500, 20), random(400, 20, seed=1)
    one, other = {
        "factor 255": (x, v * 255),
        "mean not subtracted": (x, v + 3),
        "noise": (x + random(500, 20, seed=2), v),
        "one column": (x, torch.cat([v[:, :19], v[:, 19:] + 1.5], 1)),
        "tokens": (torch.randint(0, 9, (500, 12)), torch.randint(0, 6, (400, 12))),
        "another sequence of tokens": (torch.randint(0, 9, (500, 12)), torch.randint(5, 14, (400, 12))),
    }[kind]
    found = inputs(one, other)
    assert differs_much(found) or kind == "one column"
    assert differs(found)
    assert prepared_unequally(found) == (kind in ("factor 255", "mean not subtracted"))


def test_other_shares_of_classes_are_no_shift_of_inputs() -> None:
    """Inputs tell the classes apart, and the classes have other shares: within a class nothing differs."""
    labels, held = (torch.rand(800) < 0.5).long(), (torch.rand(800) < 0.9).long()
    x, v = random(800, 5) + 2 * labels[:, None], random(800, 5, seed=1) + 2 * held[:, None]
    assert differs(inputs(x, v))
    assert not differs(inputs(x, v, labels, held))
    assert other_shares(Readings(compare_targets(labels, held, classes=True)))


def test_targets_of_numbers_are_compared_by_tenths() -> None:
    y = random(1000)
    assert not other_shares(Readings(compare_targets(y, random(800, seed=1), classes=False)))
    assert other_shares(Readings(compare_targets(y, random(800, seed=1) + 1, classes=False)))


def test_the_level_is_kept() -> None:
    """Of 200 pairs of samples with equal shares about a twentieth is rejected at a level of 0.05."""
    draw = np.random.default_rng(0)
    levels = []
    for _ in range(200):
        parts = [torch.tensor(draw.choice(4, 300, p=[0.4, 0.3, 0.2, 0.1])) for _ in range(2)]
        levels.append(compare_targets(*parts, classes=True)[1].value)
    assert 0.02 < float(np.mean(np.array(levels) < 0.05)) < 0.09


def test_what_cannot_be_compared_gives_nothing() -> None:
    few = random(30, 4)
    assert compare_inputs(few, random(300, 4), None, None) == []
    assert compare_inputs(random(300, 4), random(300, 5), None, None) == []
    assert compare_inputs(torch.full((300, 4), torch.nan), random(300, 4), None, None) == []
    assert describe_rows(Batch((few,), lambda model, batch: None)) is None
    assert compare_targets(random(300, 2), random(300, 2), classes=False) == []
    constant = inputs(torch.ones(300, 4), torch.ones(300, 4))
    assert not differs(constant)

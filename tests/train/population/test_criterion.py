"""The losses of all members at once are those of each by itself, whatever the loss, the weights and the smoothing."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg.errors import UsageError
from thalweg.train.losses import NAMED, WeightedLoss
from thalweg.train.population.criterion import ELEMENTS, criterion_of
from thalweg.train.smoothing import smoothed_loss

K, B, C = 3, 6, 4


def numbers(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def classes(*shape: int) -> Tensor:
    return torch.randint(0, C, shape, generator=torch.Generator().manual_seed(1))


def with_gaps(target: Tensor) -> Tensor:
    target.flatten()[::3] = -100
    return target


CASES: dict[str, tuple[Callable[..., Tensor], Tensor, Tensor]] = {
    "classes": (NAMED["cross_entropy"], numbers(K, B, C), classes(B)),
    "classes with gaps": (NAMED["cross_entropy"], numbers(K, B, C), with_gaps(classes(B))),
    "positions, classes last": (NAMED["cross_entropy"], numbers(K, B, 5, C), with_gaps(classes(B, 5))),
    "positions, classes second": (NAMED["cross_entropy"], numbers(K, B, C, 5), with_gaps(classes(B, 5))),
    "nll": (NAMED["nll"], numbers(K, B, C).log_softmax(2), classes(B)),
    "binary, column": (NAMED["binary_cross_entropy"], numbers(K, B, 1), (numbers(B) > 0).double()),
    "several labels": (NAMED["binary_cross_entropy"], numbers(K, B, C), (numbers(B, C) > 0).double()),
    "mse": (NAMED["mse"], numbers(K, B, 2), numbers(B, 2, seed=3)),
    "mae": (NAMED["mae"], numbers(K, B), numbers(B, seed=3)),
    "huber": (NAMED["huber"], 3 * numbers(K, B, 1), numbers(B, seed=3)),
    "a module with class weights": (
        WeightedLoss(nn.CrossEntropyLoss(weight=torch.rand(C, dtype=torch.float64))),
        numbers(K, B, C),
        classes(B),
    ),
    "one's own": (
        lambda output, target, weight=None: (output.mean(1) - target).pow(4).sum(),
        numbers(K, B, 2),
        numbers(B),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_member_has_its_own_loss(name: str) -> None:
    loss, outputs, target = CASES[name]
    outputs = outputs.clone().requires_grad_()
    found = criterion_of(loss)(outputs, target, None)
    expected = torch.stack([loss(output, target) for output in outputs])
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)
    ours, theirs = (torch.autograd.grad(value.sum(), outputs)[0] for value in (found, expected))
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", [name for name in CASES if name != "one's own"])
def test_weights_of_rows(name: str) -> None:
    loss, outputs, target = CASES[name]
    weight = torch.rand(K, B, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    weight[1, 2:] = 0
    found = criterion_of(loss)(outputs, target, weight)
    expected = torch.stack([loss(output, target, w) for output, w in zip(outputs, weight, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-14)


def test_a_member_without_rows_in_a_batch_has_a_loss_of_0() -> None:
    weight = torch.ones(K, B, dtype=torch.float64)
    weight[1] = 0
    found = criterion_of(NAMED["cross_entropy"])(numbers(K, B, C), classes(B), weight)
    assert found[1] == 0
    assert (found[[0, 2]] > 0).all()


@pytest.mark.parametrize("name", ["classes", "classes with gaps", "positions, classes last", "several labels"])
def test_smoothing_of_each_member(name: str) -> None:
    loss, outputs, target = CASES[name]
    shares = [0.0, 0.1, 0.4]
    found = criterion_of(loss, torch.tensor(shares, dtype=torch.float64))(outputs, target, None)
    expected = [smoothed_loss(loss, s)(output, target) for s, output in zip(shares, outputs, strict=True)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-12, atol=1e-14)
    if name == "classes":
        theirs = [F.cross_entropy(o, target, label_smoothing=s) for s, o in zip(shares, outputs, strict=True)]
        torch.testing.assert_close(found, torch.stack(theirs), rtol=1e-12, atol=1e-14)


def test_a_loss_that_cannot_be_smoothed() -> None:
    with pytest.raises(UsageError, match="'mse' cannot be smoothed"):
        criterion_of(NAMED["mse"], torch.tensor([0.1]))


def test_targets_of_ones_own() -> None:
    outputs, target = numbers(K, B, C), torch.stack([classes(B).roll(k) for k in range(K)])
    found = criterion_of(NAMED["cross_entropy"], own=True)(outputs, target, None)
    expected = torch.stack([F.cross_entropy(o, t) for o, t in zip(outputs, target, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=0)


def test_every_named_loss_has_a_form_for_all_members() -> None:
    assert set(ELEMENTS) == set(NAMED.values())


def test_several_outputs() -> None:
    def loss(output: Any, target: Tensor) -> Tensor:
        return F.cross_entropy(output["class"], target) + output["value"].square().mean()

    outputs = {"class": numbers(K, B, C), "value": numbers(K, B, seed=5)}
    found = criterion_of(loss)(outputs, classes(B), None)
    expected = [loss({name: value[k] for name, value in outputs.items()}, classes(B)) for k in range(K)]
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-13, atol=0)

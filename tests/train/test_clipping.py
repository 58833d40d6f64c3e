"""Clipping against torch's own functions and, for the adaptive form, against the paper's formula unit by unit."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg import optimizers
from thalweg.train.clipping import Clipping, clip_adaptively
from thalweg.train.step import Step


def cnn() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.Tanh(), nn.Linear(8, 3)
    ).double()


def with_gradients(scale: float) -> nn.Sequential:
    network = cnn()
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(12, 2, 6, 6, generator=generator, dtype=torch.float64)
    (scale * F.cross_entropy(network(x), torch.randint(0, 3, (12,), generator=generator))).backward()
    return network


def clipped(network: nn.Module, clipping: Clipping) -> list[Tensor]:
    parameters = list(network.parameters())
    gradients = [p.grad.clone() for p in parameters if p.grad is not None]
    with torch.no_grad():
        clipping(gradients, parameters)
    return gradients


def unit_by_unit(gradient: Tensor, weight: Tensor, ratio: float) -> Tensor:
    """Brock et al. 2021, equation 3: G_i <- ratio * |W_i|* / |G_i| * G_i where |G_i| > ratio * |W_i|*."""
    one_unit = weight.dim() <= 1
    units = [(gradient, weight)] if one_unit else list(zip(gradient, weight, strict=True))
    changed = []
    for g, w in units:
        largest = ratio * max(float(w.square().sum().sqrt()), 1e-3)
        norm = float(g.square().sum().sqrt())
        changed.append(g * (largest / norm) if norm > largest else g.clone())
    return changed[0] if one_unit else torch.stack(changed)


@pytest.mark.parametrize("scale", [0.01, 100.0])  # below the limit, which changes nothing, and above
@pytest.mark.parametrize("largest", [0.1, 3.0])
def test_by_norm_is_that_of_torch(scale: float, largest: float) -> None:
    network = with_gradients(scale)
    ours = clipped(network, Clipping(norm=largest))
    torch.nn.utils.clip_grad_norm_(network.parameters(), largest)
    for gradient, parameter in zip(ours, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-12, atol=0)


def test_by_value_is_that_of_torch() -> None:
    network = with_gradients(10.0)
    ours = clipped(network, Clipping(value=0.05))
    assert max(float(p.grad.abs().max()) for p in network.parameters()) > 0.05  # type: ignore[union-attr]
    torch.nn.utils.clip_grad_value_(network.parameters(), 0.05)
    for gradient, parameter in zip(ours, network.parameters(), strict=True):
        assert torch.equal(gradient, parameter.grad)


@pytest.mark.parametrize("ratio", [1e-3, 0.01, 0.5])
def test_adaptively_is_the_formula_of_each_unit(ratio: float) -> None:
    network = with_gradients(3.0)
    with torch.no_grad():
        network[4].weight[2] = 0.0  # a unit whose weights are 0 is taken to have norm 1e-3
    ours = clipped(network, Clipping(adaptive=ratio))
    untouched, changed = 0, 0
    for gradient, parameter in zip(ours, network.parameters(), strict=True):
        expected = unit_by_unit(parameter.grad, parameter.detach(), ratio)
        torch.testing.assert_close(gradient, expected, rtol=1e-12, atol=1e-300)
        same = torch.equal(gradient, parameter.grad)
        untouched, changed = untouched + same, changed + (not same)
    assert changed
    assert untouched or ratio < 0.5


def test_a_unit_without_gradient_and_a_scalar_parameter_stay_finite() -> None:
    gradient = torch.tensor([[0.0, 0.0], [5.0, 0.0]])
    clip_adaptively(gradient, torch.ones(2, 2), 0.1)
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.0], [0.1 * 2**0.5, 0.0]]))
    scalar = torch.tensor(-8.0)
    clip_adaptively(scalar, torch.tensor(2.0), 0.1)
    torch.testing.assert_close(scalar, torch.tensor(-0.2))


def test_all_three_go_adaptive_then_value_then_norm() -> None:
    network = with_gradients(50.0)
    ours = clipped(network, Clipping(norm=0.02, value=0.004, adaptive=0.02))
    for parameter in network.parameters():
        parameter.grad = unit_by_unit(parameter.grad, parameter.detach(), 0.02)
    largest = max(float(p.grad.abs().max()) for p in network.parameters())  # type: ignore[union-attr]
    assert largest > 0.004
    torch.nn.utils.clip_grad_value_(network.parameters(), 0.004)
    assert torch.nn.utils.clip_grad_norm_(network.parameters(), 0.02) > 0.02  # each of the three has acted
    for gradient, parameter in zip(ours, network.parameters(), strict=True):
        torch.testing.assert_close(gradient, parameter.grad, rtol=1e-12, atol=0)


@pytest.mark.parametrize("clipping", [Clipping(norm=0.1), Clipping(value=0.01), Clipping(adaptive=0.01)], ids=str)
def test_a_parameter_without_gradient_is_passed_over(clipping: Clipping) -> None:
    network = with_gradients(10.0)
    network[6].weight.grad = None
    gradients = [None if p.grad is None else p.grad.clone() for p in network.parameters()]
    with torch.no_grad():
        clipping(gradients, list(network.parameters()))
    assert gradients[-2] is None
    for a, b in zip([g for g in gradients if g is not None], clipped_by_torch(network, clipping), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-300)
    with torch.no_grad():
        clipping([None], [network[6].weight])  # nothing to clip at all


def clipped_by_torch(network: nn.Module, clipping: Clipping) -> list[Tensor]:
    present = [p for p in network.parameters() if p.grad is not None]
    if clipping.norm is not None:
        torch.nn.utils.clip_grad_norm_(present, clipping.norm)
    if clipping.value is not None:
        torch.nn.utils.clip_grad_value_(present, clipping.value)
    if clipping.adaptive is not None:
        return [unit_by_unit(p.grad, p.detach(), clipping.adaptive) for p in present]  # type: ignore[arg-type]
    return [p.grad for p in present]  # type: ignore[misc]


def test_training_steps_with_all_three_equal_the_loop() -> None:
    ours, theirs = cnn(), cnn()
    clipping = Clipping(norm=0.5, value=0.1, adaptive=0.05)
    step = Step(ours, F.cross_entropy, optimizers.SGD(lr=0.1, momentum=0.9), clipping=clipping)
    optimizer = torch.optim.SGD(theirs.parameters(), lr=0.1, momentum=0.9)
    generator = torch.Generator().manual_seed(2)
    for k in range(15):
        x = torch.randn(12, 2, 6, 6, generator=generator, dtype=torch.float64)
        y = torch.randint(0, 3, (12,), generator=generator)
        step([(x, y)], step=k, rate=0.1)
        optimizer.zero_grad()
        F.cross_entropy(theirs(x), y).backward()
        for p in theirs.parameters():
            p.grad = unit_by_unit(p.grad, p.detach(), 0.05)  # type: ignore[arg-type]
        torch.nn.utils.clip_grad_value_(theirs.parameters(), 0.1)
        torch.nn.utils.clip_grad_norm_(theirs.parameters(), 0.5)
        optimizer.step()
    for a, b in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_gradients_that_are_not_finite_stay_so() -> None:
    """A clip that hid an overflow would let a lost training go on."""
    for clipping in (Clipping(norm=1.0), Clipping(value=1.0), Clipping(adaptive=0.1)):
        gradient = torch.tensor([float("nan"), 1.0])
        clipping([gradient], [torch.ones(2)])
        assert gradient.isnan().any()

"""Momentum and Nesterov as the lecture writes them, against the rule."""

import torch
from torch.func import grad

from thalweg.parts.optimizers import SGD
from thalweg.parts.optimizers.sgd import look_ahead


def loss(theta):
    """Smooth, neither quadratic nor convex, so that the point of the gradient matters."""
    scales = torch.tensor([1.0, 3.0, 10.0], dtype=torch.float64)
    return (scales * theta**2).sum() / 2 + torch.sin(3 * theta).sum() + theta.prod()


def test_buffer_is_the_weighted_sum_of_past_gradients():
    optimizer = SGD(lr=0.1, momentum=0.8)
    gradients = torch.randn(30, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    theta = torch.zeros(4, dtype=torch.float64)
    slots = optimizer.start(theta)
    for step, gradient in enumerate(gradients, start=1):
        _, slots = optimizer.update(gradient, slots, step, theta)
    weights = 0.8 ** torch.arange(29, -1, -1, dtype=torch.float64)
    assert torch.allclose(slots["momentum_buffer"], weights @ gradients, rtol=1e-13, atol=0)


def test_both_forms_of_nesterov_agree():
    rate, momentum = 0.03, 0.9
    optimizer = SGD(lr=rate, momentum=momentum, nesterov=True)
    rewritten = torch.tensor([1.0, -0.7, 0.4], dtype=torch.float64)
    slots = optimizer.start(rewritten)
    textbook, velocity = rewritten, torch.zeros_like(rewritten)
    distance = 0.0
    for step in range(1, 201):
        textbook, velocity = look_ahead(grad(loss), textbook, velocity, lr=rate, momentum=momentum)
        update, slots = optimizer.update(grad(loss)(rewritten), slots, step, rewritten)
        rewritten = rewritten + update
        distance = max(distance, float((rewritten - textbook).norm()))
        assert torch.allclose(rewritten, textbook + momentum * velocity, rtol=1e-11, atol=1e-12)
        assert torch.allclose(velocity, -rate * slots["momentum_buffer"], rtol=1e-11, atol=1e-12)
    assert distance > 0.1, "the two forms hold different points; only the change of variables joins them"


def test_first_step_is_not_damped():
    optimizer = SGD(lr=0.1, momentum=0.9, dampening=0.5)
    one, zero = torch.ones(2), torch.zeros(2)
    _, slots = optimizer.update(one, optimizer.start(zero), 1, zero)
    assert torch.equal(slots["momentum_buffer"], one)
    _, slots = optimizer.update(one, slots, 2, zero)
    assert torch.allclose(slots["momentum_buffer"], 0.9 * one + 0.5 * one)

"""Max-norm: the units are those of each kind of layer, and within the limit nothing moves."""

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.parts.regularizers import MaxNorm
from thalweg.train.step import Step

LAYERS = [
    nn.Linear(6, 4),
    nn.Conv2d(6, 4, 3),
    nn.Conv2d(6, 4, 3, groups=2),
    nn.Conv1d(6, 6, 3, groups=6),
    nn.ConvTranspose2d(6, 4, 3),
    nn.ConvTranspose1d(6, 4, 3, groups=2),
    nn.ConvTranspose1d(6, 6, 2, groups=6),
    nn.LSTM(6, 4),
]


def unit_norms(layer: nn.Module) -> list[float]:
    """The norm of what each output is computed from, told by the layer itself: its response to unit inputs."""
    if isinstance(layer, nn.LSTM):
        return layer.weight_ih_l0.double().norm(dim=1).tolist()
    rank = {nn.Linear: 0, nn.Conv1d: 1, nn.ConvTranspose1d: 1}.get(type(layer), 2)
    inputs = 6
    silent = torch.zeros(inputs, inputs, *[5] * rank, dtype=torch.float64)
    for k in range(inputs):
        silent[(k, k, *[2] * rank)] = 1.0
    copied = type(layer)(*arguments(layer)).double()
    copied.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    nn.init.zeros_(copied.bias)
    response = copied(silent).detach()  # [input, output, ...]: every weight of every output once
    return response.square().flatten(2).sum(-1).sum(0).sqrt().tolist() if rank else response.norm(dim=0).tolist()


def arguments(layer: nn.Module) -> tuple:
    if isinstance(layer, nn.Linear):
        return (layer.in_features, layer.out_features)
    transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d)
    rest = (1, 0, 0, layer.groups) if transposed else (1, 0, 1, layer.groups)
    return (layer.in_channels, layer.out_channels, layer.kernel_size, *rest)


@pytest.mark.parametrize("layer", LAYERS, ids=str)
def test_units_of_each_layer(layer):
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.normal_()
    before = unit_norms(layer)
    limit = sorted(before)[len(before) // 2]  # half of the units exceed it
    step = Step(layer, lambda output, target: output.sum(), tw.optimizers.SGD(lr=0.1), regularizer=MaxNorm(limit=limit))
    step.apply([torch.zeros_like(p) for p in step.parameters], rate=0.1)
    after = unit_norms(layer)
    assert after == pytest.approx([min(norm, limit) for norm in before], rel=1e-5)
    assert max(before) > 1.05 * limit


def test_biases_are_left_alone():
    layer = nn.Linear(2, 2)
    nn.init.constant_(layer.bias, 9.0)
    step = Step(layer, lambda o, t: o.sum(), tw.optimizers.SGD(lr=0.1), regularizer=MaxNorm(limit=1.0), decay_all=True)
    step.apply([torch.zeros_like(p) for p in step.parameters], rate=0.1)
    assert layer.bias.tolist() == [9.0, 9.0]


def test_weights_stay_bounded_at_a_rate_that_diverges_without():
    torch.manual_seed(0)
    x, y = torch.randn(64, 10), torch.randint(0, 3, (64,))
    norms = {}
    for part in (None, MaxNorm(limit=1.0)):
        model = nn.Sequential(nn.Linear(10, 32), nn.ReLU(), nn.Linear(32, 3))
        step = Step(model, nn.functional.cross_entropy, tw.optimizers.SGD(lr=5.0), regularizer=part)
        for k in range(30):
            step([(x, y)], step=k, rate=5.0)
        norms[part] = max(float(m.weight.detach().norm(dim=1).max()) for m in (model[0], model[2]))
    assert norms[MaxNorm(limit=1.0)] <= 1.0
    assert norms[None] > 3.0

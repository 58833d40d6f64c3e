"""Weights that were drawn at random and frozen: what the training reaches once they learn, too."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from thalweg.doctor.case import Case
from thalweg.probes.harm import OTHER_ORDER
from thalweg.readings import Reading, Readings
from thalweg.train.clone import clone

FEWEST = 32  # weights of a tensor that tell how they were drawn
ERRORS = 4.0  # standard errors: one tensor in 16,000 of those drawn so is taken for another


def try_unfrozen(case: Case, readings: Readings) -> list[Reading]:
    """The training once more with every weight free, where weights that no training has made are frozen.

    What was pretrained, loaded or computed is frozen on purpose and not judged.
    """
    if not readings.value("parameter.frozen"):
        return []
    drawn = drawn_and_frozen(case)
    if not drawn:
        return []
    network = clone(case.start)
    for name in drawn:
        network.get_parameter(name).requires_grad_(True)
    plain = case.twin
    found = case.cost("unfrozen", replace(plain, network=network))
    size = sum(network.get_parameter(name).numel() for name in drawn)
    return [*found, Reading("parameter.frozen_drawn", size, drawn[0], count=len(drawn))]


def drawn_and_frozen(case: Case) -> list[str]:
    """Names of frozen weights that another seed draws anew; of one start only, of those that look as torch draws them.

    Biases and the like are frozen or not with the weights beside them.
    """
    frozen = {name: p.detach() for name, p in case.start.named_parameters() if not p.requires_grad}
    if case.rebuild is not None:
        assert isinstance(case.plan.seed, int)
        other = dict(case.rebuild(case.plan.seed + OTHER_ORDER).named_parameters())
        weights = [n for n, p in frozen.items() if p.dim() > 1 and n in other and differs(p, other[n].detach())]
    else:
        layers = dict(case.start.named_modules())
        weights = [n for n, p in frozen.items() if is_fresh(layers[n.rpartition(".")[0]], n, p)]
    modules = {name.rpartition(".")[0] for name in weights}
    return [name for name in frozen if name in weights or name.rpartition(".")[0] in modules]


def differs(one: Tensor, other: Tensor) -> bool:
    return one.shape == other.shape and not torch.equal(one, other.to(one))


def is_fresh(layer: nn.Module, name: str, weight: Tensor) -> bool:
    """Whether a weight has the range and deviation of torch's own draw, U(−b, b) with b = 1 / sqrt(fan-in).

    >>> layer = nn.Linear(64, 64)
    >>> is_fresh(layer, "weight", layer.weight), is_fresh(layer, "weight", 1.2 * layer.weight)
    (True, False)
    """
    usual = isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d) and name.endswith("weight")
    if not usual or weight.numel() < FEWEST:
        return False
    bound = 1 / math.sqrt(weight[0].numel())
    values = weight.detach().double()
    # The variance of n uniform numbers has the relative standard error sqrt(4 / (5 n)).
    error = ERRORS * math.sqrt(0.8 / values.numel())
    return float(values.abs().max()) <= bound * (1 + 1e-6) and abs(float(values.var()) / (bound**2 / 3) - 1) < error

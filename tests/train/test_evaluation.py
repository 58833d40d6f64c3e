"""Measuring in batches gives what one batch gives, and keeps no outputs where metrics add up."""

import math
import weakref

import pytest
import torch
from torch import nn

from thalweg.parts.metrics import metric
from thalweg.train.evaluation import half_width, mean_of, measure_batches
from thalweg.train.losses import NAMED

G = torch.Generator().manual_seed(0)
X = torch.randint(0, 6, (40, 9), generator=G)
Y = torch.randint(0, 6, (40, 9), generator=G)
Y[:, 5:] = torch.where(torch.rand(40, 4, generator=G) < 0.6, -100, Y[:, 5:])
WEIGHT = torch.rand(40, generator=G)
NETWORK = nn.Embedding(6, 6)
LOSS = NAMED["cross_entropy"]
METRICS = [metric("accuracy", "per_position"), metric("perplexity", "per_position")]


def batches(size: int, *, weighted: bool = False):
    parts = [X.split(size), Y.split(size), *([WEIGHT.split(size)] if weighted else [])]
    return zip(*parts, strict=True)


@pytest.mark.parametrize("weighted", [False, True])
def test_in_batches_as_in_one(weighted: bool) -> None:
    whole = measure_batches(NETWORK, LOSS, batches(40, weighted=weighted), METRICS, each=True)
    parts = measure_batches(NETWORK, LOSS, batches(7, weighted=weighted), METRICS, each=True)
    assert parts.values == pytest.approx(whole.values, rel=1e-6)
    assert parts.count == 40
    assert torch.allclose(parts.each, whole.each)
    own = (WEIGHT,) if weighted else ()
    assert parts.values["loss"] == pytest.approx(float(LOSS(NETWORK(X), Y, *own).detach()), rel=1e-6)
    assert mean_of(parts.each, parts.items) == pytest.approx(parts.values["loss"], rel=1e-6)
    assert parts.values["perplexity"] == pytest.approx(math.exp(float(LOSS(NETWORK(X), Y).detach())), rel=1e-6)


class Remembering(nn.Module):
    """Counts how many of its outputs are alive."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[weakref.ref[torch.Tensor]] = []
        self.most = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        output = NETWORK(x)
        self.most = max(self.most, sum(ref() is not None for ref in self.seen))
        self.seen.append(weakref.ref(output))
        return output


def test_outputs_are_let_go_where_every_metric_adds_up() -> None:
    network = Remembering()
    measure_batches(network, LOSS, batches(4), METRICS, each=True)
    assert network.most <= 1
    own = metric(lambda output, target: float(len(output)), "per_position")
    assert measure_batches(network, LOSS, batches(4), [*METRICS, own]).values["<lambda>"] == 40


def test_what_is_not_finite_is_on_record_as_nan() -> None:
    broken = nn.Embedding(6, 6)
    broken.weight.data[3] = torch.nan
    values = measure_batches(broken, LOSS, batches(7), METRICS).values
    assert all(math.isnan(value) for value in values.values())
    assert set(values) == {"loss", "accuracy", "perplexity"}


def test_the_interval_of_a_weighted_mean_holds_the_truth() -> None:
    held = 0
    for seed in range(200):
        generator = torch.Generator().manual_seed(seed)
        weight = torch.rand(80, generator=generator) * 3
        values = torch.randn(80, generator=generator) + 1
        held += abs(mean_of(values, weight) - 1) <= half_width(values, weight)
    assert 180 <= held <= 199  # 0.95 of 200
    equal = torch.ones(80)
    assert half_width(values, equal) == pytest.approx(1.96 * float(values.double().std()) / math.sqrt(80))

"""One step of ours against the loop everyone writes, with torch.optim as the reference."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from thalweg import optimizers
from thalweg.errors import ModelError
from thalweg.train.clipping import Clipping
from thalweg.train.step import Step


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, 3)).double()


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (
            torch.randn(20, 6, dtype=torch.float64, generator=generator),
            torch.randint(0, 3, (20,), generator=generator),
        )
        for _ in range(count)
    ]


def torch_loop(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: list[tuple[Tensor, Tensor]], clip_norm: float | None
) -> None:
    for x, y in data:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        if clip_norm is not None:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        optimizer.step()


@pytest.mark.parametrize("clip_norm", [None, 0.3])
@pytest.mark.parametrize(
    "part",
    [
        optimizers.SGD(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.01),
        optimizers.AdamW(lr=0.01, weight_decay=0.1),
        optimizers.RMSprop(lr=0.01, centered=True, momentum=0.5),
    ],
    ids=lambda part: type(part).__name__,
)
def test_steps_equal_those_of_the_bare_loop(part: optimizers.Optimizer, clip_norm: float | None) -> None:
    ours, theirs = network(), network()
    step = Step(ours, F.cross_entropy, part, clipping=Clipping(norm=clip_norm), decay_all=True)
    for k, (x, y) in enumerate(batches(60)):
        step([(x, y)], step=k, rate=float(part.lr))
    torch_loop(theirs, part.build(theirs.parameters()), batches(60), clip_norm)
    for a, b in zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_decay_spares_biases_norms_and_embeddings_unless_asked() -> None:
    model = nn.Sequential(nn.Embedding(5, 4), nn.Flatten(), nn.LayerNorm(8), nn.Linear(8, 3))
    reference = copy.deepcopy(model)
    x, y = torch.randint(0, 5, (12, 2)), torch.randint(0, 3, (12,))
    step = Step(model, F.cross_entropy, optimizers.AdamW(lr=0.01, weight_decay=0.5))
    spared = [p for name, p in reference.named_parameters() if name != "3.weight"]
    groups = [{"params": [reference[3].weight]}, {"params": spared, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.5)
    for k in range(20):
        step([(x, y)], step=k, rate=0.01)
    torch_loop(reference, optimizer, [(x, y)] * 20, None)
    for a, b in zip(model.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(a, b)


class Sometimes(nn.Module):
    """A second head that is used in some steps only."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.extra, self.calls = nn.Linear(6, 3), nn.Linear(6, 3), 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.body(x) + self.extra(x) if self.calls % 3 == 0 else self.body(x)


@pytest.mark.parametrize("part", [optimizers.SGD(lr=0.1, momentum=0.9), optimizers.Adam(lr=0.01)], ids=str)
def test_a_parameter_without_gradient_is_left_alone_in_that_step(part: optimizers.Optimizer) -> None:
    # The reference is torch's loop over parameters: its fused SGD fails when a parameter joins after the first step.
    torch.manual_seed(0)
    ours = Sometimes().double()
    theirs = copy.deepcopy(ours)
    step = Step(ours, F.cross_entropy, part)
    for k, (x, y) in enumerate(batches(20)):
        step([(x, y)], step=k, rate=float(part.lr))
    options = {"momentum": part.momentum} if isinstance(part, optimizers.SGD) else {}
    reference = getattr(torch.optim, type(part).__name__)(theirs.parameters(), lr=part.lr, foreach=False, **options)
    torch_loop(theirs, reference, batches(20), None)
    torch.testing.assert_close(ours.extra.weight, theirs.extra.weight, rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(ours.body.weight, theirs.body.weight, rtol=1e-10, atol=1e-12)


def test_tied_weights_are_trained_once() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 3), nn.Tanh(), nn.Linear(3, 3))
    model[2].weight = model[0].weight
    reference = copy.deepcopy(model)
    assert reference[2].weight is reference[0].weight
    x, y = torch.randn(8, 3), torch.randint(0, 3, (8,))
    step = Step(model, F.cross_entropy, optimizers.SGD(lr=0.1))
    assert len(step.parameters) == 3
    for k in range(5):
        step([(x, y)], step=k, rate=0.1)
    torch_loop(reference, torch.optim.SGD(reference.parameters(), lr=0.1), [(x, y)] * 5, None)
    torch.testing.assert_close(model[0].weight, reference[0].weight)


def test_dropout_is_a_function_of_seed_and_step() -> None:
    def losses(seed: int, first: int) -> list[float]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))
        step = Step(model, F.cross_entropy, optimizers.SGD(lr=1e-12), seed=seed)
        x, y = torch.ones(4, 6), torch.zeros(4, dtype=torch.long)
        return [float(step([(x, y)], step=k, rate=1e-12)) for k in range(first, first + 3)]

    assert losses(1, 0)[1:] == losses(1, 1)[:2]
    assert losses(1, 0) != losses(2, 0)


def test_frozen_parameters_stay_and_nothing_to_train_is_named() -> None:
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    model[0].requires_grad_(False)
    before = model[0].weight.clone()
    step = Step(model, F.cross_entropy, optimizers.AdamW(lr=0.1, weight_decay=0.5), decay_all=True)
    step([(torch.randn(4, 6), torch.zeros(4, dtype=torch.long))], step=0, rate=0.1)
    assert torch.equal(before, model[0].weight)
    assert step.names == ["1.weight", "1.bias"]
    with pytest.raises(ModelError, match="no trainable parameter"):
        Step(model.requires_grad_(False), F.cross_entropy, optimizers.SGD(lr=0.1))


def test_state_goes_back_and_forth_by_name() -> None:
    part = optimizers.AdamW(lr=0.01)
    first, second = network(), network()
    a, b = Step(first, F.cross_entropy, part), Step(second, F.cross_entropy, part)
    data = batches(6)
    for k, (x, y) in enumerate(data[:3]):
        a([(x, y)], step=k, rate=0.01)
    second.load_state_dict(first.state_dict())
    for name, value in b.state_dict().items():
        value.copy_(a.state_dict()[name])
    for k, (x, y) in enumerate(data[3:]):
        a([(x, y)], step=k, rate=0.01)
        b([(x, y)], step=k, rate=0.01)
    for p, q in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(p, q)

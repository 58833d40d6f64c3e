"""The loop has the interface and the numbers of a population, for members of any kind."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Batch
from thalweg.errors import UsageError
from thalweg.train.losses import NAMED, step_loss
from thalweg.train.population.forward import batched
from thalweg.train.population.loop import Loop
from thalweg.train.population.members import Member
from thalweg.train.population.population import Population
from thalweg.train.step import stepper_of

LOSS = NAMED["cross_entropy"]


def network(k: int, width: int = 8) -> nn.Module:
    torch.manual_seed(k)
    layers = [nn.Linear(5, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(), nn.Dropout(0.1 + 0.2 * k)]
    return nn.Sequential(*layers, nn.Linear(width, 3)).double()


def members(count: int = 3, norm: bool = True) -> list[Member]:
    plan = tw.Plan.plain(optimizer=tw.optimizers.AdamW(lr=0.01, weight_decay=0.1), epochs=1, batch_size=8)
    found = []
    for k in range(count):
        own = plan.replace(**{"optimizer.weight_decay": 0.1 * k}, label_smoothing=0.1 * k)
        module = network(k) if norm else nn.Sequential(*(m for m in network(k) if not isinstance(m, nn.BatchNorm1d)))
        found.append(Member(module, own, seed=k))
    return found


def data(steps: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (torch.randn(8, 5, generator=generator, dtype=torch.float64), torch.randint(0, 3, (8,), generator=generator))
        for _ in range(steps)
    ]


def same(one: Any, other: Any, slots: range) -> None:
    for k in slots:
        mine, theirs = one.network(k).state_dict(), other.network(k).state_dict()
        for name, value in mine.items():
            torch.testing.assert_close(value, theirs[name], rtol=1e-12, atol=1e-12)
        mine, theirs = one.state(k), other.state(k)
        assert mine.keys() == theirs.keys()
        for name, value in mine.items():
            torch.testing.assert_close(value.double(), theirs[name].double(), rtol=1e-11, atol=1e-12)


def test_it_does_what_a_population_does() -> None:
    batches = data(20)
    loop, form = Loop(members(), LOSS), Population(members(), LOSS, [batches[0]], make=batched)
    before = torch.get_rng_state()
    for step, batch in enumerate(batches):
        if step == 10:
            for each in (loop, form):
                each.replace(1, Member(network(5 % 3), members()[1].plan, seed=77))
        ours, theirs = (each.step(batch, [0.01, 0.02, 0.03]) for each in (loop, form))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    assert torch.equal(torch.get_rng_state(), before)
    same(loop, form, range(3))
    torch.testing.assert_close(loop.outputs(batches[0][0]), form.outputs(batches[0][0]), rtol=1e-11, atol=1e-11)


def test_a_member_goes_on_where_it_stopped() -> None:
    batches = data(12)
    whole, first = Loop(members(), LOSS), Loop(members(), LOSS)
    for batch in batches:
        whole.step(batch, [0.01] * 3)
    for batch in batches[:5]:
        first.step(batch, [0.01] * 3)
    parts = [Member(first.network(k), m.plan, m.seed, step=5, state=first.state(k)) for k, m in enumerate(members())]
    second = Loop(parts, LOSS)
    for batch in batches[5:]:
        second.step(batch, [0.01] * 3)
    for k in range(3):
        for one, other in zip(second.network(k).parameters(), whole.network(k).parameters(), strict=True):
            assert torch.equal(one, other)


def test_folds_and_weights() -> None:
    masks = torch.rand(30, generator=torch.Generator().manual_seed(0)) < 0.5
    own = [
        Member(m.network, m.plan.replace(label_smoothing=0.0), m.seed, rows=masks ^ (k > 0))
        for k, m in enumerate(members(2, norm=False))
    ]
    batches = data(6)
    loop, form = Loop(own, LOSS), Population(own, LOSS, [batches[0]], make=batched)
    generator = torch.Generator().manual_seed(1)
    for x, y in batches:
        positions = torch.randint(0, 30, (8,), generator=generator)
        weight = torch.rand(8, generator=generator, dtype=torch.float64)
        for batch in ((x, y), (x, y, weight)):
            ours, theirs = (each.step(batch, [0.01] * 2, positions=positions) for each in (loop, form))
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)
    same(loop, form, range(2))
    with pytest.raises(UsageError, match="positions"):
        loop.step(batches[0], [0.01] * 2)


def test_members_of_any_kind() -> None:
    """Other widths, an optimizer of torch's, a network that reads values: nothing that a population could take."""

    class Reads(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network(1)

        def forward(self, x: Tensor) -> Tensor:
            return self.inner(x if x.sum().item() > 0 else -x)

    foreign = tw.Plan.plain(optimizer=tw.optimizers.Torch(kind="torch.optim.ASGD", lr=0.1), epochs=1, batch_size=8)
    loop = Loop([members()[0], Member(network(0, 12), foreign, 1), Member(Reads(), members()[1].plan, 2)], LOSS)
    first = loop.step(data(1)[0], [0.05] * 3)
    for _ in range(30):
        last = loop.step(data(1)[0], [0.05] * 3)
    assert (last < first).all()


class Changing(nn.Module):
    """Drops more from step to step."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.drop = network(0), nn.Dropout(0.0)

    def forward(self, x: Tensor) -> Tensor:
        self.drop.p += 0.1
        return self.inner(self.drop(x))


def test_a_rate_of_dropout_that_changes_by_itself() -> None:
    """Draws made for the rates of the step before are of no use then."""
    plan, batches = members()[0].plan, data(5)
    both, one = Loop([Member(Changing(), plan, k) for k in range(2)], LOSS), Loop([Member(Changing(), plan, 1)], LOSS)
    for batch in batches:
        assert both.step(batch, [0.1] * 2)[1] == one.step(batch, [0.1])[0]


def test_a_step_that_calls_its_model_twice() -> None:
    """Both calls draw noise of their own, as they do in a population."""

    def step(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        one, other = model(batch["x"]), model(batch["x"])
        return (one - other).square().mean() + nn.functional.cross_entropy(one, batch["y"])

    own = [Member(m.network, m.plan.replace(label_smoothing=0.0), m.seed) for m in members(norm=False)]
    windows = [(Batch({"x": x, "y": y}, step), None) for x, y in data(5)]
    loop, form = Loop(own, step_loss), Population(own, step_loss, [windows[0]], make=batched)
    assert form.noise is not None
    assert len(form.noise.rates) == 2
    for window in windows:
        ours, theirs = (each.step(window, [0.1] * 3) for each in (loop, form))
        torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_activations_that_are_computed_again() -> None:
    """They drop the same in both passes: weights move as they do with activations that are kept."""
    blocks = [nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Dropout(0.4)) for _ in range(3)]
    module = nn.Sequential(*blocks, nn.Linear(5, 3)).double()
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=8)
    loop = Loop([Member(module, plan.replace(gradient_checkpointing=True), k) for k in range(2)], LOSS)
    single = stepper_of(plan.replace(seed=1), module.train(), LOSS)
    for count, batch in enumerate(data(5)):
        ours = loop.step(batch, [0.1] * 2)[1]
        with global_rng_kept():
            torch.testing.assert_close(ours, single([batch], step=count, rate=0.1), rtol=1e-12, atol=1e-12)


def test_layers_that_drop_more_than_is_drawn_ahead(monkeypatch: pytest.MonkeyPatch) -> None:
    """A draw of more elements is taken by each member itself, and is the same."""
    batches = data(4)
    plain = Loop(members(norm=False), LOSS)
    wanted = [plain.step(batch, [0.1] * 3).tolist() for batch in batches]
    monkeypatch.setattr("thalweg.train.population.loop.TOGETHER", 10)
    own = Loop(members(norm=False), LOSS)
    assert [own.step(batch, [0.1] * 3).tolist() for batch in batches] == wanted

"""The chosen form is the fastest that computes the same; trying forms leaves no trace."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.train.losses import NAMED
from thalweg.train.population import candidates
from thalweg.train.population.candidates import Trial, choose
from thalweg.train.population.forward import batched
from thalweg.train.population.loop import Loop
from thalweg.train.population.members import Member
from thalweg.train.population.population import Population
from thalweg.train.population.tape import NotBatched

torch.set_num_threads(1)
LOSS = NAMED["cross_entropy"]


def mlp(k: int) -> nn.Module:
    torch.manual_seed(k)
    layers = [nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 3)]
    return nn.Sequential(*layers).double()


def members(count: int, build: Any = mlp, **changes: Any) -> list[Member]:
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1, momentum=0.9), epochs=1, batch_size=8).replace(**changes)
    return [Member(build(k), plan, seed=k) for k in range(count)]


def batch(seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(8, 6, generator=generator, dtype=torch.float64), torch.randint(0, 3, (8,), generator=generator)


def test_many_small_members_are_one_program() -> None:
    own = members(16)
    before, state = [m.network.state_dict() for m in own], torch.get_rng_state()
    kept = [{name: value.clone() for name, value in each.items()} for each in before]
    choice = choose(own, LOSS, [batch()], num_steps=100)
    assert isinstance(choice.form, Population)
    assert choice.seconds["batched"] < choice.seconds["loop"]
    assert choice.reason.startswith("batched is the fastest: loop ")
    assert "not compiled: the training takes about 0 s" in choice.reason
    assert torch.equal(torch.get_rng_state(), state)
    fresh = Population(members(16), LOSS, [batch()], make=batched)
    for k, now in enumerate(before):
        assert all(torch.equal(value, kept[k][name]) for name, value in now.items())
    for seed in range(3):  # it begins at the start, whatever was tried on it
        assert torch.equal(choice.form.step(batch(seed), [0.1] * 16), fresh.step(batch(seed), [0.1] * 16))


def test_a_loop_that_was_slowed_when_it_was_timed_is_timed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """By other work on the machine: the loop is never left for a form that is slower."""
    timed, answers = Trial.loop_seconds, [1e3, 1e-9]

    def slowed(trial: Trial) -> float:
        timed(trial)
        return answers.pop(0)

    monkeypatch.setattr(Trial, "loop_seconds", slowed)
    choice = choose(members(16), LOSS, [batch()], num_steps=100)
    assert isinstance(choice.form, Loop)
    assert choice.seconds["loop"] == 1e-9


@pytest.mark.parametrize(
    ("own", "reason"),
    [
        (members(1), "one member"),
        (members(2, accumulate=2), "accumulation"),
        ([*members(1), *members(1, lambda _: nn.Linear(6, 3).double())], "differ in more than numbers"),
    ],
)
def test_what_trains_one_after_the_other(own: list[Member], reason: str) -> None:
    choice = choose(own, LOSS, [batch()], num_steps=10)
    assert isinstance(choice.form, Loop)
    assert reason in choice.reason


class Reads(nn.Module):
    """Python reads a value here: no tape and no vmap holds it."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.inner = mlp(k)

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        return h if h.sum().item() > 0 else -h


def test_a_network_that_cannot_be_batched_trains_in_a_loop() -> None:
    choice = choose(members(6, Reads), LOSS, [batch()], num_steps=10)
    assert isinstance(choice.form, Loop)
    assert "batched: " in choice.reason
    assert "vmap: " in choice.reason


class Counts(nn.Module):
    """What it computes hangs on an object whose type says nothing: the program of one is not the other's."""

    def __init__(self, k: int) -> None:
        super().__init__()
        self.inner, self.options = mlp(k), {"factor": float(k + 1)}

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x) * self.options["factor"]


def test_a_program_that_is_not_its_members_is_not_used() -> None:
    own = members(6, Counts)
    trial = Trial(own, LOSS, [batch()], False, None)
    trial.loop_seconds()
    with pytest.raises(NotBatched, match="those of the networks"):
        trial.population(batched)
    assert isinstance(choose(own, LOSS, [batch()], num_steps=10).form, Loop)


def test_a_slower_program_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.1, 9.0, 9.0])
    monkeypatch.setattr(candidates, "seconds_of", lambda *_: next(times))
    choice = choose(members(6), LOSS, [batch()], num_steps=10)
    assert isinstance(choice.form, Loop)
    assert choice.seconds == {"loop": pytest.approx(0.15), "batched": 9.0, "vmap": 9.0}


def test_folds_are_tried_with_rows() -> None:
    own = [Member(m.network[4:], m.plan, m.seed, rows=torch.arange(40) % 3 != k % 3) for k, m in enumerate(members(6))]  # type: ignore[index]
    x, y = batch()
    choice = choose(own, LOSS, [(torch.cat([x, x[:, :2]], 1), y)], num_steps=10)
    assert "the fastest" in choice.reason

"""One graph for all members against their eager step."""

import shutil
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import thalweg as tw
from thalweg.parts.regularizers import L2
from thalweg.train.losses import NAMED
from thalweg.train.population import candidates
from thalweg.train.population.candidates import choose
from thalweg.train.population.compiled import Compiled
from thalweg.train.population.forward import batched
from thalweg.train.population.members import Member
from thalweg.train.population.population import Population

torch.set_num_threads(1)
pytestmark = [
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler (g++) to compile a step with"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # torch's compiler imports what torch deprecates
]
LOSS = NAMED["cross_entropy"]
OPTIMIZERS = [
    tw.optimizers.SGD(lr=0.1, momentum=0.9),
    tw.optimizers.AdamW(lr=0.01, weight_decay=0.1),
]


def network(k: int) -> nn.Module:
    torch.manual_seed(k)
    layers = [nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.1 + 0.1 * k), nn.Linear(8, 3)]
    return nn.Sequential(*layers).double()


def members(optimizer: Any, **changes: Any) -> list[Member]:
    plan = tw.Plan.plain(optimizer=optimizer, epochs=1, batch_size=8, clip_norm=0.5, label_smoothing=0.1, **changes)
    return [Member(network(k), plan, seed=k) for k in range(3)]


def batch(seed: int, rows: int = 8) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 6, generator=generator, dtype=torch.float64)
    return x, torch.randint(0, 3, (rows,), generator=generator)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("optimizer", OPTIMIZERS, ids=lambda o: type(o).__name__)
def test_one_graph_computes_what_the_eager_step_does(optimizer: Any) -> None:
    """Dropout, buffers, clipping, smoothing, a penalty; a slot replaced on the way; an epoch's smaller last batch."""
    forms = [
        Population(members(optimizer, regularizer=L2(strength=0.01)), LOSS, [batch(0)], make=batched) for _ in "12"
    ]
    forms[1].compiled = Compiled(forms[1], [batch(0)])
    for step in range(30):
        if step == 12:
            fresh = Member(network(7), members(optimizer, regularizer=L2(strength=0.1))[0].plan, seed=99)
            for form in forms:
                form.replace(1, fresh)
        window = batch(step, rows=5 if step == 20 else 8)
        eager, graph = (form.step(window, [0.01, 0.02, 0.03 / (1 + step)]) for form in forms)
        torch.testing.assert_close(graph, eager, rtol=1e-11, atol=1e-12)
    for k in range(3):
        one, other = (form.network(k).state_dict() for form in forms)
        for name, value in one.items():
            torch.testing.assert_close(value, other[name], rtol=1e-11, atol=1e-12)


@pytest.mark.timeout(600)
def test_it_is_compiled_where_that_is_worth_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(candidates, "WORTH_SECONDS", 0.0)
    monkeypatch.setattr(candidates, "COMPILED", {})
    own = members(OPTIMIZERS[0])
    choice = choose(own, LOSS, [batch(0)], num_steps=10**6)
    assert "compiled" in choice.seconds or "compiled it is" in choice.reason
    ((spent, ratio),) = candidates.COMPILED.values()
    assert spent > 0
    again = choose(own, LOSS, [batch(0)], num_steps=1)
    assert "more than it would save" in again.reason
    assert ratio >= 1

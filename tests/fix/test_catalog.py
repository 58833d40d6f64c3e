"""Which changes a training is offered, and in which order."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.doctor.diagnose import diagnose
from thalweg.findings import CAUSES
from thalweg.fix.catalog import FAMILIES, HEAD, changes_for, combinations, situation_of
from thalweg.fix.change import Change, carried_out
from thalweg.fix.mend import patient

X = torch.randn(400, 6, generator=torch.Generator().manual_seed(0))


def offered(directory: Path, model: nn.Module, y: torch.Tensor, *, x: torch.Tensor = X, loss: Any = "cross_entropy",
            rate: float = 0.05, **changes: Any) -> list[Change]:  # fmt: skip
    """The changes for a short training."""
    experiment = tw.Experiment(model, train=(x, y), test=False, loss=loss, metrics=[], directory=directory)
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=rate), batch_size=32, epochs=4, probes=True, **changes)
    run = experiment.train(plan, listeners=())
    with patient(experiment, run.directory, 5.0) as (case, readings):
        findings = tuple(diagnose(readings).findings)
        found = changes_for(situation_of(case, readings, findings, poor=True, may_balance=False))
        for change in found:  # each can be carried out
            changed, asked = carried_out(experiment, case.plan, [change], case.bench.first(64)[0])
            if change.name != "longer":
                changed._set_up(asked.replace(memory_format="contiguous"))
    return found


def names(found: list[Change]) -> list[str]:
    return [change.name for change in found]


def test_a_softmax_before_cross_entropy(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2), nn.Softmax(1))
    found = offered(tmp_path, model, (X[:, 0] > 0).long())
    assert "no_last_operation" in names(found)
    assert "last_softmax" not in names(found)


def test_what_does_not_apply_is_not_offered(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.Tanh(), nn.Linear(16, 2))
    found = names(offered(tmp_path, model, (X[:, 0] > 0).long()))
    for absent in ("no_dropout", "no_decay", "leaky_relu", "standardize", "scale_target", "registered", "own_layers"):
        assert absent not in found
    assert "let_through" in found
    assert "batch_norm" in found


def test_inputs_and_target_of_other_units(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))
    y = 1e4 * X[:, :1] + 3e4
    found = names(offered(tmp_path, model, y, x=500 * X + 2000, loss="mse", rate=1e-9))
    assert {"standardize", "scale_target"} <= set(found[:4])


def test_outputs_that_broadcast_against_the_target(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1))

    def mse(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((output - target) ** 2).mean()

    found = offered(tmp_path, model, X[:, 0], loss=mse)
    assert found[0].name == "flat"


def test_changes_come_by_suspicion(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 2))
    found = offered(tmp_path, model, (X[:, 0] > 0).long(), rate=1e-7)
    assert [c.suspicion for c in found] == sorted((c.suspicion for c in found), reverse=True)
    assert found[0].name == "higher_rate"


@pytest.mark.parametrize("causes", [tuple(HEAD), *(causes for causes, _ in FAMILIES.values())], ids=str)
def test_causes_are_words_of_the_vocabulary(causes: tuple[str, ...]):
    assert set(causes) <= set(CAUSES)


def test_combinations_join_what_fits():
    head = [Change(n, n, part="head", causes=("loss_head_mismatch",), suspicion=9) for n in ("free", "softmax")]
    others = [
        Change("standardize", "s", {"preprocessing": "standardize"}, causes=("input_scale",)),
        Change("higher_rate", "r", {"optimizer.lr": 0.1}, causes=("lr_too_low",)),
        Change("batch_norm", "n", part="norm", network=lambda network, _: network, causes=("vanishing",)),
    ]
    found = names(combinations([*head, *others]))
    assert found[:2] == ["free+standardize", "softmax+standardize"]
    assert "free+standardize+higher_rate" in found
    assert "free+standardize+batch_norm" in found
    assert not any("free" in name and "softmax" in name for name in found)
    assert len(found) == len(set(found))
    assert combinations([]) == []


def test_too_few_outputs_for_the_classes(tmp_path: Path):
    model = nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 1), nn.Sigmoid())
    y = torch.bucketize(X[:, 0].contiguous(), torch.tensor([-0.5, 0.5]))

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((output[:, 0] - target) ** 2).mean()

    found = offered(tmp_path, model, y, loss=loss)
    assert "outputs" in names(found)
    assert "last_softmax" not in names(found)


def test_images_that_are_learned_by_heart_are_offered_augmentation(
    tmp_path: Path, digits: tuple[torch.Tensor, torch.Tensor]
):
    x, y = digits[0][:400].reshape(-1, 1, 8, 8), digits[1][:400]
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
    experiment = tw.Experiment(model, train=(x, y), test=False, loss="cross_entropy", directory=tmp_path)
    run = experiment.train(tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.01), batch_size=32, epochs=2), listeners=())
    with patient(experiment, run.directory, 5.0) as (case, readings):
        for causes, present in (({"overfitting": 1.0}, True), ({"few_rows": 1.0}, True), ({"vanishing": 1.0}, False)):
            situation = replace(situation_of(case, readings, (), poor=True, may_balance=False), weights=causes)
            found = {change.name: change for change in changes_for(situation)}
            assert ("augmentation" in found) is present
            if present:
                carried, plan = carried_out(experiment, case.plan, [found["augmentation"]], case.bench.first(64)[0])
                assert plan.augmentation is not None
                carried._set_up(plan)

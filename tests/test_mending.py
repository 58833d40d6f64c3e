"""`Plan(fix=True)`: safe remedies are applied as findings arise, from the last good state, each on record."""

import json
from pathlib import Path

import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.events import Decided
from thalweg.findings import Finding, Remedy
from thalweg.mending import safe_changes


def regression(directory: Path, *, scale: float = 1.0) -> tw.Experiment:
    torch.manual_seed(0)
    x = torch.randn(600, 8) * scale
    y = (x / scale) @ torch.randn(8, 1) + 0.1 * torch.randn(600, 1)

    def build() -> nn.Module:
        return nn.Sequential(nn.Linear(8, 32), nn.ReLU(), nn.Linear(32, 1))

    return tw.Experiment(build, train=(x, y), test=False, loss="mse", directory=directory)


def plan(rate: float, **changes: object) -> tw.Plan:
    return tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=rate, momentum=0.9), batch_size=32, epochs=6, **changes)


def test_a_lost_training_goes_on_at_a_lower_rate(tmp_path: Path):
    experiment = regression(tmp_path)
    lost = experiment.train(plan(2.0), listeners=())
    assert lost.status == "failed"
    told: list[Decided] = []
    run = experiment.train(
        plan(2.0, fix=True), listeners=(lambda e: told.append(e) if isinstance(e, Decided) else None,)
    )
    assert run.status == "completed"
    fixes = run.store.get("fixes")
    assert 1 <= len(fixes) <= 3
    assert all(fix["code"] == "NUM01" for fix in fixes)
    assert run.plan.optimizer.lr == pytest.approx(2.0 / 10 ** len(fixes))
    assert run.plan.clip_norm == 1.0
    assert any("remedy of NUM01" in d["reason"] for d in run.decisions)
    assert any("remedy of NUM01" in event.reason for event in told)
    losses = run.history["validation.loss"]
    assert len(losses) == 6  # nothing of the lost part is left
    assert losses[-1] < 0.5 * float(experiment.data.validation.target.var())


def test_it_resumes_under_the_plan_that_was_mended(tmp_path: Path):
    experiment = regression(tmp_path)
    run = experiment.train(plan(2.0, fix=True), listeners=())
    longer = experiment.resume(run, epochs=8, listeners=())
    assert longer.plan.optimizer.lr == run.plan.optimizer.lr
    assert len(longer.history["validation.loss"]) == 8


def test_it_goes_on_from_the_best_epoch(tmp_path: Path):
    """The loss turns into nothing in the fourth epoch, for once: what the epochs before have learned is kept."""
    experiment = regression(tmp_path)
    steps, mended = [], []
    mse = experiment.loss

    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        steps.extend([0] * output.requires_grad)
        broken = len(steps) > 60 and not mended
        return mse(output, target) * (float("nan") if broken else 1.0)

    def listen(event: object) -> None:
        if isinstance(event, Decided) and "remedy of" in event.reason:
            mended.append(event)

    experiment.loss = loss
    run = experiment.train(plan(0.01, fix=True), listeners=(listen,))
    assert run.status == "completed"
    (fix,) = run.store.get("fixes")
    assert "from epoch" in fix["why"]
    rates = run.history["rate"]
    assert rates[0] == pytest.approx(0.01)
    assert rates[-1] == pytest.approx(0.001)
    ends = run.history["step"]
    assert ends == sorted(set(ends))


def test_safe_remedies_of_the_check_come_before_the_first_step(tmp_path: Path):
    experiment = regression(tmp_path, scale=3000.0)
    asked = plan(0.01, probes=True)
    found = experiment.check(asked)
    safe = safe_changes(found.findings)
    assert "preprocessing" in safe, found.findings
    run = experiment.train(asked.replace(fix=True), listeners=())
    assert run.plan.preprocessing == "standardize"
    assert run.store.get("fixes")[0]["changes"] == {"preprocessing": "standardize"}
    assert not any(f.code == safe["preprocessing"][0] and f.counts for f in run.findings)
    plain = experiment.train(asked.replace(preprocessing="standardize"), listeners=())
    assert run.history["validation.loss"] == plain.history["validation.loss"]
    json.dumps(run.store.get("fixes"))


def test_without_it_nothing_changes(tmp_path: Path):
    experiment = regression(tmp_path, scale=3000.0)
    run = experiment.train(plan(1e-9, probes=True), listeners=())
    assert run.plan.preprocessing == "none"
    assert run.store.get("fixes") is None


def test_only_safe_remedies_of_alarms():
    def finding(standing: str, safety: str) -> Finding:
        remedy = Remedy("Do.", safety, {"clip_norm": 1.0})  # type: ignore[arg-type]
        return Finding("LR01", "", "error", standing, "lr_too_high", "", remedies=(remedy,))  # type: ignore[arg-type]

    assert safe_changes([finding("verified", "changes training"), finding("suspicion", "safe")]) == {}
    assert safe_changes([finding("verified", "safe")]) == {"clip_norm": ("LR01", 1.0)}

"""`experiment.fix` on real trainings: what is accepted, what is refused, what is stored, and what stays untouched."""

import hashlib
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows
from thalweg.errors import UsageError
from thalweg.fix.mend import few_rows, go_back, no_judge


def digits() -> tuple[torch.Tensor, torch.Tensor]:
    x, y = load_digits(return_X_y=True)
    return torch.tensor(x / 16).float(), torch.tensor(y)


def build() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def plan(rate: float, epochs: int = 12, **changes: object) -> tw.Plan:
    optimizer = tw.optimizers.SGD(lr=rate, momentum=0.9)
    return tw.Plan.plain(optimizer=optimizer, batch_size=64, epochs=epochs, **changes)


def experiment(directory: Path, model: object = build, **options: object) -> tw.Experiment:
    return tw.Experiment(model, train=digits(), test=False, loss="cross_entropy", directory=directory, **options)


def accuracy(run: tw.Run) -> float:
    return run.metrics["accuracy"]


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> tuple[tw.Experiment, tw.Run, object]:
    """A training at a rate that is far too low, and its fix."""
    given = experiment(tmp_path_factory.mktemp("slow"))
    run = given.train(plan(1e-5, probes=True), listeners=())
    return given, run, given.fix(run)


def test_a_rate_that_is_too_low_is_mended(slow: tuple[tw.Experiment, tw.Run, object]):
    _, run, fix = slow
    assert fix.accepted
    assert fix.effect.low > 0
    assert fix.effect.seeds >= 4
    assert fix.plan != fix.before
    fixed = fix.train(listeners=())
    assert accuracy(fixed) > 0.9 > accuracy(run) + 0.3
    assert fixed.plan.epochs == run.plan.epochs
    assert "+ " in fix.diff
    assert "- " in fix.diff


def test_findings_carry_what_was_verified(slow: tuple[tw.Experiment, tw.Run, object]):
    _, run, fix = slow
    told = [f for f in run.findings if f.verified]
    assert told
    assert str(fix.accepted[0].effect) in told[0].verified
    assert "= verified: " in str(told[0])
    assert [f.verified for f in run.diagnosis.findings] == [f.verified for f in run.findings]
    assert run.store.get("fix")["plan"] == fix.plan.to_json()


def test_one_goes_back(tmp_path: Path):
    given = experiment(tmp_path)
    run = given.train(plan(1e-5, probes=True), listeners=())
    before = [f.to_json() for f in run.findings]
    given.fix(run)
    assert [f.to_json() for f in run.findings] != before
    assert go_back(run.directory)
    assert [f.to_json() for f in run.findings] == before
    assert run.diagnosis.to_json()["findings"] == before
    assert not go_back(run.directory)


def test_the_run_stays_as_it_was(tmp_path: Path):
    given = experiment(tmp_path)
    run = given.train(plan(1e-5, probes=True), listeners=())

    def digest() -> dict[str, str]:
        files = (p for p in sorted((run.directory / "checkpoints").rglob("*")) if p.is_file())
        return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    torch.manual_seed(5)
    state, before = torch.get_rng_state(), digest()
    weights = {k: v.clone() for k, v in run.network.state_dict().items()}
    given.fix(run)
    assert digest() == before
    assert all(torch.equal(v, weights[k]) for k, v in run.network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    again = given.train(plan(1e-5), listeners=())
    assert again.history["validation.loss"] == run.history["validation.loss"]


def test_a_healthy_training_is_left_alone(tmp_path: Path):
    given = experiment(tmp_path)
    run = given.train(plan(0.1, probes=True), listeners=())
    assert accuracy(run) > 0.93
    fix = given.fix(run)
    assert not fix.accepted
    assert fix.plan == fix.before
    assert fix.experiment.model is given.model
    assert not any(f.verified for f in run.findings)


def test_a_network_is_changed_where_no_plan_can(tmp_path: Path):
    def sigmoids() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(6):
            layers += [nn.Linear(64, 64), nn.Sigmoid()]
        return nn.Sequential(*layers, nn.Linear(64, 10))

    given = experiment(tmp_path, sigmoids)
    run = given.train(plan(0.05, epochs=15, probes=True), listeners=())
    assert accuracy(run) < 0.3
    fix = given.fix(run, seconds=60)
    assert fix.accepted
    assert fix.model is not given.model
    assert "~ model:" in fix.diff
    assert accuracy(fix.train(listeners=())) > 0.8
    assert accuracy(given.train(plan(0.05, epochs=15), listeners=())) < 0.3  # the experiment given is as it was
    fixed = fix.train(listeners=())
    with pytest.raises(UsageError, match="trained with changes that this experiment does not have"):
        given.resume(fixed, epochs=20, listeners=())
    with pytest.raises(UsageError, match="trained with changes"):
        _ = given.open(fixed.name).network
    with pytest.raises(UsageError, match="without the changes of this experiment"):
        fix.experiment.resume(run, epochs=20, listeners=())
    longer = fix.experiment.resume(fixed, epochs=16, listeners=())
    assert len(longer.history["validation.loss"]) == 16


def test_a_module_varies_order_and_noise_only(tmp_path: Path):
    given = experiment(tmp_path, build())
    run = given.train(plan(1e-5, probes=True), listeners=())
    fix = given.fix(run)
    assert fix.accepted
    assert any("seeds vary order and noise only" in note for note in fix.notes)
    assert accuracy(fix.train(listeners=())) > 0.9


def test_what_is_left_to_do_by_hand_is_said(tmp_path: Path):
    x, y = digits()
    shuffled = y[torch.randperm(len(y), generator=torch.Generator().manual_seed(1))]
    given = tw.Experiment(build, train=(x, shuffled), test=False, loss="cross_entropy", directory=tmp_path)
    run = given.train(plan(0.05, probes=True), listeners=())
    fix = given.fix(run, seconds=3)
    assert not fix.accepted
    if any(f.code == "LABEL01" and f.counts for f in run.findings):
        assert any(each.code == "LABEL01" and each.lines for each in fix.manual)
    assert "Nothing is accepted" in str(fix) or "nothing to try" in str(fix)


def test_a_run_without_probes_is_diagnosed_first(tmp_path: Path):
    given = experiment(tmp_path)
    run = given.train(plan(1e-5), listeners=())
    assert not run.findings
    fix = given.fix(run.name)
    assert fix.accepted
    assert run.findings


def test_bad_wishes(slow: tuple[tw.Experiment, tw.Run, object], tmp_path: Path):
    given, run, _ = slow
    with pytest.raises(UsageError, match="has no finding 'ACT99'"):
        given.fix(run, "ACT99")
    x, y = digits()
    other = tw.Experiment(build, train=(x[:900], y[:900]), test=False, loss="cross_entropy", directory=tmp_path)
    with pytest.raises(UsageError, match="other rows"):
        other.fix(run)


def test_too_little_time_says_so(tmp_path: Path):
    given = experiment(tmp_path)
    run = given.train(plan(1e-5, probes=True), listeners=())
    fix = given.fix(run, seconds=0.01)
    assert not fix.accepted
    assert any("no time was left" in each.reason for each in fix.tried)


@pytest.mark.parametrize(
    ("alarms", "said"),
    [((), ""), (("lr_too_low", "dead_units"), ""), (("lr_too_low", "split_leak"), "a fault themselves (split leak)")],
)
def test_rows_with_a_fault_are_no_judge(alarms: tuple[str, ...], said: str):
    assert said in no_judge(alarms)
    assert bool(no_judge(alarms)) == bool(said)


def test_under_a_leaking_split_nothing_is_tried(tmp_path: Path):
    x, y = digits()
    noisy = torch.where(torch.rand(len(y), generator=torch.Generator().manual_seed(0)) < 0.5, (y + 1) % 10, y)
    given = tw.Experiment(
        build,
        train=(x[:1400], noisy[:1400]),
        validation=(x[1200:1600], noisy[1200:1600]),  # half of them are training rows
        test=False,
        loss="cross_entropy",
        directory=tmp_path,
    )
    run = given.train(plan(0.1, epochs=60, probes=True), listeners=())
    assert any(f.cause == "split_leak" and f.counts for f in run.findings), run.findings
    fix = given.fix(run)
    assert not fix.tried
    assert "have a fault themselves (split leak" in str(fix)
    assert any(each.code.startswith("DATA") for each in fix.manual)


@pytest.mark.parametrize(
    ("batch_size", "accumulate", "rows"), [(16, 1, 400), (64, 1, 576), (32, 3, 864), (512, 1, None)]
)
def test_a_quick_score_takes_a_quarter_of_the_first_steps(batch_size: int, accumulate: int, rows: int | None):
    """12 steps, each of three forward passes over its rows; 400 rows at least, of 1000 here."""
    held = Rows(torch.zeros(1000, 2), torch.zeros(1000), torch.arange(1000), "validation")
    given = SimpleNamespace(
        plan=tw.Plan(batch_size=batch_size, accumulate=accumulate),
        validation=Feeder(held, batch_size=100, seed=0, shuffle=False),
    )
    assert few_rows(given) == rows  # type: ignore[arg-type]

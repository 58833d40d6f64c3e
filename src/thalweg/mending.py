"""Safe remedies applied while a training goes on, from the last good state; each is recorded in the run."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from thalweg.events import Decided
from thalweg.findings import Finding
from thalweg.recipe import Decision
from thalweg.saved import save_preparation
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.loop import Training

if TYPE_CHECKING:
    from thalweg.session import Session

MOST = 3  # times that a lost training is taken up again: a thousandth of the rate
SLOWER = 10.0
LOST = "NUM01"


def safe_changes(findings: Iterable[Finding]) -> dict[str, tuple[str, Any]]:
    """Plan fields that safe remedies of alarms set: the finding's code, and the value. The first finding decides."""
    chosen: dict[str, tuple[str, Any]] = {}
    for finding in findings:
        for remedy in finding.remedies:
            if finding.counts and remedy.safety == "safe":
                for name, value in remedy.changes.items():
                    chosen.setdefault(name, (finding.code, value))
    return chosen


def mend_start(session: "Session", position: int) -> None:
    """Applies the safe remedies of the check, and checks once more; `position` is the last reading before the check."""
    assert session.check is not None
    chosen = {
        name: (code, value)
        for name, (code, value) in safe_changes(session.check.findings).items()
        if getattr(session.plan, name.partition(".")[0]) != value
    }
    if not chosen or session.set_up is None:
        return
    plan = session.plan.replace(**{name: value for name, (_, value) in chosen.items()})
    session.setup = session.set_up(plan)
    session.plan = session.setup.plan
    session.untrained = clone(session.setup.network) if plan.probes else None
    save_preparation(session.folder, session.setup.preprocessing, session.setup.target_scaling)
    session.store.forget_after(position)
    for name, (code, value) in chosen.items():
        record(session, code, None, {name: value}, "before the first step")
    session._check()


def taken_up(session: "Session", training: Training) -> Training | None:
    """A lost training from its last good state on, at a tenth of the rate and clipped; None where that is no use.

    The last good state is that of the best epoch; before the first one has ended, the start. The optimizer's state
    begins anew: what led out of the finite numbers is in it.
    """
    plan = session.plan
    known = session.store.get("fixes", [])
    if not plan.fix or session.set_up is None or sum(each["code"] == LOST for each in known) >= MOST:
        return None
    assert plan.optimizer != "auto"
    assert plan.optimizer.lr != "auto"
    changes: dict[str, Any] = {"optimizer.lr": plan.optimizer.lr / SLOWER}
    if plan.clip_norm is None:
        changes["clip_norm"] = 1.0
    best, network = training.best, session.setup.network
    if best.epoch:
        best.put_into(network)
    else:
        set_tensors(network, tensors(session.set_up(plan).network))
    training.job.writer.flush()
    session.store.forget_steps(best.step)
    session.plan = plan.replace(**changes)
    again = session._training()
    again.best, again.step, again.seconds = best, best.step, training.seconds
    again.measured = [each for each in training.measured if each.step <= best.step]
    again.schedule = again.schedule_at(best.step)
    where = f"epoch {best.epoch}" if best.epoch else "the start"
    record(session, LOST, training.step, changes, f"the loss was lost at step {training.step:,}; from {where} on")
    again.save()
    return again


def record(session: "Session", code: str, step: int | None, changes: Mapping[str, Any], why: str) -> None:
    """Into the plan's decisions, on record, told."""
    for name, value in changes.items():
        decision = Decision(name, str(value), f"remedy of {code}: {why}")
        session.decisions.append(decision)
        for listener in session.listeners:
            listener(Decided(decision.field, decision.value, decision.reason))
    known = session.store.get("fixes", [])
    session.store.put(
        {
            "plan": session.plan.to_json(),
            "decisions": [asdict(each) for each in session.decisions],
            "fixes": [*known, {"code": code, "step": step, "changes": dict(changes), "why": why}],
        }
    )

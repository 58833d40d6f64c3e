"""`experiment.fix`: from a run and its diagnosis to changes that beat the training without them."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Rows
from thalweg.doctor.case import Case
from thalweg.doctor.diagnose import diagnose
from thalweg.doctor.ignore import wishes
from thalweg.doctor.remedied import constant_score
from thalweg.doctor.remedies.tournament import Reached, scored_rows
from thalweg.errors import UsageError, did_you_mean
from thalweg.examination import case_of
from thalweg.findings import Finding, Findings
from thalweg.fix.arm import Arm
from thalweg.fix.catalog import changes_for, combinations, situation_of
from thalweg.fix.change import may_balance
from thalweg.fix.manual import by_hand
from thalweg.fix.result import Cost, Fix, verified
from thalweg.fix.search import LEAST_STEPS, Search, wanted_of
from thalweg.lock import locked
from thalweg.measure.score import Score, best_constant
from thalweg.plan import Plan
from thalweg.readings import Readings
from thalweg.rediagnosis import rediagnose, restore
from thalweg.resume import require_same_rows
from thalweg.run import Run
from thalweg.saved import kept_weights, load_weights
from thalweg.store import FILE, Store
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

SHARE, LEAST_SECONDS = 3.0, 30.0  # of the training's time that a fix may take, and at least
QUICK, STEP = 0.25, 3.0  # of the work to the first mark; forward passes that a step takes: there, and twice back
FEW_ROWS = 400  # of a quick score, at least: the error of a share is below 2.5 %
NO_JUDGE = ("split_leak", "target_leak", "split_shift")  # under which a gain on validation rows is none
UNSCORED = (
    "Its outputs cannot be scored by accuracy or R2 (a step of its own, or another task), so no change can be judged."
)


def mend(
    experiment: "Experiment",
    folder: Path,
    *,
    codes: tuple[str, ...] = (),
    seconds: float | None = None,
    tell: Callable[[str], None] = lambda _line: None,
) -> Fix:
    """Tries the remedies of a run and stores what was accepted. The run's weights stay as they are.

    Args:
        experiment: that the run belongs to.
        folder: of the run.
        codes: of the findings to mend; all where it is empty.
        seconds: what the trials may take; by default three times what the training took, and 30 s at least.
        tell: is told each decision.
    """
    store = Store(folder / FILE)
    if store.get("plan") is None or store.get("status") == "running":
        raise UsageError(
            f"The run {folder.name} is not trained yet; there is nothing to fix. Let it end, or resume it."
        )
    if "outcome.constant" not in store.readings("outcome."):  # it had no probes
        rediagnose(experiment, folder, seconds=None, select=None, ignore=None)
    began = time.thread_time()
    with patient(experiment, folder, seconds) as (case, readings):
        findings = chosen(tuple(diagnose(readings, wishes(**store.get("wishes", {}))).findings), codes)
        fix = tried(experiment, Run(folder, experiment=experiment), case, readings, findings, tell)
    fix = replace(fix, cost=cost_of(fix, case, time.thread_time() - began))
    go_back(folder)  # an earlier fix gives way
    store.put({"fix": fix.to_json()})
    if fix.accepted:
        before = Run.open(folder).diagnosis.to_json()
        store.put({"diagnosis_before_fix": before})
        told = [verified(Finding.from_json(f), fix.accepted) for f in before["findings"]]
        store.put_diagnosis(told, before | {"findings": [f.to_json() for f in told]})
    store.close()
    return fix


def go_back(folder: Path) -> bool:
    """Forgets the fix of a run: its findings are as they were. False where it has none."""
    store = Store(folder / FILE)
    if store.get("fix") is None:
        return False
    before = store.get("diagnosis_before_fix")
    if before is not None:
        store.put_diagnosis([Finding.from_json(f) for f in before["findings"]], before)
    store.put({"fix": None, "diagnosis_before_fix": None})
    store.close()
    return True


def chosen(findings: tuple[Finding, ...], codes: tuple[str, ...]) -> tuple[Finding, ...]:
    """The findings of some codes. Raises `UsageError` for a code that the run has no finding of."""
    known = sorted({f.code for f in findings})
    for code in codes:
        if code not in known:
            raise UsageError(
                f"The run has no finding {code!r}.{did_you_mean(code, known)} It has {', '.join(known) or 'none'}."
            )
    return tuple(f for f in findings if not codes or f.code in codes)


@contextmanager
def patient(experiment: "Experiment", folder: Path, seconds: float | None) -> "Iterator[tuple[Case, Readings]]":
    """The run as its diagnosis had it, from what it stored, and all its readings."""
    store = Store(folder / FILE)
    with locked(folder), global_rng_kept(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        require_same_rows(store, experiment.data.digest(), folder.name)
        setup = experiment._set_up(Plan.from_json(store.get("plan")))
        session = experiment._session(folder, setup, (), wishes())
        untrained = clone(setup.network)
        training = session._training()
        with closing(training.job.train), closing(training.job.validation):
            kept = clone(setup.network)
            if restore(training) and (training.job.folder / "best.json").is_file():
                run = Run.open(folder)
                load_weights(run, kept, kept_weights(run))
            else:
                kept = clone(training.held_network())
            budget = max(SHARE * training.seconds, LEAST_SECONDS) if seconds is None else seconds
            case = case_of(
                untrained,
                clone(training.held_network()),
                training,
                replace(setup, network=kept),
                experiment.data,
                plan=session.plan,
                seconds=budget,
            )
            yield case, store.readings()


def tried(
    experiment: "Experiment",
    run: Run,
    case: Case,
    readings: Readings,
    findings: tuple[Finding, ...],
    tell: Callable[[str], None],
) -> Fix:
    """The search, and its result without its cost."""
    rows, empty = scored_rows(case), nothing(experiment, run, case, findings)
    alarms = tuple(dict.fromkeys(f.cause for f in findings if f.counts))
    if why := no_judge(alarms):
        return replace(empty, notes=(why,))
    # Of a step of one's own the outputs are no tensor that could be scored.
    own = score_of_run(case, rows) if experiment.data.train.step is None else None
    if own is None:
        return replace(empty, notes=(UNSCORED,))
    is_balanced = "class_imbalance" in alarms
    constant = constant_score(own).balanced() if is_balanced else constant_score(own)
    own = own.balanced() if is_balanced else own
    reference = readings.last("reference.score")
    beside = reference.value if reference is not None and reference.note == own.name else None
    poor = bool(alarms) or Reached(own.value, own.constant, own.name).poor(readings)
    changes = changes_for(situation_of(case, readings, findings, poor=poor, may_balance=may_balance(experiment)))
    assert isinstance(case.plan.seed, int)
    control = Arm(
        experiment,
        case.plan,
        (),
        case.bench,
        rows,
        case.budget,
        few=few_rows(case) if rows is None else None,
        head=case.bench.head,
        constant=constant,
        balanced=is_balanced,
    )
    search = Search(control, own, wanted_of(own, beside), case.plan.seed, case.step_seconds, alarms, tell, combinations)
    best, effect = search.run(changes)
    mended = [cause for each in search.tried if each.accepted for cause in each.change.causes]
    fixed, plan = best.carried
    ordered = sorted(search.tried, key=lambda each: not each.accepted)
    return replace(
        empty,
        plan=plan,
        experiment=fixed,
        effect=effect,
        tried=tuple(ordered),
        manual=by_hand(findings, mended),
        findings=Findings(verified(f, [each for each in ordered if each.accepted]) for f in empty.findings),
        notes=(seeds_vary(experiment), *doubts(findings)),
    )


def few_rows(case: Case) -> int | None:
    """Of a quick score: a quarter of the work to the first mark at most; None where that is enough for all rows."""
    rows, size = case.validation.rows, case.plan.batch_size
    assert isinstance(size, int)
    count = max(int(QUICK * STEP * LEAST_STEPS * size * case.plan.accumulate), FEW_ROWS)
    return count if isinstance(rows, Rows) and count < len(rows) else None


def no_judge(alarms: Sequence[str]) -> str:
    """Why no gain on the validation rows would be one; empty where they can judge."""
    first = [cause.replace("_", " ") for cause in alarms if cause in NO_JUDGE]
    if not first:
        return ""
    return (
        "Nothing was tried: the validation rows, which would judge it, have a fault themselves "
        f"({' and '.join(first)}). Mend it by hand, train again, then fix."
    )


def doubts(findings: Sequence[Finding]) -> list[str]:
    """What is suspected of the validation rows, which judge."""
    found = [f for f in findings if f.cause in NO_JUDGE and not f.counts and f.severity != "note"]
    return [f"The validation rows judge, and they are under suspicion: {f.code}: {f.title}." for f in found]


def nothing(experiment: "Experiment", run: Run, case: Case, findings: tuple[Finding, ...]) -> Fix:
    """A fix that changes nothing."""
    manual, cost = by_hand(findings, ()), Cost(0.0, 0.0, 0.0, 0)
    return Fix(run.name, case.plan, case.plan, experiment, None, (), manual, cost, Findings(run.findings))


def score_of_run(case: Case, rows: int | None) -> Score | None:
    """What the run reached; the best constant answer's where its outputs are not finite."""
    own = case.reached_on(rows)
    if own is not None:
        return own
    targets, seen = [], 0
    for _, target, *_ in pieces(case.validation):
        targets.append(target)
        seen += len(target)
        if rows is not None and seen >= rows:
            break
    uneven = len({target.shape[1:] for target in targets}) > 1
    return None if uneven else best_constant(torch.cat(targets), task=case.bench.task)


def seeds_vary(experiment: "Experiment") -> str:
    """What differs between the seeds of the trials."""
    from thalweg.train.kept import KeptModule

    if isinstance(experiment.model, nn.Module | KeptModule):
        return "All trials start from the weights of the module that was given; seeds vary order and noise only."
    return "Seeds vary initialization, order and noise, alike with and without a change."


def cost_of(fix: Fix, case: Case, seconds: float) -> Cost:
    trained = [each for each in fix.tried if each.score is not None]
    steps = sum(each.share for each in trained)
    whole = case.num_steps * case.step_seconds  # one that was lost would have gone on
    return Cost(seconds, seconds / max(whole, 1e-9), steps, len(trained))

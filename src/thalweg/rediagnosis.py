"""A run that is stored, examined again: what its plan left out, what was interrupted, or for longer."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from thalweg.data.sample import spread
from thalweg.doctor.after import kept_weights as measure_kept
from thalweg.doctor.diagnose import diagnose
from thalweg.doctor.diagnosis import Diagnosis
from thalweg.doctor.ignore import Wishes, wishes
from thalweg.errors import UsageError
from thalweg.examination import case_of, examine_training
from thalweg.lock import locked
from thalweg.plan import Plan
from thalweg.probes.budget import budget_of
from thalweg.readings import Reading
from thalweg.resume import require_same_rows
from thalweg.run import Run
from thalweg.saved import kept_weights, load_weights
from thalweg.session import Session, fit_rows
from thalweg.store import FILE, Store
from thalweg.train.checkpoint import load_checkpoint
from thalweg.train.clone import clone
from thalweg.train.loop import Training

if TYPE_CHECKING:
    from thalweg.experiment import Experiment


def rediagnose(
    experiment: "Experiment",
    folder: Path,
    *,
    seconds: float | None,
    select: str | Sequence[str] | None,
    ignore: str | Sequence[str] | None,
) -> Diagnosis:
    """Makes up for check and race, repeats the experiments after the training, judges, and stores it all.

    Args:
        experiment: that the run belongs to.
        folder: of the run.
        seconds: what the experiments after the training may take; None allows what the training allows them.
        select: rules to judge; None: as the run was trained with.
        ignore: findings to leave out; None: as the run was trained with.
    """
    store = Store(folder / FILE)
    if store.get("plan") is None:
        raise UsageError(f"The run {folder.name} was stopped before its first step; there is nothing to diagnose yet.")
    stored = store.get("wishes", {})
    wished = wishes(
        stored.get("select", ()) if select is None else select, stored.get("ignore", ()) if ignore is None else ignore
    )
    with locked(folder):
        require_same_rows(store, experiment.data.digest(), folder.name)
        setup = experiment._set_up(Plan.from_json(store.get("plan")))
        session = experiment._session(folder, setup, (), wished)
        started = time.monotonic()
        make_up(session)
        untrained = clone(setup.network)
        training = session._training()
        with closing(training.job.train), closing(training.job.validation):
            if restore(training):
                store.add_readings(examined(session, untrained, training, seconds))
        return concluded(store, wished, time.monotonic() - started)


def make_up(session: Session) -> None:
    """Check and race, where the run had none; the network is at its start."""
    known = session.store.readings("loss.initial", "race.")
    if "loss.initial" not in known:
        session._check()
    if not len(known.of("race.rate")):
        session._race()


def restore(training: Training) -> bool:
    """Puts the last state that was saved into the training, records aside; False where there is none."""
    folder = training.job.folder
    if not (folder / "last.json").is_file():
        return False
    state, facts = load_checkpoint(folder, "last")
    training.set_state({name: value for name, value in state.items() if not name.startswith("epoch.")})
    training.step, training.seconds = int(facts["step"]), float(facts["seconds"])
    training.settled = training.step  # an average is saved as it is used
    return training.step > 0


def examined(session: Session, untrained: nn.Module, training: Training, seconds: float | None) -> list[Reading]:
    """The kept weights measured, where they were not, and the experiments after the training."""
    store, setup, plan = session.store, session.setup, session.plan
    assert isinstance(plan.batch_size, int)
    kept = clone(setup.network)
    run = Run.open(session.folder)
    load_weights(run, kept, kept_weights(run))
    readings = store.readings()
    found: list[Reading] = []
    if "fit.train_loss" not in readings:
        seen = setup.held_out(spread(session.prepared.train, fit_rows(training)), plan.batch_size)
        validation = training.job.validation
        found += measure_kept(kept, session.loss, setup.metrics, train=seen, validation=validation, step=training.step)
        readings.extend(found)
    case = case_of(
        untrained,
        clone(training.held_network()),
        training,
        replace(setup, network=kept),
        session.prepared,
        plan=plan,
        seconds=budget_of(training.seconds) if seconds is None else seconds,
    )
    return found + examine_training(case, readings)


def concluded(store: Store, wished: Wishes, seconds: float) -> Diagnosis:
    """The diagnosis of all readings, stored."""
    diagnosis = diagnose(store.readings(), wished)
    store.put_diagnosis(diagnosis.findings, diagnosis.to_json())
    store.put({"wishes": wished.to_json(), "diagnosis_seconds": seconds})
    store.close()
    return diagnosis

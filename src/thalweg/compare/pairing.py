"""Whether arms can be compared at all: on the same rows, by the same measure, in the same unit."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from thalweg.errors import ThalwegError, UsageError
from thalweg.parts.metrics import metric
from thalweg.plan import Plan
from thalweg.run import Run

if TYPE_CHECKING:
    from thalweg.experiment import Experiment


def require_same_data(experiment: "Experiment", runs: Sequence[Run]) -> None:
    """Raises `UsageError`, naming what differs, for a run of other rows, another task or loss than the experiment's."""
    for run in runs:
        own = experiment._with_rows_of(run.store)
        stored = run.store.get("task") or {}
        pairs = {
            "task": (stored.get("kind"), experiment.task.kind),
            "loss": (run.store.get("loss") or "of its own", experiment.loss_name or "of its own"),
            "training and validation rows": (run.store.get("digest"), own.data.digest()),
        }
        other = [name for name, (its, here) in pairs.items() if its != here]
        if other:
            told = [f"{name} ({pairs[name][0]}, here {pairs[name][1]})" for name in other if name in ("task", "loss")]
            told += [name for name in other if name not in ("task", "loss")]
            raise UsageError(
                f"compare got the run {run.name}, which was trained with other {', '.join(told)} than this experiment "
                "has. Its plan alone can be compared here: compare(run.plan.replace(seed='auto'), ...)."
            )


def common_measure(experiment: "Experiment", plans: Mapping[str, Plan], measure: str | None) -> str:
    """What all arms are compared by: `measure`, or the selection they share. Sets every arm up before one is trained.

    Raises:
        ThalwegError: where an arm cannot be trained, naming it.
        UsageError: where arms choose their epoch by different measures and none is given, one is unknown, or they
            differ in the unit of the loss.
    """
    decided = {name: set_up_once(experiment, name, plan) for name, plan in plans.items()}
    chosen = {name: plan.selection for name, plan in decided.items()}
    if measure is None:
        if len(set(chosen.values())) > 1:
            told = ", ".join(f"{name} by {selection}" for name, selection in chosen.items())
            raise UsageError(
                f"The arms choose their best epoch by different measures ({told}), and which one they are compared by "
                "is open. Say it: compare(..., measure='accuracy'), or give the plans one selection."
            )
        measure = next(iter(chosen.values()))
    known = ["loss", *(metric(m, experiment.task.kind).name for m in experiment.metrics)]
    if measure not in known:
        raise UsageError(f"compare got measure={measure!r}; this experiment measures {', '.join(known)}.")
    if measure == "loss" and len({repr(plan.target_scaling) for plan in decided.values()}) > 1:
        raise UsageError(
            "The arms differ in target_scaling, and so in the unit of the loss that they are measured by. Compare them "
            "in the target's unit: measure='rmse' or 'r2', or such a selection in the plans."
        )
    return measure


def set_up_once(experiment: "Experiment", name: str, plan: Plan) -> Plan:
    """The plan as it will be decided; that an arm cannot be trained is known now, not after hours."""
    try:  # without what is timed or drawn
        return experiment._set_up(plan.replace(memory_format="contiguous", workers=0, initialization=None)).plan
    except ThalwegError as error:
        error.add_note(f"In the comparison's arm {name}; nothing has been trained.")
        raise


def higher_is_better(experiment: "Experiment", measure: str) -> bool:
    """Which way a measure improves."""
    if measure == "loss":
        return False
    found = (metric(m, experiment.task.kind) for m in experiment.metrics)
    return next(m for m in found if m.name == measure).higher_is_better

"""What going on with a run means: by which plan, and whether the numbers will be those of an unbroken run."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from thalweg.errors import StoreError, UsageError
from thalweg.plan import Plan
from thalweg.recipe import Decision
from thalweg.store import Store

# Of a run's environment, what sums of floats depend on.
COMPARED = ("thalweg", "torch", "device", "processor", "threads")


def plan_to_resume(store: Store, name: str, epochs: int | None) -> Plan:
    """The plan that the run goes on by: the resolved one, or the user's own where it was stopped before that was known.

    Args:
        store: of the run.
        name: of the run.
        epochs: to go on to; None keeps the plan's. A run that had stopped early goes on without patience.

    Raises:
        UsageError: when the run is complete and no more epochs are asked for.
        StoreError: when the run was stopped before its plan was stored.
    """
    stored = store.get("plan") or store.get("user_plan")
    if stored is None:
        raise StoreError(
            f"The run {name} was stopped before its plan was stored, so there is nothing to go on with. Delete its "
            "folder and train anew."
        )
    plan = Plan.from_json(stored)
    completed = store.get("status") == "completed"
    if epochs is None:
        if completed:
            raise UsageError(f"The run {name} is complete; resume(run, epochs=...) with more epochs extends it.")
        return plan
    early = completed and store.get("step", 0) < store.get("num_steps", 0)
    return plan.replace(epochs=epochs, **({"patience": None} if early else {}))


def decisions_of(store: Store, plan: Plan) -> list[dict[str, str]]:
    """The stored decisions, and what extending the run has changed of them."""
    before = Plan.from_json(store.get("plan"))
    changed = {name for name in ("epochs", "patience") if getattr(before, name) != getattr(plan, name)}
    kept = [d for d in store.get("decisions", []) if d["field"] not in changed]
    added = [
        Decision(name, repr(getattr(plan, name)), "asked for when the run was resumed") for name in sorted(changed)
    ]
    return [*kept, *(asdict(decision) for decision in added)]


def require_more(name: str, *, step: int, num_steps: int, steps_per_epoch: int, epochs: int | None) -> None:
    """Raises `UsageError` where `epochs` asks for no more than was trained."""
    if epochs is not None and num_steps <= step:
        raise UsageError(
            f"The run {name} has trained {step / steps_per_epoch:g} epochs; epochs={epochs} asks for no more. Give a "
            "larger number."
        )


def differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """What differs between two environments and may change the last bits: `["torch 2.12.0 → 2.13.0"]`.

    >>> differences({"torch": "2.12.0", "threads": 2, "python": "3.11"}, {"torch": "2.13.0", "threads": 2})
    ['torch 2.12.0 → 2.13.0']
    """
    return [f"{key} {before[key]} → {now[key]}" for key in COMPARED if key in before and before[key] != now[key]]


def require_same_rows(store: Store, digest: str, name: str) -> None:
    """Raises `UsageError` where a run was trained on other rows than those of this digest."""
    if store.get("digest") != digest:
        raise UsageError(
            f"The run {name} was trained on other rows than this experiment holds; use it with the data, the split "
            "and the seed it was started with."
        )


def require_same_changes(store: Store, changes: Sequence[str]) -> None:
    """Raises `UsageError` where a fix changed the network or the loss of a run, and not the experiment at hand."""
    made = store.get("changes", [])
    if list(changes) == made:
        return
    name = store.get("name", store.path.parent.name)
    if made:
        raise UsageError(
            f"The run {name} was trained with changes that this experiment does not have: {'; '.join(made)}. Take the "
            "experiment that has them, fix.experiment of experiment.fix(...), or make them in the model."
        )
    raise UsageError(
        f"The run {name} was trained without the changes of this experiment, which comes from a fix: "
        f"{'; '.join(changes)}. Use the experiment that the fix was made for."
    )

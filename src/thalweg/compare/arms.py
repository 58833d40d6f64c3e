"""The arms of a comparison: which plans, by which names, under which seeds."""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.errors import UsageError
from thalweg.plan import Plan, is_integer
from thalweg.run import Run

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

MOST = 20  # seeds, where they are added until the differences are decided
Given = Plan | Run | Mapping[str, Any]


def arms_of(
    given: Sequence[Given], plan: Plan | None, changes: Mapping[str, Any], *, tuned: bool = False
) -> dict[str, Plan]:
    """The plans to compare, by names that tell them apart; that of a run is the run's.

    A plan whose rate is tuned is not named after the rate it begins with.
    """
    plans = plans_of([replicated(item) if isinstance(item, Run) else item for item in given], plan, changes)
    if any(isinstance(item, Run) for item in given):
        names = [item.name if isinstance(item, Run) else f"plan {k}" for k, item in enumerate(given, start=1)]
        if len(set(names)) < len(names):  # runs of two comparisons may have the same name
            folders = [
                item.directory if isinstance(item, Run) else Path(n) for item, n in zip(given, names, strict=True)
            ]
            names = [f"{folder.parent.name}/{folder.name}".lstrip("/") for folder in folders]
    else:
        names = names_of([without_rate(plan) for plan in plans] if tuned else plans)
    if len(set(names)) < len(names):
        raise UsageError(f"compare got the same run twice: {', '.join(names)}. Give different ones.")
    return dict(zip(names, plans, strict=True))


def replicated(run: Run) -> Plan:
    """What a run was trained by, everything decided, to be trained again from other seeds."""
    if run.store.get("plan") is None:
        raise UsageError(f"The run {run.name} was stopped before its plan was decided; resume it first.")
    return run.plan.replace(seed="auto", probes=False)


def without_rate(plan: Plan) -> Plan:
    return plan if plan.optimizer == "auto" else plan.replace(**{"optimizer.lr": "auto"})


def plans_of(given: Sequence[Plan | Mapping[str, Any]], plan: Plan | None, changes: Mapping[str, Any]) -> list[Plan]:
    """The plans to compare: whole ones, or one plan under each value of one field.

    Raises:
        UsageError: for fewer than two, or more than one field.
    """
    for item in given:
        if not isinstance(item, Plan | Mapping):
            raise UsageError(
                f"compare got {item!r}; give plans, runs (experiment.open(name)), or the values of a field: "
                "activation=['relu', 'gelu'], {'optimizer.lr': [0.01, 0.1]}."
            )
    whole = [item for item in given if isinstance(item, Plan)]
    varied = {**{k: v for item in given if not isinstance(item, Plan) for k, v in dict(item).items()}, **changes}
    if whole and (varied or plan is not None):
        raise UsageError("compare got whole plans and a field or plan= besides; give the plans, or one field's values.")
    if len(varied) > 1:
        raise UsageError(
            f"compare got values of {len(varied)} fields ({', '.join(varied)}); vary one, or give whole plans: "
            "compare(plan_a, plan_b, plan_c)."
        )
    for name, values in varied.items():
        if name == "seed":
            raise UsageError("compare pairs the arms by seeds: give their number, compare(..., seeds=5), not seed.")
        if isinstance(values, str) or not isinstance(values, Sequence):
            raise UsageError(f"compare got {name}={values!r}; give a list of values: {name}=[..., ...].")
        whole = [(plan or Plan()).replace(**{name: value}) for value in values]
    if len({item.seed for item in whole}) > 1:
        raise UsageError("compare got plans of different seeds; it trains all on the same: compare(..., seeds=[0, 1]).")
    if len(whole) < 2:
        raise UsageError(
            f"compare got {len(whole)} arm{'' if len(whole) == 1 else 's'}; it takes two at least: "
            "compare(activation=['relu', 'gelu']), compare({'optimizer.lr': [0.01, 0.1]}) or compare(plan_a, plan_b)."
        )
    return whole


def seeds_of(seeds: int | Sequence[int] | str, experiment: "Experiment", plan: Plan) -> tuple[int, ...]:
    """The seeds: as given, or so many from the plan's own or the experiment's on; for "auto" as many as may be."""
    if seeds == "auto":
        seeds = MOST
    if is_integer(seeds):
        start = experiment.seed if plan.seed == "auto" else int(plan.seed)
        chosen: Any = range(start, start + int(seeds))  # type: ignore[arg-type]
    else:
        chosen = seeds
    several = (
        isinstance(chosen, Sequence) and len(chosen) > 1 and all(is_integer(seed) and seed >= 0 for seed in chosen)
    )
    if not several or len(set(chosen)) < len(chosen):
        raise UsageError(
            f"compare got seeds={seeds!r}; allowed: a number from 2, as many different integers from 0, or 'auto', "
            "which adds seeds until the differences are decided."
        )
    return tuple(chosen)


def varied(plans: Sequence[Plan]) -> list[str]:
    """The fields in which plans differ."""
    return [f.name for f in fields(Plan) if any(getattr(p, f.name) != getattr(plans[0], f.name) for p in plans)]


def names_of(plans: Sequence[Plan]) -> list[str]:
    """A short name for each plan: the values in which they differ."""
    differing = varied(plans)
    names: list[str] = []
    alike = {name: shared([getattr(plan, name) for plan in plans]) for name in differing}
    for number, plan in enumerate(plans, start=1):
        values = [short(getattr(plan, name), without=alike[name]) for name in differing]
        if len(differing) == 1:
            name = values[0]
        else:
            name = ", ".join(f"{f}={v}" for f, v in zip(differing, values, strict=True)) or f"plan {number}"
        names.append(f"{name} ({number})" if name in names else name)
    return names


def shared(values: Sequence[Any]) -> frozenset[str]:
    """Fields that parts of one kind have in common; none where the kinds differ.

    >>> from thalweg.parts.optimizers import SGD
    >>> "momentum" in shared([SGD(lr=0.1, momentum=0.9), SGD(lr=0.2, momentum=0.9)])
    True
    """
    if not is_dataclass(values[0]) or len(set(map(type, values))) > 1:
        return frozenset()
    names = [f.name for f in fields(values[0])]
    return frozenset(n for n in names if all(getattr(value, n) == getattr(values[0], n) for value in values))


def short(value: Any, *, without: Collection[str] = ()) -> str:
    """A part by its name and the fields that are not at their default, some left out; several parts by theirs.

    >>> from thalweg.parts.augmentations import Compose, HorizontalFlip, PaddedCrop
    >>> from thalweg.parts.optimizers import SGD
    >>> short(SGD(lr=0.1)), short(None), short(32), short(Compose(HorizontalFlip(), PaddedCrop(2)))
    ('SGD(lr=0.1)', 'none', '32', '(HorizontalFlip, PaddedCrop(padding=2))')
    """
    if value is None:
        return "none"
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return f"({', '.join(map(short, value))})"
    if not is_dataclass(value):
        return str(value)
    own = [f for f in fields(value) if f.default is MISSING or getattr(value, f.name) != f.default]
    own = [f for f in own if f.name not in without]
    if [f.name for f in own] == ["parts"]:  # a Compose or a Chain
        return short(getattr(value, own[0].name))
    settings = ", ".join(f"{f.name}={short(getattr(value, f.name))}" for f in own)
    return type(value).__name__ + (f"({settings})" if settings else "")


def slug(name: str) -> str:
    """A name as part of a folder's.

    >>> slug("LeakyReLU(slope=0.2)"), slug("none")
    ('leakyrelu-slope-0.2', 'none')
    """
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:40] or "plan"

"""Trains one network under several plans on the same seeds. The statistics: `thalweg.evaluate.comparison`."""

import copy
import json
import math
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from thalweg.errors import ThalwegError, UsageError
from thalweg.evaluate.comparison import Comparison, compare_arms
from thalweg.events import Listener
from thalweg.names import new_run_folder
from thalweg.parts.metrics import metric
from thalweg.plan import Plan, is_integer
from thalweg.run import Run
from thalweg.train.kept import KeptModule

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

FILE = "comparison.json"  # in the folder of the runs, written anew after each training


@dataclass
class Contest:
    """A comparison under way: its plans by name, and what has been trained so far."""

    plans: dict[str, Plan]
    seeds: tuple[int, ...]
    folder: Path
    measure: str = ""
    values: dict[str, list[float | None]] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)
    rates: dict[str, float] = field(default_factory=dict)  # of the arms whose rate was raced
    notes: list[str] = field(default_factory=list)

    @property
    def complete(self) -> int:
        """How many trainings have ended."""
        return sum(map(len, self.values.values()))

    def result(self, higher_is_better: bool) -> Comparison:
        """What is known so far; a seed that not every arm was trained on still counts for those that were."""
        rates = ", ".join(f"{name} {rate:.3g}" for name, rate in self.rates.items())
        raced = f"Rates, raced once under the first seed and kept: {rates}. A difference is also that of the rates."
        count = max((len(values) for values in self.values.values()), default=0)
        filled = {name: [*values, *[None] * (count - len(values))] for name, values in self.values.items()}
        return compare_arms(
            filled,
            measure=self.measure,
            higher_is_better=higher_is_better,
            seeds=self.seeds[:count],
            runs=self.runs,
            folder=self.folder.name,
            notes=[*self.notes, raced] if rates else self.notes,
        )


def compare(
    experiment: "Experiment",
    plans: Sequence[Plan],
    *,
    seeds: int | Sequence[int],
    listeners: Sequence[Listener] | None,
) -> Comparison:
    """Trains each plan on each seed, one seed after the other, and compares the selection measure."""
    chosen = seeds_of(seeds, experiment, plans[0])
    named = dict(zip(names_of(plans), plans, strict=True))
    require_trainable(experiment, named)
    what = "-".join(varied(plans)) if len(varied(plans)) == 1 else "plans"
    contest = Contest(named, chosen, new_run_folder(experiment.directory, f"compare-{what}"))
    contest.values, contest.runs = {name: [] for name in named}, {name: [] for name in named}
    contest.notes = notes_of(experiment, plans)
    tell = printed if listeners is None else silent
    total = len(chosen) * len(named)
    try:
        for seed in chosen:
            for name in named:
                said = train_one(experiment, contest, name, seed, listeners or ())
                save(experiment, contest)
                tell(f"{contest.complete}/{total}  {said}")
    except KeyboardInterrupt:
        contest.notes.append(f"Interrupted: {contest.complete} of {total} trainings are complete, and count.")
    except ThalwegError as error:
        error.add_note(f"In the comparison's arm {name}; what was trained before it is in {contest.folder}.")
        raise
    if not contest.measure:
        raise KeyboardInterrupt
    return save(experiment, contest)


def require_trainable(experiment: "Experiment", plans: Mapping[str, Plan]) -> None:
    """Sets every arm up once before the first is trained: that one cannot be is known now, not after hours."""
    for name, plan in plans.items():
        try:  # without what is timed or drawn
            experiment._set_up(plan.replace(memory_format="contiguous", workers=0, initialization=None))
        except ThalwegError as error:
            error.add_note(f"In the comparison's arm {name}; nothing has been trained.")
            raise


def train_one(experiment: "Experiment", contest: Contest, name: str, seed: int, listeners: Sequence[Listener]) -> str:
    """One training of an arm; what to say about it. An interrupted one raises `KeyboardInterrupt`."""
    started = time.monotonic()
    inside = copy.copy(experiment)  # the same data and model; its runs go into the comparison's folder
    inside.directory, inside.name = contest.folder, slug(name)
    run = inside.train(contest.plans[name].replace(seed=seed), listeners=listeners)
    if run.status == "interrupted":
        raise KeyboardInterrupt
    settle(contest, name, run)
    value = run.metrics.get(contest.measure, math.nan)
    lost = run.status == "failed" or not math.isfinite(value)
    contest.values[name].append(None if lost else value)
    contest.runs[name].append(f"{contest.folder.name}/{run.name}")
    said = f"{contest.measure} {value:.4g}"
    if lost:
        said = "its loss was not finite" if run.status == "failed" else f"its {contest.measure} is undefined"
        contest.notes.append(f"{name} has no value under seed {seed}: {said}.")
    return f"{name}  seed {seed}  {said}  {time.monotonic() - started:.1f} s"


def settle(contest: Contest, name: str, run: Run) -> None:
    """What the first training of an arm has decided holds for its other seeds; its length and measure for all arms."""
    decided = run.plan
    assert decided.optimizer != "auto"
    if rate_is_open(contest.plans[name]):
        contest.rates[name] = float(decided.optimizer.lr)
    if contest.measure:
        first = next(iter(contest.plans.values()))
        if contest.measure == "loss" and decided.target_scaling != first.target_scaling:
            raise UsageError(
                "The arms differ in target_scaling, and so in the unit of the loss that they are measured by. Give the "
                "plans a selection in the target's unit: selection='rmse' or 'r2'."
            )
    else:
        contest.measure = decided.selection
        # The recipe decides the length once: every arm that leaves it open gets the same.
        for other, plan in contest.plans.items():
            if plan.epochs == "auto":
                contest.plans[other] = plan.replace(epochs=decided.epochs)
    contest.plans[name] = decided.replace(probes=False)


def save(experiment: "Experiment", contest: Contest) -> Comparison:
    """Writes the result so far beside the runs."""
    higher = contest.measure != "loss" and metric_of(experiment, contest.measure).higher_is_better
    result = contest.result(higher)
    facts = {"plans": {name: plan.to_json() for name, plan in contest.plans.items()}}
    new = contest.folder / f"{FILE}.new"
    new.write_text(json.dumps(result.to_json() | facts, indent=1, allow_nan=False), encoding="utf-8")
    new.replace(contest.folder / FILE)
    return result


def metric_of(experiment: "Experiment", name: str) -> Any:
    """The experiment's metric of this name."""
    chosen = (metric(m, experiment.task.kind) for m in experiment.metrics)
    return next(m for m in chosen if m.name == name)


# ---------------------------------------------------------------------- the arms


def plans_of(given: Sequence[Plan | Mapping[str, Any]], plan: Plan | None, changes: Mapping[str, Any]) -> list[Plan]:
    """The plans to compare: whole ones, or one plan under each value of one field.

    Raises:
        UsageError: for fewer than two, or more than one field.
    """
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


def seeds_of(seeds: int | Sequence[int], experiment: "Experiment", plan: Plan) -> tuple[int, ...]:
    """The seeds: as given, or so many from the plan's own or the experiment's on."""
    if is_integer(seeds):
        start = experiment.seed if plan.seed == "auto" else int(plan.seed)
        chosen: Any = range(start, start + int(seeds))  # type: ignore[arg-type]
    else:
        chosen = seeds
    several = isinstance(chosen, Sequence) and len(chosen) > 1 and all(map(is_integer, chosen))
    if not several or len(set(chosen)) < len(chosen):
        raise UsageError(f"compare got seeds={seeds!r}; allowed: a number from 2, or as many different integers.")
    return tuple(chosen)


def varied(plans: Sequence[Plan]) -> list[str]:
    """The fields in which plans differ."""
    return [f.name for f in fields(Plan) if any(getattr(p, f.name) != getattr(plans[0], f.name) for p in plans)]


def names_of(plans: Sequence[Plan]) -> list[str]:
    """A short name for each plan: the values in which they differ."""
    differing = varied(plans)
    names = []
    for number, plan in enumerate(plans, start=1):
        values = [short(getattr(plan, name)) for name in differing]
        if len(differing) == 1:
            name = values[0]
        else:
            name = ", ".join(f"{f}={v}" for f, v in zip(differing, values, strict=True)) or f"plan {number}"
        names.append(f"{name} ({number})" if name in names else name)
    return names


def short(value: Any) -> str:
    """A part by its name and the fields that are not at their default.

    >>> from thalweg.parts.optimizers import SGD
    >>> short(SGD(lr=0.1)), short(None), short(32)
    ('SGD(lr=0.1)', 'none', '32')
    """
    if value is None:
        return "none"
    if not is_dataclass(value):
        return str(value)
    own = [f for f in fields(value) if f.default is MISSING or getattr(value, f.name) != f.default]
    settings = ", ".join(f"{f.name}={short(getattr(value, f.name))}" for f in own)
    return type(value).__name__ + (f"({settings})" if settings else "")


def slug(name: str) -> str:
    """A name as part of a folder's.

    >>> slug("LeakyReLU(slope=0.2)"), slug("none")
    ('leakyrelu-slope-0.2', 'none')
    """
    return re.sub(r"[^a-z0-9.]+", "-", name.lower()).strip("-.")[:40] or "plan"


# ---------------------------------------------------------------------- what is said


def notes_of(experiment: "Experiment", plans: Sequence[Plan]) -> list[str]:
    """What the seeds vary, and what else to know about the values."""
    drawn = all(plan.initialization is not None for plan in plans)
    fixed = isinstance(experiment.model, nn.Module | KeptModule) and not drawn
    notes = [
        "All start from the weights of the module that was given: seeds vary order and noise only. A builder, or "
        "initialization= in the plan, would vary the start too."
        if fixed
        else "Seeds vary initialization, order and noise, alike for all arms.",
        "The measure is of the validation rows that also chose the epoch, so every value is a little too good.",
    ]
    if "epochs" in varied(plans):
        notes.append("The arms were not trained equally long: they differ in epochs.")
    return notes


def rate_is_open(plan: Plan) -> bool:
    return plan.optimizer == "auto" or plan.optimizer.lr == "auto"


def printed(line: str) -> None:
    from rich.text import Text

    from thalweg.show.printer import Printer

    Printer(sys.stdout).print([Text(line)])


def silent(line: str) -> None:
    """For a caller who listens to the trainings."""

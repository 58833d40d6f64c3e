"""A comparison under way: its plans, what was trained, and one round of trainings under one seed."""

import copy
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.compare.arms import slug
from thalweg.compare.clock import Clock
from thalweg.errors import ThalwegError
from thalweg.evaluate.comparison import Comparison, compare_arms
from thalweg.events import Listener
from thalweg.plan import Plan
from thalweg.run import Run
from thalweg.show.comparison import svg_file
from thalweg.show.text import duration

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

FILE = "comparison.json"  # in the folder of the runs, written anew after each training
PICTURE = "comparison.svg"  # beside it
ALIKE = 1e-6  # relative: losses nearer than that are of the same training, but for the order of sums


@dataclass
class Contest:
    """A comparison under way.

    Args:
        experiment: whose network is trained.
        plans: of the arms, by name; what one leaves open is filled in by its first training.
        folder: of the runs.
        measure: on the validation rows, that the arms are compared by.
        higher_is_better: which way it improves.
        drawn: whether each seed draws the validation rows anew.
        sequential: whether seeds are added by what was seen.
        clock: of the budget.
        listeners: of every training.
        tell: shows a line.
        notes: what to know about it.
    """

    experiment: "Experiment"
    plans: dict[str, Plan]
    folder: Path
    measure: str
    higher_is_better: bool
    drawn: bool
    sequential: bool
    clock: Clock
    listeners: Sequence[Listener]
    tell: Callable[[str], None]
    notes: list[str]
    seeds: list[int] = field(default_factory=list)  # that were begun
    values: dict[str, list[float | None]] = field(default_factory=dict)
    runs: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=dict)
    measures: dict[str, list[dict[str, float]]] = field(default_factory=dict)  # all of each run
    rates: dict[str, float] = field(default_factory=dict)  # of the arms whose rate was raced
    facts: dict[str, Any] = field(default_factory=dict)  # further JSON values for the file
    settled: set[str] = field(default_factory=set)  # arms whose plan is decided

    def __post_init__(self) -> None:
        for name in self.plans:
            self.values[name], self.runs[name], self.seconds[name], self.measures[name] = [], [], [], []

    @property
    def complete(self) -> int:
        """How many trainings of the comparison have ended."""
        return sum(map(len, self.values.values()))

    @property
    def overlap(self) -> float:
        """Validation rows per training row where they are drawn anew: what one seed's rows share with another's."""
        data = self.experiment.data
        return len(data.validation) / len(data.train) if self.drawn else 0.0

    # ------------------------------------------------------------------ trainings

    def under(self, seed: int) -> "Experiment":
        """The experiment as a seed has it: other validation rows where they are drawn; those it has under its own."""
        if self.drawn and seed != self.experiment.seed:
            return self.experiment._drawn(seed)
        return copy.copy(self.experiment)

    def round(self, seed: int, names: Sequence[str], told: Callable[[], str]) -> None:
        """Trains the arms under one seed: alike in rows, order and noise, and in the start where a builder draws it."""
        inside = self.under(seed)
        self.seeds.append(seed)
        for name in names:
            run, seconds = self.train(inside, name, self.plans[name].replace(seed=seed))
            value, lost = self.value_of(run)
            self.values[name].append(value)
            self.runs[name].append(f"{self.folder.name}/{run.name}")
            self.seconds[name].append(seconds)
            self.measures[name].append(run.metrics)
            if lost:
                self.notes.append(f"{name} has no value under seed {seed}: {lost}.")
            self.save()
            said = lost or f"{self.measure} {value:.4g}"
            self.tell(f"{told()}  {name}  seed {seed}  {said}  {duration(seconds)}")
        for name in self.plans:
            if name not in names:
                self.values[name].append(None)

    def train(self, inside: "Experiment", name: str, plan: Plan, *, prefix: str = "") -> tuple[Run, float]:
        """One training of an arm, and its seconds. An interrupted one raises `KeyboardInterrupt`."""
        inside.directory, inside.name = self.folder, prefix + slug(name)
        self.clock.begin(name)
        try:
            run = inside.train(plan, listeners=[*self.listeners, self.clock])
        except ThalwegError as error:
            error.add_note(f"In the comparison's arm {name}; what was trained before it is in {self.folder}.")
            raise
        if run.status == "interrupted":
            raise KeyboardInterrupt
        self.settle(name, run)
        return run, self.clock.end()

    def value_of(self, run: Run) -> tuple[float | None, str]:
        """The measure of a run; or None, and why."""
        value = run.metrics.get(self.measure, math.nan)
        if run.status == "failed":
            return None, "its loss was not finite"
        return (value, "") if math.isfinite(value) else (None, f"its {self.measure} is undefined")

    def settle(self, name: str, run: Run) -> None:
        """What the first training of an arm has decided holds for its others; the length that it had for all arms."""
        if name in self.settled:
            return
        decided = run.plan
        assert decided.optimizer != "auto"
        if rate_is_open(self.plans[name]):
            self.rates[name] = float(decided.optimizer.lr)
        if not self.settled:  # the recipe decides the length once: every arm that leaves it open gets the same
            for other, plan in self.plans.items():
                if plan.epochs == "auto":
                    self.plans[other] = plan.replace(epochs=decided.epochs)
        self.settled.add(name)
        self.plans[name] = decided.replace(probes=False)

    # ------------------------------------------------------------------ what is known

    @property
    def hollow(self) -> bool:
        """Whether no arm has a value under any seed yet."""
        return self.complete > 0 and all(value is None for values in self.values.values() for value in values)

    @property
    def repeats(self) -> bool:
        """Whether the seeds change nothing at all: every measure of every arm is the same under all of them."""
        several = all(len(found) > 1 and found[0] for found in self.measures.values())
        return several and all(same(found[0], other) for found in self.measures.values() for other in found[1:])

    def result(self) -> Comparison:
        """What is known so far; a seed that not every arm was trained on still counts for those that were.

        Given all rows that are not sealed, seeds and splits are drawn independently, so that the plain test is exact
        for these rows. That it would be so with another sample of rows, too, is told apart.
        """
        found = self.compared(overlap=0.0)
        return replace(found, notes=(*self.notes, *self.on_new_rows(found), *self.raced(), *self.timed()))

    def compared(self, *, overlap: float) -> Comparison:
        count = max((len(values) for values in self.values.values()), default=0)
        filled = {name: [*values, *[None] * (count - len(values))] for name, values in self.values.items()}
        return compare_arms(
            filled,
            measure=self.measure,
            higher_is_better=self.higher_is_better,
            seeds=self.seeds[:count],
            runs=self.runs,
            folder=self.folder.name,
            test="anytime" if self.sequential else "t",
            overlap=overlap,
        )

    def on_new_rows(self, found: Comparison) -> list[str]:
        """Of differences that are real over seeds and splits of these rows, whether new rows would show them, too.

        The test for it is corrected for the rows that splits share: more seeds narrow it only so far, more rows do.
        """
        real = {(d.better, d.worse) for d in found.differences if d.real}
        if not self.overlap or not real:
            return []
        corrected = [d for d in self.compared(overlap=self.overlap).differences if (d.better, d.worse) in real]
        said = [f"{d.better} against {d.worse} p = {d.p:.2g}, {'real' if d.real else 'not shown'}" for d in corrected]
        return [f"On new rows (corrected for those that splits share, Nadeau and Bengio 2003): {'; '.join(said)}."]

    def raced(self) -> list[str]:
        """The rates that a race decided."""
        rates = ", ".join(f"{name} {rate:.3g}" for name, rate in self.rates.items())
        told = f"Rates, raced once under the first seed and kept: {rates}. A difference is also that of the rates."
        return [told] if rates else []

    def timed(self) -> list[str]:
        """What a training of each arm takes: they are equally long in epochs, not in time."""
        taken = {name: sorted(seconds)[(len(seconds) - 1) // 2] for name, seconds in self.seconds.items() if seconds}
        return [f"Seconds per training: {', '.join(f'{n} {s:.2g}' for n, s in taken.items())}."] if taken else []

    def save(self) -> Comparison:
        """Writes the result so far, and its picture, beside the runs."""
        result = self.result()
        plans = {"plans": {name: plan.to_json() for name, plan in self.plans.items()}}
        text = json.dumps(result.to_json() | plans | self.facts, indent=1, allow_nan=False)
        write(self.folder / FILE, text)
        write(self.folder / PICTURE, svg_file(result))
        return result


def write(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def same(first: dict[str, float], second: dict[str, float]) -> bool:
    """Whether two runs have the same measures, up to the order of sums."""
    return first.keys() == second.keys() and all(
        math.isclose(value, second[name], rel_tol=ALIKE) or (math.isnan(value) and math.isnan(second[name]))
        for name, value in first.items()
    )


def rate_is_open(plan: Plan) -> bool:
    return plan.optimizer == "auto" or plan.optimizer.lr == "auto"

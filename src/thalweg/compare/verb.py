"""Trains one network under several plans on the same seeds. The statistics: `thalweg.evaluate.comparison`."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.compare.arms import seeds_of, varied
from thalweg.compare.clock import Clock, seconds_of
from thalweg.compare.contest import Contest
from thalweg.compare.notes import notes_of
from thalweg.compare.pairing import common_measure, higher_is_better
from thalweg.compare.rates import APART, AROUND, require_tunable, tune
from thalweg.errors import TrainingError
from thalweg.evaluate.comparison import Comparison
from thalweg.evaluate.elimination import Elimination
from thalweg.events import Listener
from thalweg.names import new_run_folder
from thalweg.plan import Plan
from thalweg.show.text import duration, plural

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

SURE = 2  # seeds under which no arm has a value, or nothing varies, before that is said


@dataclass(frozen=True)
class Terms:
    """How arms are compared.

    Args:
        seeds: their number, which, or "auto".
        splits: "auto" draws the validation rows anew under each seed where that can be; False never.
        tuned: whether each arm is tuned over its own rate before.
        budget: seconds or a text such as "10min", for all of it.
        measure: on the validation rows; None for the plans' selection.
    """

    seeds: int | Sequence[int] | str = 5
    splits: str | bool = "auto"
    tuned: bool = False
    budget: float | str | None = None
    measure: str | None = None


def compare(
    experiment: "Experiment", plans: dict[str, Plan], terms: Terms, *, listeners: Sequence[Listener] | None
) -> Comparison:
    """Trains each plan on each seed, one seed after the other, and compares the measure."""
    seeds = seeds_of(terms.seeds, experiment, next(iter(plans.values())))
    contest = prepared(experiment, plans, terms, seeds, listeners)
    try:
        if terms.tuned:
            tune(contest, max(seeds) + APART)
        train_all(contest, seeds)
    except KeyboardInterrupt:
        if contest.clock.expired:
            rounds = 1 + (len(AROUND) if terms.tuned and not contest.complete else 0)
            raise contest.clock.refuse(list(plans), rounds, str(contest.folder)) from None
        if not contest.complete:
            raise
        total = len(seeds) * len(plans)
        seen = "" if contest.sequential else " If that was for what was seen, p is too small; seeds='auto' allows it."
        contest.notes.append(f"Interrupted: {contest.complete} of {total} trainings are complete, and count.{seen}")
    return contest.save()


def prepared(
    experiment: "Experiment",
    plans: dict[str, Plan],
    terms: Terms,
    seeds: Sequence[int],
    listeners: Sequence[Listener] | None,
) -> Contest:
    """Everything that can be refused is refused here, before a folder is made and a training begins."""
    clock = Clock(seconds_of(terms.budget))
    if terms.tuned:
        require_tunable(plans)
    measure = common_measure(experiment, plans, terms.measure)
    given = list(plans.values())
    drawn, notes = notes_of(experiment, given, seeds, terms.splits)
    what = "-".join(varied(given)) if len(varied(given)) == 1 else "plans"
    return Contest(
        experiment,
        dict(plans),
        new_run_folder(experiment.directory, f"compare-{what}"),
        measure,
        higher_is_better(experiment, measure),
        drawn,
        terms.seeds == "auto",
        clock,
        listeners or (),
        printed if listeners is None else silent,
        notes,
    )


def train_all(contest: Contest, seeds: Sequence[int]) -> None:
    """One round of trainings under each seed, until the seeds or the budget end, or more are of no use."""
    race = Elimination(list(contest.plans), higher_is_better=contest.higher_is_better, most=len(seeds))
    for count, seed in enumerate(seeds):
        if not room(contest, race.active, count, len(seeds)):
            break
        active = list(race.active)
        contest.round(seed, active, lambda: f"{contest.complete}/{len(seeds) * len(contest.plans)}")
        if count + 1 == SURE and contest.hollow:
            raise nothing_known(contest)
        if count + 1 == SURE and contest.repeats:
            stop_repeating(contest)
            break
        if contest.sequential:
            for name in race.add({name: contest.values[name][-1] for name in active}):
                contest.tell(f"dropped after {plural(count + 1, 'seed')}: {name}")
            if race.decided:
                break
    if contest.sequential:
        contest.notes.append(cost_of(race))


def room(contest: Contest, names: list[str], count: int, most: int) -> bool:
    """Whether the budget has room for one more seed of all these arms; with a note where it has not.

    Raises:
        UsageError: where it has none for the first.
    """
    if contest.clock.fits(*names):
        return True
    if not count:
        raise contest.clock.refuse(names, 1, str(contest.folder))
    contest.notes.append(f"The budget of {duration(contest.clock.limit)} ended it after {count} of {most} seeds.")
    return False


def cost_of(race: Elimination) -> str:
    """What adding seeds until it was decided has cost, and saved."""
    dropped = ", ".join(f"{name} after {plural(seeds, 'seed')}" for name, seeds in race.dropped.items())
    return f"Seeds were added until no more were of use: {race}" + (f"; dropped: {dropped}." if dropped else ".")


def nothing_known(contest: Contest) -> TrainingError:
    """What to say where the measure is undefined for every arm."""
    return TrainingError(
        f"No arm has a value of {contest.measure} under {SURE} seeds, so that there is nothing to compare: "
        f"{contest.notes[-1]} Take another, compare(..., measure=...), or look at one of the runs first. They are kept "
        f"in {contest.folder}."
    )


def stop_repeating(contest: Contest) -> None:
    """Where seeds vary nothing, one says all there is; more would be the same values again, and no evidence."""
    contest.notes.append(
        f"Seeds {contest.seeds[0]} and {contest.seeds[1]} gave the same trainings: nothing that the seeds vary reaches "
        "them. So there is one value each, without an interval, and more seeds would repeat it."
    )
    contest.values = {name: values[:1] for name, values in contest.values.items()}


def printed(line: str) -> None:
    from rich.text import Text

    from thalweg.show.printer import Printer

    Printer(sys.stdout).print([Text(line)])


def silent(line: str) -> None:
    """For a caller who listens to the trainings."""

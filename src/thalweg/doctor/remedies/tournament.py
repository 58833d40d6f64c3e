"""The tournament of remedies: twins of a training that is over, each with one thing changed, against its own result.

A first scan with the training's own order of rows finds which remedy does most, twins that lag behind drop out as the
time runs short; the best one is repeated in another order of rows and, where there is time, so is the training itself.
"""

from dataclasses import dataclass
from math import sqrt

from torch import nn

from thalweg.doctor.case import Case
from thalweg.doctor.diagnose import ORDER
from thalweg.doctor.remedies.candidates import Candidate, candidates, plain_twin
from thalweg.doctor.remedies.signs import signs_of
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.harm import BEST, ERRORS, OTHER_ORDER, SHARE, compared
from thalweg.probes.twin import Lane, score_of
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all

MARKS = (0.125, 0.25, 0.5, 1.0)  # shares of the training's steps at which twins are compared
SCAN = 0.75  # of what is left for the scan; the rest repeats the best
FEWEST = 5  # steps to a mark
SCORED_SHARE = 0.25  # of a twin's time that its scores may take
LEAST_ROWS = 300  # to score on: the error of a share is below 3 %
UPSTREAM = ORDER[: ORDER.index("exploding")]  # causes that rate, decay and length cannot mend
POOR = 1.0  # of what plain learners reach beyond a constant answer
HALF = 0.5  # of what can be reached: poor where no plain learner was fitted


@dataclass
class Entry:
    """A remedy in the tournament: its twin on its way, which begins when it is first advanced, and its newest score."""

    candidate: Candidate
    lane: Lane | None = None
    done: int = 0
    seconds: float = 0.0
    score: Score | None = None

    @property
    def value(self) -> float:
        return float("-inf") if self.score is None else self.score.value

    def advance(self, target: int, budget: Budget, rows: int | None) -> None:
        """Trains up to a number of steps and scores."""
        lane = self.lane = self.lane or Lane(self.candidate.twin)
        lane.advance(target - lane.done, budget=budget)
        self.done, self.seconds = lane.done, lane.seconds
        self.score = None if lane.lost else lane.score(rows=rows)


class Tournament:
    """One tournament.

    Args:
        case: the training.
        own: its score, on the rows that twins are scored on.
        rows: how many these are; None for all.
        entered: the remedies, most suspected first.
    """

    def __init__(self, case: Case, own: Score, rows: int | None, entered: list[Candidate]) -> None:
        self.case, self.own, self.rows = case, own, rows
        self.entries = [Entry(candidate) for candidate in entered]
        self.again: Score | None = None
        self.control: Score | None = None
        self.step_seconds = case.step_seconds
        self.scan_seconds = SCAN * case.budget.left

    def scan(self) -> None:
        """Advances the twins from mark to mark until one decides, or time or steps are used up."""
        case, spare = self.case, self.case.budget.left - self.scan_seconds
        active = self.entries
        for mark in MARKS:
            target = max(round(mark * case.steps), FEWEST)
            for entry in self.affordable(active, target, spare):
                entry.advance(target, case.budget, self.rows)
                # The time of a step as twins have it, without the evaluations of the training.
                self.step_seconds = (1 + SCORED_SHARE) * entry.seconds / max(entry.done, 1)
            active = [e for e in active if e.done >= target and e.score is not None]
            for entry in self.entries:
                entry.lane = entry.lane if entry in active else None  # its memory
            active.sort(key=lambda e: -e.value)
            if not active or self.decides(active[0]):
                return

    def affordable(self, active: list[Entry], target: int, spare: float) -> list[Entry]:
        """As many as can reach the mark: before the first one by suspicion, then by their scores."""
        left, chosen = self.case.budget.left - spare, []
        for entry in active:
            left -= self.step_seconds * (target - entry.done)
            if left < 0:
                break
            chosen.append(entry)
        return chosen

    def decides(self, entry: Entry) -> bool:
        return entry.score is not None and harmed(self.own, entry.score)

    def best(self) -> Entry | None:
        """The entry with the highest score; among those within two paired errors of it the most suspected one."""
        scored = [e for e in self.entries if e.score is not None]
        if not scored:
            return None
        top = max(scored, key=lambda e: e.value)
        assert top.score is not None
        return next(e for e in scored if e is top or not surely_above(top.score, e.score))

    def confirm(self, best: Entry) -> None:
        """The best remedy, then the training itself, in another order of rows."""
        case, steps = self.case, best.done
        seed = case.plan.seed
        assert isinstance(seed, int)
        if not case.budget.affords(self.step_seconds * steps):
            return
        again = Lane(best.candidate.twin.with_seed(seed + OTHER_ORDER))
        again.advance(steps, budget=case.budget)
        self.again = again.score(rows=self.rows) if again.done == steps and not again.lost else None
        if case.budget.affords(self.step_seconds * case.steps):
            control = Lane(plain_twin(case).with_seed(seed + OTHER_ORDER))
            control.advance(case.steps, budget=case.budget)
            self.control = control.score(rows=self.rows) if control.done == case.steps else None

    def readings(self, best: Entry | None) -> list[Reading]:
        """The best twin of each family, and which is the best of all."""
        found: list[Reading] = []
        for name in dict.fromkeys(e.candidate.name for e in self.entries):
            family = [e for e in self.entries if e.candidate.name == name and e.score is not None]
            if not family:
                continue
            entry = best if best in family else max(family, key=lambda e: e.value)
            assert entry is not None
            assert entry.score is not None
            share = entry.done / max(self.case.steps, 1)
            found += compared(name, self.own, entry.score.each - self.own.each, entry.score.value, share)
            found.append(Reading(f"twin.{name}.setting", entry.candidate.setting))
        if best is None:
            return found
        name = best.candidate.name
        found.append(Reading("twin.best", best.value, note=name, count=len(self.own.each)))
        if self.again is not None:
            found.append(Reading(f"twin.{name}.again", self.again.value, count=len(self.own.each)))
        if self.control is not None:
            found.append(Reading(f"twin.{name}.control", self.control.value, count=len(self.own.each)))
        return found


def harmed(own: Score, other: Score) -> bool:
    """Below 0.8 of what the other reaches beyond a constant answer, and beyond two paired standard errors."""
    return own.value - own.constant < SHARE * (other.value - own.constant) and surely_above(other, own)


def surely_above(higher: Score, lower: Score | None) -> bool:
    """Whether a score is above another by two standard errors of their rows' differences."""
    if lower is None or len(lower.each) != len(higher.each):
        return True
    difference = higher.each - lower.each
    return float(difference.mean()) > ERRORS * float(difference.std()) / sqrt(len(difference))


def explained(readings: Readings) -> bool:
    """Whether a proof or a probe names a cause that comes before rate, decay and length."""
    known = judge_all(readings, all_rules()).findings
    return any(f.counts and f.cause in UPSTREAM for f in known)


def is_poor(own: Score, readings: Readings) -> bool:
    """Whether plain learners do as well; where none was fitted, whether less than half of what there is was reached."""
    reference, constant = readings.last("reference.score"), readings.value("reference.constant")
    outcome = readings.last("outcome.score")
    if reference is None or constant is None or outcome is None or outcome.note != own.name:
        return own.value - own.constant < HALF * (BEST - own.constant)
    return own.value - own.constant < POOR * (reference.value - constant)


def try_twins(case: Case, readings: Readings) -> list[Reading]:
    """Twins with other rates, without dropout, decay or clipping, with standard constants, or for longer.

    Readings `dropout.p`, `clipping.share`, `schedule.late`, `decay.ratio` and `decay.balance` of the training;
    `twin.plain` and `twin.constant`, its score and the best constant answer's; of each remedy that was tried
    `twin.<name>.plain`, `.changed`, `.constant`, `.difference` and `.steps` as of `probes.harm`, `.setting`, the number
    it sets, and of the best one (`twin.best`, its name as the note) `.again`, its score in another order of rows, and
    `.control`, that of the training itself there. No twin is trained where the training reaches 0.8 of all there is
    beyond a constant answer, or where a cause is known that comes before.
    """
    rows = scored_rows(case)
    reached = [score_of(plain_twin(case), n, rows=rows) for n in networks(case)]
    scores = [score for score in reached if score is not None]
    if not scores or case.steps < 2 * FEWEST:
        return []
    own = max(scores, key=lambda score: score.value)
    signs, found = signs_of(case, readings)
    found.append(Reading("twin.plain", own.value, step=case.steps, count=len(own.each), note=own.name))
    found.append(Reading("twin.constant", own.constant, step=case.steps, note=own.name))
    known = Readings([*readings, *found])
    if own.value - own.constant >= SHARE * (BEST - own.constant) or explained(known):
        return found
    entered = candidates(case, signs, poor=is_poor(own, readings))
    if not entered or not case.budget.affords(2 * FEWEST * case.step_seconds):
        return found
    tournament = Tournament(case, own, rows, entered)
    tournament.scan()
    best = tournament.best()
    if best is not None and tournament.decides(best):
        tournament.confirm(best)
    return found + tournament.readings(best)


def networks(case: Case) -> list[nn.Module]:
    """The weights after the last step, and those that were kept."""
    return [case.last] if case.plan.keep == "last" else [case.last, case.kept]


def scored_rows(case: Case) -> int | None:
    """How many validation rows are scored; fewer than all where that would take more than a tenth of the time."""
    count = len(case.validation.rows)
    affordable = int(0.1 * SCAN * case.budget.left / (len(MARKS) * max(case.bench.row_seconds, 1e-9)))
    return None if count <= max(affordable, LEAST_ROWS) else max(affordable, LEAST_ROWS)

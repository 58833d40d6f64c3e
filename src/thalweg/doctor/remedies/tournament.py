"""The tournament of remedies: twins of a training that is over, each with one thing changed, against its own result.

A first scan with the training's own order of rows finds which remedy does most, twins that lag behind drop out as the
time runs short; the best one is repeated in another order of rows and, where there is time, so is the training itself.
"""

from dataclasses import dataclass
from math import sqrt

from thalweg.doctor.case import Case
from thalweg.doctor.diagnose import ORDER
from thalweg.doctor.remedies.candidates import Candidate, candidates
from thalweg.doctor.remedies.signs import describe, signs_of
from thalweg.findings import Finding, Remedied
from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.harm import BEST, ERRORS, OTHER_ORDER, SHARE, compared
from thalweg.probes.twin import Lane
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all
from thalweg.rules.harm import harm
from thalweg.rules.twins import shown

MARKS = (0.125, 0.25, 0.5, 1.0)  # shares of the training's steps at which twins are compared
SCAN = 0.75  # of what is left for the scan; the rest repeats the best
FEWEST = 5  # steps to a mark
FURTHER = 0.2  # of the steps done
STRONG = 3.0  # suspicion of a remedy that other examinations wait for
STRONG_PART = 0.85  # of what is left that it may take
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
    score: Score | None = None

    @property
    def value(self) -> float:
        return float("-inf") if self.score is None else self.score.value

    def advance(self, target: int, budget: Budget, rows: int | None) -> None:
        """Trains up to a number of steps and scores."""
        lane = self.lane = self.lane or Lane(self.candidate.twin)
        lane.advance(target - lane.done, budget=budget)
        self.done = lane.done
        self.score = None if lane.lost else lane.score(rows=rows)


class Tournament:
    """One tournament.

    Args:
        case: the training.
        own: its score, on the rows that twins are scored on.
        rows: how many these are; None for all.
        entered: the remedies, most suspected first.
        budget: what it may spend.
        shown: what remedies reached that other signs called for.
    """

    def __init__(
        self,
        case: Case,
        own: Score,
        rows: int | None,
        entered: list[Candidate],
        budget: Budget,
        shown: tuple[Remedied, ...] = (),
    ) -> None:
        self.case, self.own, self.rows, self.budget, self.shown = case, own, rows, budget, shown
        self.entries = [Entry(candidate) for candidate in entered]
        self.again: Score | None = None
        self.control: Score | None = None
        self.looks = 0  # scores of twins that were compared with the training's
        self.step_seconds = case.step_seconds
        # A remedy that the race asks for needs no repetition.
        scan = 1.0 if len(entered) == 1 and entered[0].suspicion >= STRONG else SCAN
        self.scan_seconds = scan * budget.left

    def scan(self) -> None:
        """Advances the twins from mark to mark until one decides, or time or steps are used up."""
        case, spare = self.case, self.budget.left - self.scan_seconds
        active = self.entries
        first = active[0].lane = Lane(active[0].candidate.twin)
        first.advance(FEWEST, budget=self.budget)  # shows the pace
        active[0].done = first.done
        self.step_seconds = (1 + SCORED_SHARE) * first.pace
        for mark in MARKS:
            target = max(round(mark * case.steps), FEWEST)
            for entry in self.affordable(active, target, spare):
                entry.advance(target, self.budget, self.rows)
                self.looks += 1
            active = [e for e in active if e.done >= target and e.score is not None]
            for entry in self.entries:
                entry.lane = entry.lane if entry in active else None  # its memory
            active.sort(key=lambda e: -e.value)
            if not active:
                return
            if self.decides(active[0]):
                self.follow(active[0], spare)  # how much it mends is seen at the end
                return
            if not self.affordable(active, self.next_mark(target), spare):
                self.follow(active[0], spare)
                return

    def next_mark(self, target: int) -> int:
        """The first mark beyond a number of steps."""
        marks = (max(round(mark * self.case.steps), FEWEST) for mark in MARKS)
        return next((mark for mark in marks if mark > target), target)

    def follow(self, entry: Entry, spare: float) -> None:
        """The leader as far as the time goes, where that is a good deal further."""
        further = int((self.budget.left - spare) / max(self.step_seconds, 1e-9))
        if further >= FURTHER * entry.done:
            entry.advance(min(entry.done + further, self.case.steps), self.budget, self.rows)
            self.looks += 1

    def affordable(self, active: list[Entry], target: int, spare: float) -> list[Entry]:
        """As many as can reach the mark: before the first one by suspicion, then by their scores."""
        left, chosen = self.budget.left - spare, []
        for entry in active:
            left -= self.step_seconds * (target - entry.done)
            if left < 0:
                break
            chosen.append(entry)
        return chosen

    def decides(self, entry: Entry) -> bool:
        """Whether a twin shows harm, beyond what the best of all scores so far has by chance.

        A remedy that nothing calls for is no cause unless it mends clearly more than one that a sign called for.
        """
        found = harm(Readings(self.compared(entry)), entry.candidate.name)
        return found is not None and found.harmed and all(each.leaves(found.remedied) for each in self.shown)

    def compared(self, entry: Entry) -> list[Reading]:
        """The readings of one twin beside the training."""
        if entry.score is None:
            return []
        share, name = entry.done / max(self.case.steps, 1), entry.candidate.name
        return compared(
            name, self.own, entry.score.each - self.own.each, entry.score.value, share, tries=max(self.looks, 1)
        )

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
        if not self.budget.affords(self.step_seconds * steps):
            return
        again = Lane(best.candidate.twin.with_seed(seed + OTHER_ORDER))
        again.advance(steps, budget=self.budget)
        self.again = again.score(rows=self.rows) if again.done == steps and not again.lost else None
        if self.budget.affords(self.step_seconds * case.steps):
            control = Lane(case.twin.with_seed(seed + OTHER_ORDER))
            control.advance(case.steps, budget=self.budget)
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
            found += self.compared(entry)
            found.append(Reading(f"twin.{name}.setting", entry.candidate.setting))
        if best is None or (self.shown and not self.decides(best)):
            return found
        name = best.candidate.name
        found.append(Reading("twin.best", best.value, note=name, count=len(self.own.each)))
        if self.again is not None:
            found.append(Reading(f"twin.{name}.again", self.again.value, count=len(self.own.each)))
        if self.control is not None:
            found.append(Reading(f"twin.{name}.control", self.control.value, count=len(self.own.each)))
        return found


def surely_above(higher: Score, lower: Score | None) -> bool:
    """Whether a score is above another by two standard errors of their rows' differences."""
    if lower is None or len(lower.each) != len(higher.each):
        return True
    difference = higher.each - lower.each
    return float(difference.mean()) > ERRORS * float(difference.std()) / sqrt(len(difference))


def known_alarms(readings: Readings) -> list[Finding]:
    """What proofs and probes have shown so far."""
    return [finding for finding in judge_all(readings, all_rules()).findings if finding.counts]


@dataclass(frozen=True)
class Reached:
    """What a training has reached: a score on validation rows, what a constant answer has there, its name."""

    value: float
    constant: float
    name: str

    @property
    def enough(self) -> bool:
        """Whether no remedy could show harm."""
        return self.value - self.constant >= SHARE * (BEST - self.constant)

    def poor(self, readings: Readings) -> bool:
        """Whether plain learners do better; where none was fitted, whether it is less than half of all there is."""
        reference, constant = readings.last("reference.score"), readings.value("reference.constant")
        outcome = readings.last("outcome.score")
        if reference is None or constant is None or outcome is None or outcome.note != self.name:
            return self.value - self.constant < HALF * (BEST - self.constant)
        return self.value - self.constant < POOR * (reference.value - constant)


def reached(case: Case, readings: Readings, rows: int | None) -> Reached | None:
    """The better of the last weights and the kept ones, as it was read before or by scoring them now."""
    outcome, constant = readings.last("outcome.score"), readings.value("outcome.constant")
    kept = readings.value("outcome.kept_score")
    if outcome is not None and constant is not None:
        return Reached(outcome.value if kept is None else max(outcome.value, kept), constant, outcome.note)
    own = case.reached_on(rows)
    return None if own is None else Reached(own.value, own.constant, own.name)


def try_suspected(case: Case, readings: Readings) -> list[Reading]:
    """The remedies that a strong sign asks for: a rate far off by the race, decay in balance with the loss, dropout of
    0.8 and more, a schedule at its end. Readings as of `try_twins`, with those of the training itself.
    """
    rows = scored_rows(case)
    own = reached(case, readings, rows)
    if own is None or case.steps < 2 * FEWEST:
        return []
    found = [
        *describe(case, readings),
        Reading("twin.plain", own.value, step=case.steps, note=own.name),
        Reading("twin.constant", own.constant, step=case.steps, note=own.name),
    ]
    known = Readings([*readings, *found])
    entered = candidates(case, signs_of(case, known), poor=own.poor(readings))
    strong: dict[str, Candidate] = {}
    for candidate in entered:
        if candidate.suspicion >= STRONG:
            strong.setdefault(candidate.name, candidate)  # the first of its family: time is for depth here
    return found + compete(case, known, own, rows, list(strong.values()), case.budget.part(STRONG_PART))


def try_twins(case: Case, readings: Readings) -> list[Reading]:
    """Twins with other rates, without dropout, decay or clipping, with standard constants, or for longer.

    Readings `dropout.p`, `clipping.share`, `schedule.late`, `decay.ratio` and `decay.balance` of the training;
    `twin.plain` and `twin.constant`, its score and the best constant answer's; of each remedy that was tried
    `twin.<name>.plain`, `.changed`, `.constant`, `.difference` and `.steps` as of `probes.harm`, `.setting`, the number
    it sets, and of the best one (`twin.best`, its name as the note) `.again`, its score in another order of rows, and
    `.control`, that of the training itself there. No twin is trained where the training reaches 0.8 of all there is
    beyond a constant answer, or where a cause is known that comes before.
    """
    best, rows = readings.last("twin.best"), scored_rows(case)
    if "twin.plain" not in readings or (best is not None and shown(readings, best.note) is not None):
        return []
    own = reached(case, readings, rows)
    if own is None:
        return []
    entered = candidates(case, signs_of(case, readings), poor=own.poor(readings))
    return compete(case, readings, own, rows, entered, case.budget)


def compete(
    case: Case, known: Readings, own: Reached, rows: int | None, entered: list[Candidate], budget: Budget
) -> list[Reading]:
    """A tournament, where there is something to win and the time for it."""
    entered = [candidate for candidate in entered if not tried(candidate, known)]
    if not entered or own.enough or not budget.affords(2 * FEWEST * case.step_seconds):
        return []
    alarms = known_alarms(known)
    if any(alarm.cause in UPSTREAM for alarm in alarms):  # what rate, decay and length cannot mend
        return []
    score = case.reached_on(rows)
    if score is None:
        return []
    shown = tuple(alarm.remedied for alarm in alarms if alarm.remedied is not None)
    tournament = Tournament(case, score, rows, entered, budget, shown)
    tournament.scan()
    best = tournament.best()
    if best is not None and tournament.decides(best):
        tournament.confirm(best)
    return tournament.readings(best)


def tried(candidate: Candidate, readings: Readings) -> bool:
    """Whether another examination has trained this twin, or the tournament has in its first round."""
    if candidate.name == "no_decay" and "twin.unregularized.plain" in readings:
        return True
    return any(reading.value == candidate.setting for reading in readings.of(f"twin.{candidate.name}.setting"))


def scored_rows(case: Case) -> int | None:
    """How many validation rows are scored; fewer than all where that would take more than a tenth of the time."""
    count = len(case.validation.rows)
    affordable = int(0.1 * SCAN * case.budget.left / (len(MARKS) * max(case.bench.row_seconds, 1e-9)))
    return None if count <= max(affordable, LEAST_ROWS) else max(affordable, LEAST_ROWS)

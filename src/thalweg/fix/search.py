"""Which changes mend a training: scanned on its own seed, the best tried on fresh seeds, then the next on top of it.

The most suspected change is looked at first, alone; then the next two, the next four and so on, each group by halves:
all take a thirty-second of the training's steps, the better half a sixteenth, and so on up to a quarter. A candidate is
compared with what the training reached with all its steps, so that a quick start alone is not taken for a gain.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import sqrt

from thalweg.fix.arm import Arm
from thalweg.fix.change import Change
from thalweg.fix.trial import FEW, Effect, fresh, seconds_of, trial
from thalweg.measure.score import Score
from thalweg.probes.harm import BEST, SHARE
from thalweg.rules.harm import errors_of

MARKS = (1 / 32, 1 / 16, 1 / 8, 1 / 4)  # of the training's steps
LAST = (1 / 2, 1.0)  # at which the best is looked at if it is not above the training before
LEAST_STEPS = 12  # to a mark
LEAST_GAIN = 0.02  # of accuracy or R2: less is not worth a change
NEAR = 0.1  # of accuracy or R2, below what the training reached: nearer after a quarter of the steps may end above it
DEEPER, APART = 3, 1.5  # shares that are looked at on fresh seeds, at most, each so many times the one before
ROUNDS = 4
EARLY = 0.4  # of what is wanted, which a training that will reach it has after its first steps
GENERIC = "underfitting"
HALF = 0.5  # of the budget that single changes may take where none gains anything
FURTHER = 0.4  # of the budget, after which nothing more is looked at if something is above the training already


@dataclass
class Tried:
    """One change and what came of it.

    Args:
        change: itself.
        score: the last one on the run's own seed.
        share: of the steps it had then.
        clear: the share after which it was above all that the training reached, for the first time; 0 if it never was.
        ahead: the share after which it was above the training after as many steps, where that was looked at; else 0.
        effect: on fresh seeds, where it was tried there.
        accepted: whether it is part of the fix.
        reason: why, or why not.
    """

    change: Change
    score: float | None = None
    share: float = 0.0
    clear: float = 0.0
    ahead: float = 0.0
    effect: Effect | None = None
    accepted: bool = False
    reason: str = ""


@dataclass
class Candidate:
    """A change on its way: the training with it, on the run's own seed."""

    arm: Arm
    entry: Tried
    score: Score | None = None

    @property
    def value(self) -> float:
        return float("-inf") if self.score is None else self.score.value


@dataclass
class Search:
    """The search under way.

    Args:
        control: the training as it is.
        own: what it reached with all its steps.
        wanted: a score that leaves nothing to mend: the first candidate on its way there is taken.
        seed: the run's.
        pace: seconds of a step.
        alarms: causes that were found, each of which is worth a try.
        tell: is told each decision, for the terminal.
        combine: joins changes, for where none gains anything alone.
    """

    control: Arm
    own: Score
    wanted: float
    seed: int
    pace: float
    alarms: tuple[str, ...] = ()
    tell: Callable[[str], None] = lambda _line: None
    combine: Callable[[Sequence[Change]], Sequence[Change]] = lambda _changes: ()
    tried: list[Tried] = field(default_factory=list)
    looks: int = 0
    spare: float = 0.0  # seconds that are kept for fresh seeds

    def run(self, changes: Sequence[Change]) -> tuple[Arm, Effect | None]:
        """The best arm that was accepted, and what it gains over the control; the control where none was."""
        base, total = self.control, None
        leader: Candidate | None = None  # what was accepted last
        left = list(changes)
        for _ in range(ROUNDS):
            left = [change for change in left if all(change.joins(made) for made in base.changes)]
            if leader is not None:
                left = self.worth_joining(leader, left)
            found = self.scan(base, left) if left else None
            if found is None and base is self.control:
                found = self.scan(base, self.combine(changes))
            if found is None:
                break
            left = [change for change in left if change is not found.entry.change]
            effect = self.confirm(base, found)
            if effect is None or not effect.real:
                continue
            found.entry.accepted, found.entry.reason = True, "beats the training without it"
            total = effect if total is None else effect.after_another(total)
            self.tell(f"accepted  {found.entry.change.text}: {effect}")
            base, leader = found.arm, found
        return base, total

    def worth_joining(self, leader: Candidate, changes: Sequence[Change]) -> list[Change]:
        """What is tried on top of what was accepted: everything if it is far from enough, else for causes left over.

        Of those the most suspected change each; that a training fits too little is what other causes lead to.
        """
        good = self.promises(leader.score, leader.entry.share)
        if not good and not self.promises(leader.arm.score(MARKS[-1], seed=self.seed), MARKS[-1]):
            return list(changes)
        mended = {cause for change in leader.arm.changes for cause in change.causes} | {GENERIC}
        first: dict[str, Change] = {}
        for change in changes:
            if change.causes and change.causes[0] in self.alarms and change.causes[0] not in mended:
                first.setdefault(change.causes[0], change)
        return list(first.values())

    def promises(self, score: Score | None, share: float) -> bool:
        """Whether a training is on its way to leave nothing to mend: most of it is learned in the first steps."""
        if score is None:
            return False
        part = EARLY + (1 - EARLY) * share
        return score.value >= self.own.constant + part * (self.wanted - self.own.constant)

    # ------------------------------------------------------------------ the scan

    def scan(self, base: Arm, changes: Sequence[Change]) -> Candidate | None:
        """The best candidate on the run's own seed, if it is above the training without it; None where none is."""
        best: Candidate | None = None
        self.spare = 0.0
        until = base.budget.left * (1 - FURTHER)
        for group in groups(changes):
            if best is not None and not best.entry.clear and base.budget.left < HALF * base.budget.seconds:
                break  # what is left is for changes joined
            self.spare = self.reserve(base, best)
            leader = self.heat(base, [Candidate(base.with_changes([c]), self.entry(c)) for c in group])
            if leader is not None and leader.value > (best.value if best else float("-inf")):
                best = leader
                if base is self.control and self.is_ahead(base, best):
                    self.follow(base, best)
            above = best is not None and best.entry.clear > 0
            good = best is not None and self.promises(best.score, best.entry.share)
            if above and (good or base.budget.left < until):
                return best
        if best is not None and not best.entry.clear and base is self.control:
            self.follow(base, best)
        return best if best is not None and best.entry.clear else None

    def heat(self, base: Arm, group: list[Candidate]) -> Candidate | None:
        """The best of a group after a quarter of the steps, or the first one that is good enough before."""
        active = group
        for mark in MARKS:
            active = [c for c in active if self.advance(base, c, mark)]
            active.sort(key=lambda c: -c.value)
            for lagging in active[max((len(active) + 1) // 2, 1) :]:
                lagging.arm.forget()
            active = active[: max((len(active) + 1) // 2, 1)]
            if not active:
                return None
            if active[0].entry.clear and self.promises(active[0].score, mark):
                break
        return active[0]

    def is_ahead(self, base: Arm, leader: Candidate) -> bool:
        """Whether it is above the training without it after as many steps, and not yet above what that reached in all.

        That training's way there is looked at once, on the run's own seed.
        """
        share = leader.entry.share
        if leader.entry.clear or leader.score is None or leader.value < self.own.value - NEAR:
            return False
        if not base.budget.affords(base.seconds_to(share, self.seed, self.pace)):
            return False
        before = base.score(share, seed=self.seed)
        leader.entry.ahead = share if before is not None and self.is_clear(leader.score, before) else 0.0
        return leader.entry.ahead > 0

    def follow(self, base: Arm, best: Candidate) -> None:
        """The best one up to all steps, as long as fresh seeds can be afforded behind it: a change may need them."""
        for mark in LAST:
            self.spare = self.reserve(base, replace(best, entry=replace(best.entry, clear=MARKS[-1])))
            if best.entry.clear or not self.advance(base, best, mark):
                return

    def advance(self, base: Arm, candidate: Candidate, share: float) -> bool:
        """Trains a candidate up to a mark and compares it; False where the time or its outputs do not allow it."""
        arm, entry = candidate.arm, candidate.entry
        share = min(max(share, LEAST_STEPS / max(arm.num_steps, 1)), 1.0)
        if candidate.score is not None and entry.share >= share:
            return True
        if not base.budget.affords(arm.seconds_to(share, self.seed, self.pace) + self.spare):
            entry.reason = entry.reason or "no time was left to try it"
            return False
        score = arm.score(share, seed=self.seed)
        reached = self.own if base is self.control else base.score(share, seed=self.seed)
        if score is None or reached is None or len(score.each) != len(reached.each):
            entry.reason = "no time was left to try it" if score is None else "it could not be scored"
            return False
        self.looks += 1
        candidate.score, entry.score, entry.share, entry.reason = score, score.value, share, "others did better"
        above = self.is_clear(score, reached)
        entry.clear = (entry.clear or share) if above else 0.0
        return True

    def is_clear(self, score: Score, reached: Score) -> bool:
        """Above what was reached, beyond what the best of so many scores is by chance."""
        gain = score.each - reached.each
        half = errors_of(max(self.looks, 1)) * float(gain.std()) / sqrt(len(gain))
        return float(gain.mean()) > max(half, LEAST_GAIN)

    def entry(self, change: Change) -> Tried:
        known = next((t for t in self.tried if t.change is change), None)
        if known is None:
            known = Tried(change)
            self.tried.append(known)
        return known

    # ------------------------------------------------------------------ fresh seeds

    def confirm(self, base: Arm, found: Candidate) -> Effect | None:
        """The gain on fresh seeds, after as many steps as showed it on the run's own."""
        entry = found.entry
        effect = trial(base, found.arm, shares=self.shares(entry), seed=self.seed, pace=self.pace)
        entry.effect = effect
        if effect is None:
            entry.reason = f"above on the run's own seed, but no time was left for {FEW[0]} other seeds"
        elif not effect.real:
            entry.reason = "not shown on other seeds"
        return effect

    def shares(self, entry: Tried) -> list[float]:
        """At which both are looked at: where it was above on the run's own seed, and up to a quarter of the steps."""
        found = [entry.ahead or entry.clear]
        while len(found) < DEEPER and (share := min(2 * found[-1], MARKS[-1])) >= APART * found[-1]:
            found.append(share)
        return found

    def reserve(self, base: Arm, best: Candidate | None) -> float:
        """Seconds to keep for the first looks at the best on fresh seeds."""
        if best is None or not best.entry.clear:
            return 0.0
        return 1.5 * seconds_of((base, best.arm), best.entry.clear, fresh(self.seed, FEW[-1]), self.pace)


def groups(changes: Sequence[Change]) -> Iterator[list[Change]]:
    """The first, the next two, the next four, ...

    >>> [len(group) for group in groups([Change(str(k), "") for k in range(8)])]
    [1, 2, 4, 1]
    """
    first, size = 0, 1
    while first < len(changes):
        yield list(changes[first : first + size])
        first, size = first + size, 2 * size


def wanted_of(own: Score, reference: float | None) -> float:
    """The score that leaves nothing to mend: plain learners' or 0.8 of all there is beyond a constant answer."""
    enough = own.constant + SHARE * (BEST - own.constant)
    return enough if reference is None else max(min(enough, reference), own.constant)

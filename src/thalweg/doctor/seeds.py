"""The training once more from other seeds: whether what it reached is the program's doing or its seed's."""

from collections.abc import Callable, Iterator
from dataclasses import replace

from torch import nn

from thalweg.doctor.case import Case
from thalweg.doctor.remedied import with_likelihood
from thalweg.doctor.restarts import DYING, leaky_relu
from thalweg.doctor.trials import rescaled
from thalweg.measure.hidden_calls import hidden_calls
from thalweg.measure.score import Score
from thalweg.probes.harm import OTHER_ORDER, compared
from thalweg.probes.swapped import swapped
from thalweg.probes.twin import Lane, Twin
from thalweg.readings import Reading, Readings
from thalweg.rules import all_rules, judge_all
from thalweg.rules.harm import harm
from thalweg.rules.init.init04_seed_decides import LEAKY, LIKELIHOOD, LOWER, RESCALED, worse

MOST = 3  # other seeds: two of three tell which is the rule
DECIDED = 2
MOST_ROWS = 64  # for the pass that finds the calls
WARM = 5  # steps that tell the pace


def try_other_seeds(case: Case, readings: Readings) -> list[Reading]:
    """Readings `restart.score` of trainings from other seeds (their place), `restart.lead` of this one over each.

    The lead is paired over the validation rows, with two standard errors. `restart.own` and `restart.constant` are this
    training's score and the best constant answer's. Where most do worse, one of these starts is tried with a loss that
    fits the last layer, rescaled weights, leaky ReLU, or a tenth of the rate (`twin.restart_<name>`). Nothing where a
    fault is known already, where the network cannot be built again, or the time does not suffice for two.
    """
    if case.rebuild is None or any(f.counts for f in judge_all(readings, all_rules()).findings):
        return []
    plain, own = case.twin, case.reached
    if own is None or not own.value - 2 * own.error > own.constant:
        return []
    again = Again(case, plain, own)
    again.run(case.rebuild, readings)
    return again.readings


class Again:
    """Trainings from other seeds, one after the other, until two of them agree."""

    def __init__(self, case: Case, plain: Twin, own: Score) -> None:
        self.case, self.plain, self.own = case, plain, own
        self.readings = [
            Reading("restart.own", own.value, note=own.name, count=len(own.each)),
            Reading("restart.constant", own.constant, note=own.name, count=len(own.each)),
        ]

    def run(self, rebuild: Callable[[int], nn.Module], readings: Readings) -> None:
        case, poor, fine = self.case, 0, 0
        assert isinstance(case.plan.seed, int)
        for number in range(1, MOST + 1):
            seed = case.plan.seed + number * OTHER_ORDER
            twin = replace(self.plain, network=rebuild(seed)).with_seed(seed)
            # As many more as it takes for two to agree must fit, or none is begun.
            found = self.trained(twin, repetitions=DECIDED - max(poor, fine))
            if found is None:
                return
            self.note(str(seed), found)
            if worse(Readings(self.readings), str(seed)):
                poor += 1
                if poor == DECIDED:
                    self.remedied(twin, found, readings)
            else:
                fine += 1
            if DECIDED in (poor, fine):
                return

    def trained(self, twin: Twin, *, repetitions: int = 1) -> Score | None:
        """The score of one more training; one that diverged answers as well as a constant."""
        case, lane = self.case, Lane(twin)
        lane.advance(min(WARM, case.steps), budget=case.budget)
        if not lane.lost:
            left = (case.steps - lane.done) + (repetitions - 1) * case.steps
            if not case.budget.affords(left * lane.pace):
                return None
            lane.advance(case.steps - lane.done, budget=case.budget)
        found = None if lane.lost else lane.score()
        if lane.lost:
            return replace(self.own, each=self.own.each.new_full((len(self.own.each),), self.own.constant))
        return found if lane.done == case.steps else None

    def note(self, place: str, found: Score) -> None:
        lead = compared("lead", found, self.own.each - found.each, self.own.value, 1.0)
        difference = next(r for r in lead if r.name == "twin.lead.difference")
        self.readings += [
            Reading("restart.score", found.value, place, note=found.name, count=len(found.each)),
            replace(difference, name="restart.lead", place=place),
        ]

    def remedied(self, poor: Twin, found: Score, readings: Readings) -> None:
        """The poor start with each remedy that might mend it, until one does."""
        for name, twin in self.remedies(poor, readings):
            other = self.trained(twin)
            if other is not None and len(other.each) == len(found.each):
                self.readings += compared(name, found, other.each - found.each, other.value, 1.0)
                shown = harm(Readings(self.readings), name)
                if shown is not None and shown.harmed:
                    return

    def remedies(self, poor: Twin, readings: Readings) -> Iterator[tuple[str, Twin]]:
        bench = self.case.bench
        if (twin := with_likelihood(self.case, poor, readings)) is not None:
            yield LIKELIHOOD, twin
        yield RESCALED, replace(poor, network=rescaled(poor.network, bench.inputs))
        hidden = hidden_calls(poor.network, bench.first(MOST_ROWS)[0])
        if (network := swapped(poor.network, hidden, DYING, leaky_relu)) is not None:
            yield LEAKY, replace(poor, network=network)
        optimizer = poor.plan.optimizer
        assert optimizer != "auto"
        assert optimizer.lr != "auto"
        yield LOWER, poor.with_plan(**{"optimizer.lr": optimizer.lr / 10})

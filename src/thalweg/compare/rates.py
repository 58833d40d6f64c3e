"""Each arm's own learning rate, found by as many full trainings for every arm, under a seed that is not compared.

Which of two optimizers is better depends on how well each was tuned, and a comparison in which one of them had more
trials, or the other's rate, says little (Choi et al. 2019, "On empirical comparisons of optimizers for deep learning").
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from thalweg.compare.arms import without_rate
from thalweg.compare.contest import Contest
from thalweg.errors import UsageError
from thalweg.plan import Plan
from thalweg.show.text import duration, plural

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

STEP = 10**0.5  # a rate and the next
AROUND = (0, -1, 1, -2, 2)  # steps from the rate that the plan or the race gives
APART = 1_000_003  # from the last seed: the tuning's is none that is compared


def require_tunable(plans: Mapping[str, Plan]) -> None:
    """Raises `UsageError` where the rates are what is compared."""
    if len({repr(without_rate(plan)) for plan in plans.values()}) < len(plans):
        raise UsageError(
            "tuned=True tunes the rate of each arm, and arms of these differ in the rate only. Leave tuned out, or "
            "compare plans that differ in something else."
        )


def tune(contest: Contest, seed: int) -> None:
    """Gives every arm the rate under which its measure is best.

    Five rates each, a factor of √10 apart around the plan's, or the race's where the plan leaves it open. Where the
    best of an arm is at the edge, all arms get two trainings more: that one beyond the edge, the others half a step on
    both sides of their best.

    Raises:
        UsageError: where the budget does not reach for it and one seed for each arm.
    """
    inside = contest.under(seed)
    tried: dict[str, dict[float, float | None]] = {name: {} for name in contest.plans}
    total = len(AROUND) * len(contest.plans)
    for name in contest.plans:
        for step in AROUND:
            center = next(iter(tried[name]), None)
            left = total - sum(map(len, tried.values()))
            try_rate(contest, inside, seed, name, None if center is None else center * STEP**step, tried, left)
    if any(at_edge(contest, rates) for rates in tried.values()):
        total += 2 * len(contest.plans)
        for name, rates in tried.items():
            for rate in more_rates(contest, rates):
                try_rate(contest, inside, seed, name, rate, tried, total - sum(map(len, tried.values())))
    conclude(contest, seed, tried)


def try_rate(
    contest: Contest,
    inside: "Experiment",
    seed: int,
    name: str,
    rate: float | None,
    tried: dict[str, dict[float, float | None]],
    left: int,
) -> None:
    """Trains an arm with a rate, None for the one it has, and notes its measure."""
    names, done = list(contest.plans), sum(map(len, tried.values()))
    still = [contest.clock.expected(other) or 0.0 for other in names]
    if done and sum(still) * (left / len(names) + 1) > contest.clock.left:
        raise contest.clock.refuse(names, -(-(done + left) // len(names)) + 1, str(contest.folder))
    plan = contest.plans[name] if rate is None else contest.plans[name].replace(**{"optimizer.lr": rate})
    run, seconds = contest.train(inside, name, plan.replace(seed=seed), prefix="tune-")
    value, lost = contest.value_of(run)
    optimizer = run.plan.optimizer
    assert optimizer != "auto"
    tried[name][float(optimizer.lr)] = value
    said = lost or f"{contest.measure} {value:.4g}"
    contest.tell(f"tuning {done + 1}/{done + left}  {name}  rate {optimizer.lr:.3g}  {said}  {duration(seconds)}")


def best_of(contest: Contest, rates: Mapping[float, float | None]) -> float:
    """The rate under which the measure is best; the middle one where it is undefined under all."""
    known = [(value, rate) for rate, value in rates.items() if value is not None]
    if not known:
        return next(iter(rates))
    return (max if contest.higher_is_better else min)(known)[1]


def at_edge(contest: Contest, rates: Mapping[float, float | None]) -> bool:
    known = [value for value in rates.values() if value is not None]
    return len(known) > 0 and best_of(contest, rates) in (min(rates), max(rates))


def more_rates(contest: Contest, rates: Mapping[float, float | None]) -> tuple[float, float]:
    """Two rates beyond the edge that is best, or between the best and its neighbors."""
    best = best_of(contest, rates)
    if at_edge(contest, rates):
        sign = 1 if best == max(rates) else -1
        return best * STEP**sign, best * STEP ** (2 * sign)
    return best * STEP**-0.5, best * STEP**0.5


def conclude(contest: Contest, seed: int, tried: Mapping[str, Mapping[float, float | None]]) -> None:
    """Puts the rates into the plans, and says which and what it took."""
    told = []
    for name, rates in tried.items():
        best = best_of(contest, rates)
        contest.plans[name] = contest.plans[name].replace(**{"optimizer.lr": best})
        edge = " (still the edge of what was tried)" if at_edge(contest, rates) else ""
        told.append(f"{name} {best:.3g} of {min(rates):.2g} to {max(rates):.2g}{edge}")
    count = sum(map(len, tried.values()))
    took = sum(sum(taken) for taken in contest.clock.seconds.values())
    contest.rates.clear()
    contest.notes.append(
        f"Each arm's own rate, tuned before by {plural(count // len(tried), 'training')} under seed {seed}: "
        f"{', '.join(told)}. The tuning took {plural(count, 'training')} and {duration(took)}."
    )
    values = {name: [{"rate": rate, "value": value} for rate, value in rates.items()] for name, rates in tried.items()}
    contest.facts["tuning"] = {"seed": seed, "trainings": count, "seconds": took, "rates": values}

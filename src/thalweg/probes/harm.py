"""What a fault costs: a training that is over against its twin with the remedy, scored on the same validation rows."""

from math import sqrt

from torch import Tensor

from thalweg.measure.score import Score
from thalweg.probes.budget import Budget
from thalweg.probes.twin import Twin, score_of, train
from thalweg.readings import Reading

LEAST_STEPS = 0.25  # of the training's steps that a twin must be able to make: fewer say little
MARGIN = 1.3  # a twin may take so much longer than the training: a function call that is left out costs time
ERRORS = 2.0  # standard errors of the validation rows beyond which a difference counts
LEAST = 0.03  # of accuracy or R2: what two trainings that differ in their order of rows differ by
OTHER_ORDER = 7919  # added to the seed for the control
SHARE = 0.8  # of what the twin reaches beyond a constant answer: a training that reaches less is called harmed
BEST = 1.0  # accuracy and R2 reach no more


def harm(
    name: str, own: Score | None, plain: Twin, changed: Twin, *, steps: int, step_seconds: float, budget: Budget
) -> list[Reading]:
    """Trains the twin with the remedy and, where it is better, a control: the training as it is in another order.

    Readings `twin.<name>.plain`, `.changed` and `.constant`, scores on the validation rows (note: which score),
    `.changed` with two standard errors of its distance from the constant answer, `.difference` with two standard errors
    to both sides, `.steps` as a share of the training's, and `.control` where one was trained. Nothing where the budget
    does not suffice or outputs cannot be scored. A training that reaches 0.8 of what there is beyond a constant answer
    needs no twin: `.changed` is 1 then, with the note "bound".

    Args:
        name: of the remedy.
        own: the training's score; None where outputs cannot be scored.
        plain: the training as it was.
        changed: the training with the remedy.
        steps: updates that the training made.
        step_seconds: what one of them took.
        budget: what may be spent.
    """
    if own is None:
        return []
    if enough(own):
        return bound(name, own)
    affordable = int(0.9 * budget.left / max(MARGIN * step_seconds, 1e-9))
    if min(affordable, steps) < max(LEAST_STEPS * steps, 1):
        return []
    network, done = train(changed, steps=min(steps, affordable), budget=budget)
    other = score_of(changed, network)
    if other is None or other.name != own.name or len(other.each) != len(own.each):
        return []
    found = compared(name, own, other.each - own.each, other.value, done / max(steps, 1))
    if bool(found[3].low and found[3].low > 0) and budget.affords(MARGIN * done * step_seconds):
        assert isinstance(plain.plan.seed, int)
        again = plain.with_seed(plain.plan.seed + OTHER_ORDER)
        control = score_of(again, train(again, steps=done, budget=budget)[0])
        if control is not None:
            found.append(Reading(f"twin.{name}.control", control.value, note=own.name, count=len(own.each)))
    return found


def bound(name: str, own: Score) -> list[Reading]:
    """The readings of a training that needs no twin: all there is stands for its score."""
    return compared(name, own, BEST - own.each.new_full((len(own.each),), own.value), BEST, 1.0, note="bound")


def enough(own: Score) -> bool:
    """Whether a training reaches so much of all there is that no remedy could show harm."""
    return own.value - own.constant >= SHARE * (BEST - own.constant)


def compared(
    name: str, own: Score, difference: Tensor, changed: float, share: float, *, note: str = "", tries: int = 1
) -> list[Reading]:
    """The readings of one comparison, given the rows' differences and the share of the steps that the twin made.

    Args:
        name: of the remedy.
        own: score of the training.
        difference: `[N]` of the rows' scores, the twin's less the training's.
        changed: score of the twin.
        share: of the training's steps that the twin made.
        note: of the twin's score.
        tries: how many scores of twins were looked at before this one was chosen, itself included.
    """
    count = len(difference)
    paired = float(difference.std()) / sqrt(count)
    # Rows that both answer alike tell how the two compare on these rows, not on others: the larger error counts.
    mean, half = float(difference.mean()), max(ERRORS * max(paired, own.error), LEAST)
    beyond = ERRORS * sqrt((float((own.each + difference).var()) + own.constant * (1 - own.constant)) / count)
    low, high = (None, None) if note else (changed - beyond, changed + beyond)
    return [
        Reading(f"twin.{name}.plain", own.value, note=own.name, count=count),
        Reading(f"twin.{name}.changed", changed, low=low, high=high, note=note or own.name, count=count),
        Reading(f"twin.{name}.constant", own.constant, note=own.name, count=count),
        Reading(f"twin.{name}.difference", mean, low=mean - half, high=mean + half, count=count),
        Reading(f"twin.{name}.steps", share, count=count),
        Reading(f"twin.{name}.tries", tries, count=count),
    ]

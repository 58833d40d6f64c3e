"""Whether a training that is over stands on the noise of its batches, and what a falling rate makes of it."""

from dataclasses import replace

from thalweg.data.rows import Batch
from thalweg.doctor.case import Case
from thalweg.doctor.remedies.tournament import known_alarms
from thalweg.measure.noise_scale import NoiseScale
from thalweg.measure.score import Score
from thalweg.measure.untouched import untouched
from thalweg.parts.schedules import Constant, Cosine, Sequential
from thalweg.probes.harm import MARGIN, compared, enough
from thalweg.probes.twin import Twin, score_of, train, windows
from thalweg.readings import Reading, Readings
from thalweg.rules.opt.opt07_noise_dominated import TWIN, asked, may_stand
from thalweg.train.clone import clone
from thalweg.train.step import stepper_of

BATCHES, MOST_BATCHES = 16, 128  # whose gradients are compared: the noise of one alone varies sixfold
ROWS = 512  # that they have together, where the batches are small
MOST_NUMBERS = 2**26  # of these gradients: 256 MiB
LONGER, SHORTEST = 0.2, 0.05  # of the training's steps that the rate falls over: at most, and at least
FEWEST = 20  # steps
SPENT = 0.8  # of what is left for the twin and its control


def try_settling(case: Case, readings: Readings) -> list[Reading]:
    """A twin that goes on from the last weights while the rate falls to zero, where noise covers the gradient.

    Readings `schedule.end`, the last rate by the peak; where the loss no longer falls at a rate that has not fallen,
    and something is left to be reached, `noise.scale` and `noise.rows` of the last weights (`measure.noise_scale`); and
    where the noise is far above the gradient `twin.settled.*` as of `probes.harm`, with as the control the training
    that goes on for as many steps at the same rate. `.setting` is how many.
    """
    end = Reading("schedule.end", last_factor(case), step=case.steps)
    known = Readings([*readings, end])
    if not may_stand(known) or case.reached is None or enough(case.reached) or known_alarms(readings):
        return [end]
    found = [end, *noise_of(case)]
    if asked(Readings([*readings, *found])):
        found += settled(case, case.reached)
    return found


def last_factor(case: Case) -> float:
    """The rate of the last step as a share of the highest one."""
    schedule, length = case.plan.schedule, max(case.num_steps, 1)
    assert schedule != "auto"
    every = max(length // 1000, 1)
    last = min(max(case.steps - 1, 0), length - 1)
    factors = [schedule.factor(step, length) for step in (*range(0, last, every), last)]
    return factors[-1] / max(*factors, 1e-30)


def noise_of(case: Case) -> list[Reading]:
    """The noise scale, from the gradients of the first batches of the next epoch at the last weights."""
    plan, size = case.plan, case.train.batch_size * case.plan.accumulate
    numbers = sum(p.numel() for p in case.last.parameters() if p.requires_grad)
    wanted = min(max(ROWS // size, BATCHES), MOST_BATCHES, MOST_NUMBERS // max(numbers, 1))
    count = min(len(case.train.rows) // size, wanted)
    if isinstance(case.bench.inputs, Batch) or not case.budget.affords(MARGIN * count * case.step_seconds):
        return []
    network = clone(case.last).train()
    step = stepper_of(plan, network, case.bench.loss)
    scale = NoiseScale(size, len(case.train.rows))
    epoch = -(-case.steps // -(-len(case.train) // plan.accumulate))  # a new one, whose batches do not overlap
    first = epoch * -(-len(case.train) // plan.accumulate)
    with untouched(network, training=True):
        for number, window in zip(range(count), windows(case.train, plan.accumulate, first), strict=False):
            scale.add(step.loss_and_gradients(window, step=first + number)[1])
    return scale.readings(case.steps)


def settled(case: Case, own: Score) -> list[Reading]:
    """The twin whose rate falls, and its control."""
    seconds = 2 * MARGIN * max(case.step_seconds, 1e-9) / SPENT  # of a step of both
    if not case.budget.affords(seconds * max(SHORTEST * case.steps, FEWEST)):
        return []
    steps = min(max(int(LONGER * case.steps), FEWEST), int(case.budget.left / seconds))
    scores = []
    for falls in (True, False):
        twin = going_on(case, steps, falls=falls)
        network, done = train(twin, steps=steps, budget=case.budget)
        scores.append(score_of(twin, network) if done == steps else None)
    other, control = scores
    if other is None or control is None or other.name != own.name or len(other.each) != len(own.each):
        return []
    return [
        *compared(TWIN, own, other.each - own.each, other.value, 1 + steps / max(case.steps, 1)),
        Reading(f"twin.{TWIN}.control", control.value, note=own.name, count=len(own.each)),
        Reading(f"twin.{TWIN}.setting", steps),
    ]


def going_on(case: Case, steps: int, *, falls: bool) -> Twin:
    """The training from its end on, at its last rate or while that falls along half a cosine to zero."""
    plan = case.plan
    assert plan.optimizer != "auto"
    assert plan.optimizer.lr != "auto"
    assert plan.schedule != "auto"
    last = plan.schedule.factor(min(max(case.steps - 1, 0), max(case.num_steps, 1) - 1), max(case.num_steps, 1))
    schedule = Sequential(parts=(Constant(), Cosine()), at=(case.steps,)) if falls else Constant()
    changed = case.twin.with_plan(**{"optimizer.lr": float(plan.optimizer.lr) * last, "schedule": schedule})
    return replace(
        changed,
        network=case.last,
        num_steps=case.steps + steps,
        first_step=case.steps,
        state=case.optimizer_state,
    )

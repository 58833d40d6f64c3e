"""After a training: the training stopped at its best epoch, what more rows would bring, and whether it is done."""

import torch

from thalweg.data.rows import map_inputs
from thalweg.doctor.case import Case
from thalweg.doctor.reference import SECONDS, fitted, part
from thalweg.measure.score import Score
from thalweg.probes.harm import MARGIN, compared
from thalweg.probes.twin import score_of, train
from thalweg.readings import Reading, Readings
from thalweg.rules.gen.outcome import as_good_as_reference, flat, gap, risen

CURVE_ROWS = 2000  # that a learning curve is drawn over at most


def try_stopping(case: Case, readings: Readings) -> list[Reading]:
    """The training once more up to the epoch of its lowest validation loss: `twin.stop.*` as of `probes.harm`.

    Tried where the validation loss has risen since and training rows are answered better than validation rows.
    """
    best = risen(readings)
    if best is None or not best.step or case.plan.keep == "best" or not gap(readings):
        return []
    if not case.budget.affords(MARGIN * best.step * case.step_seconds):
        return []
    plain = case.twin
    own = score_of(plain, case.last)
    network, done = train(plain, steps=best.step, budget=case.budget)
    other = score_of(plain, network) if done == best.step else None
    return compared_if_alike("stop", own, other, done / max(case.steps, 1))


def compared_if_alike(name: str, own: Score | None, other: Score | None, share: float) -> list[Reading]:
    """The readings of a twin, where both were scored on the same rows."""
    if own is None or other is None or own.name != other.name or len(own.each) != len(other.each):
        return []
    return compared(name, own, other.each - own.each, other.value, share)


def learning_curve(case: Case, _readings: Readings) -> list[Reading]:
    """`curve.score` at the places "1/4", "1/2" and "1": plain learners fitted on so many of the training rows.

    On the same validation rows, with 95 % intervals; `curve.gain`, what the second half of the rows added, paired.
    """
    if not case.budget.affords(2 * SECONDS):
        return []
    training = part(case.train, CURVE_ROWS, case.bench.seed)
    validation = part(case.validation, CURVE_ROWS, case.bench.seed)
    if training is None or validation is None:
        return []
    inputs, target = training
    order = torch.randperm(len(target), generator=torch.Generator().manual_seed(case.bench.seed)).to(target.device)
    found: list[Reading] = []
    scores: list[Score] = []
    for place, share in (("1/4", 0.25), ("1/2", 0.5), ("1", 1.0)):
        rows = order[: int(share * len(order))]
        few = map_inputs(lambda value, rows=rows: value[rows.to(value.device)], inputs), target[rows]  # type: ignore[misc]
        reference, wanted = fitted(few, validation, case.bench)
        reached = None if reference is None or wanted is None else wanted.score(reference.best.output)
        if reached is None:
            return []
        half = 1.96 * reached.error
        value = reached.value
        found.append(Reading("curve.score", value, place, case.steps, value - half, value + half, len(rows)))
        scores.append(reached)
    gain = scores[2].each - scores[1].each
    half = 1.96 * float(gain.std()) / len(gain) ** 0.5
    mean = float(gain.mean())
    note = scores[2].name
    found.append(Reading("curve.gain", mean, "", case.steps, mean - half, mean + half, len(gain), note))
    return found


def irreducible(case: Case, readings: Readings) -> list[Reading]:
    """`outcome.irreducible`: 1 where the network answers as well as plain learners and has stopped getting better.

    0 where plain learners are surely better, or its validation loss is still falling; nothing where it is not known.
    """
    good, still = as_good_as_reference(readings), flat(readings)
    if good is None or still is None:
        return []
    return [Reading("outcome.irreducible", float(good and still), step=case.steps)]

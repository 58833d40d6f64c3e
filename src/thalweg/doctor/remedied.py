"""After a training: what it would have reached with standardized inputs, or a loss that fits its last layer."""

from dataclasses import replace

from thalweg.data.rows import Batch
from thalweg.doctor.case import Case
from thalweg.doctor.restarts import restart
from thalweg.doctor.trials import RESCALE
from thalweg.measure.head import FREE
from thalweg.measure.inputs import standardizer
from thalweg.measure.score import Score
from thalweg.probes.harm import ERRORS, MARGIN, bound, compared, enough
from thalweg.probes.headless import without_head
from thalweg.probes.twin import Twin, score_of, train
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data01_input_scale import STANDARDIZE, odd_scales
from thalweg.rules.loss.loss02_head_mismatch import is_improper
from thalweg.rules.outcome import lost
from thalweg.rules.trial import trial
from thalweg.train.losses import NAMED

FEW = 16  # rows that show the last operation
LONGER = 4  # times the training's steps at least
MOST_STEPS = 3000


def try_standardized(case: Case, readings: Readings) -> list[Reading]:
    """A twin with standardized inputs, where those of the training are of an odd scale.

    Not where the initial weights are known to be at fault: other inputs may make up for these.
    """
    weights = trial(readings, RESCALE)
    if not odd_scales(readings) or (weights is not None and weights.decisive):
        return []
    plain, own = case.twin, case.reached
    remedied = replace(plain, transform=standardizer(case.bench.inputs))
    if own is not None:
        return bound(STANDARDIZE, own) if enough(own) else restart(STANDARDIZE, own, plain, remedied, case=case)
    start = score_of(plain, case.start) if lost(readings) else None
    if start is None:
        return []
    # A training that was lost answers nothing: a constant answer stands for it, and its twin has all the steps.
    return restart(STANDARDIZE, constant_score(start), plain, remedied, case=replace(case, steps=case.num_steps))


def constant_score(found: Score) -> Score:
    """The score of the best constant answer on the same rows."""
    if found.labels is None:
        return replace(found, each=found.each.new_full((len(found.each),), found.constant))
    return replace(found, each=(found.labels == found.labels.bincount().argmax()).double())


def with_likelihood(case: Case, plain: Twin, readings: Readings) -> Twin | None:
    """The twin with cross-entropy and without the last operation; None where the loss fits, or it does not apply."""
    start = case.bench
    if not is_improper(readings) or isinstance(start.inputs, Batch) or start.num_classes is None:
        return None
    few, _ = start.first(FEW)
    network = plain.network if start.head == FREE else without_head(plain.network, few)
    single = readings.value("head.outputs") == 1
    if network is None or (single and start.num_classes > 2):
        return None
    loss = NAMED["binary_cross_entropy" if single else "cross_entropy"]
    return replace(plain, network=network, loss=loss, head=FREE)


def try_likelihood(case: Case, readings: Readings) -> list[Reading]:
    """A twin with cross-entropy on the numbers before the last operation, where the loss is another than that."""
    plain, own = case.twin, case.reached
    changed = with_likelihood(case, plain, readings)
    if changed is None:
        return []
    found = case.cost("likelihood", changed)
    if found and own is not None and own.value - own.constant < ERRORS * own.error:
        found += in_more_steps(case, plain, changed)
    return found


def in_more_steps(case: Case, plain: Twin, changed: Twin) -> list[Reading]:
    """Both once more, with as many steps as the budget affords: a training that learned nothing yet tells nothing."""
    steps = min(int(0.4 * case.budget.left / max(MARGIN * case.step_seconds, 1e-9)), MOST_STEPS)
    if steps < LONGER * case.steps:
        return []
    scores, fewest = [], steps
    for twin in (plain, changed):
        longer = replace(twin, num_steps=steps)
        network, done = train(longer, steps=steps, budget=case.budget)
        fewest = min(fewest, done)
        scores.append(score_of(longer, network))
    own, other = scores
    if own is None or other is None or fewest < steps:
        return []
    return compared("likelihood_long", own, other.each - own.each, other.value, steps / case.steps)

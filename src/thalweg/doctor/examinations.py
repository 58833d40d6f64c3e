"""What is examined and in which order; an examination is a function whose readings the next ones can use.

Before the first step it is `(bench, readings) -> readings`, after the training `(case, readings) -> readings`. Each
spends from the budget that bench and case hold, and returns nothing where what is left does not suffice. Adding one is
a function in a module of its own and a line here.
"""

from collections.abc import Callable, Iterable
from functools import partial

from thalweg.doctor.balance import try_balance
from thalweg.doctor.before import overfit_rows, take_first_steps
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.doctor.curvature import look_around, measure_curvature
from thalweg.doctor.depth import look_at_flat_ends, look_at_placement, look_for_softmax, look_through_depth
from thalweg.doctor.frozen import try_unfrozen
from thalweg.doctor.generalization import irreducible, learning_curve, try_stopping
from thalweg.doctor.leak import inflation_by_copies
from thalweg.doctor.modes import leave_noise_out, measure_modes, rows_first, train_rows_first
from thalweg.doctor.norms import measure_estimates, measure_norms, train_with_group_norm, try_group_norm
from thalweg.doctor.reference import judge_outcome, reference_before
from thalweg.doctor.remedied import try_likelihood, try_standardized
from thalweg.doctor.remedies.tournament import try_suspected, try_twins
from thalweg.doctor.restarts import look_at_the_end, try_other_activations, try_other_starts
from thalweg.doctor.seeds import try_other_seeds
from thalweg.doctor.settle import try_settling
from thalweg.doctor.sharing import measure_sharing, try_unshared
from thalweg.doctor.shift import compare_parts, harm_of_shift
from thalweg.doctor.speed import look_for_waits, time_steps
from thalweg.doctor.trials import try_remedies
from thalweg.readings import Reading, Readings

Before = Callable[[Bench, Readings], Iterable[Reading]]
After = Callable[[Case, Readings], Iterable[Reading]]

START: tuple[Before, ...] = (look_through_depth, look_at_flat_ends, look_for_softmax, look_at_placement)
# Before the first step, and cheap: without training anything for more than a few steps.
MEASUREMENTS: tuple[Before, ...] = (
    take_first_steps,
    compare_parts,
    measure_modes,
    rows_first,
    measure_norms,
    measure_sharing,
    look_for_waits,
    *START,
)
# Before the first step, with probes.
BEFORE: tuple[Before, ...] = (*MEASUREMENTS, reference_before, overfit_rows, try_group_norm, try_remedies)
# When the training is over: the most telling first, because the budget may not reach all.
AFTER: tuple[After, ...] = (
    judge_outcome,
    try_unshared,
    try_unfrozen,
    try_standardized,
    try_other_starts,
    try_balance,
    try_stopping,
    inflation_by_copies,
    harm_of_shift,
    leave_noise_out,
    train_rows_first,
    try_likelihood,
    try_suspected,
    measure_estimates,
    train_with_group_norm,
    look_at_the_end,
    try_other_activations,
    try_twins,
    try_other_seeds,
    learning_curve,
    irreducible,
    time_steps,
    try_settling,
    measure_curvature,
    look_around,
)


STRICT = False  # whether an examination that breaks raises, as in the tests, or is told among what remains unknown


def examine_before(bench: Bench, readings: Readings, examinations: Iterable[Before]) -> None:
    """Adds to the readings what each examination reads; the next ones use it."""
    for each in examinations:
        readings.extend(guarded(each.__name__, partial(each, bench, readings)))


def guarded(name: str, examination: Callable[[], Iterable[Reading]]) -> list[Reading]:
    """What an examination reads, or that it broke: an error of the doctor's own costs nobody a training."""
    try:
        return list(examination())
    except Exception as error:
        if STRICT:
            raise
        text = str(error).strip().partition("\n")[0]
        return [Reading("examination.broken", 1.0, name, note=f"{type(error).__name__}: {text}"[:300])]


def examine(case: Case, readings: Readings) -> list[Reading]:
    """All experiments after a training, in their order; what they read."""
    found: list[Reading] = []
    for each in AFTER:
        case.budget.refused = False
        new = guarded(each.__name__, partial(each, case, readings))
        short = not new and case.budget.refused  # told among what remains unknown
        if short or readings.value("diagnosis.short", each.__name__):
            new.append(Reading("diagnosis.short", float(short), each.__name__, case.steps))
        readings.extend(new)
        found += new
    return found

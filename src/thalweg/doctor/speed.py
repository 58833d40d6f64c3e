"""What speed is judged by: before the first step what can be seen, after the training what a clock says."""

from torch import Tensor

from thalweg.data.rows import Batch
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.measure.speed import synchronizations, wide_numbers
from thalweg.probes.speed import doubling, waiting
from thalweg.readings import Reading, Readings

FEW = 8  # rows that show which lines wait
SHARE = 0.02  # of the budget that timing may take
WORTH = 10.0  # seconds of training: of a shorter one nothing is worth saving


def look_for_waits(bench: Bench, _known: Readings) -> list[Reading]:
    """Numbers of needless width, and calls that wait for the device."""
    found = [] if isinstance(bench.inputs, Batch) else wide_numbers(bench.network, bench.inputs)
    inputs, target = bench.first(FEW)
    if isinstance(target, Tensor) and bench.row_seconds * len(target) < 0.1:
        found += synchronizations(bench.network, bench.loss, inputs, target)
    return found


def time_steps(case: Case, _known: Readings) -> list[Reading]:
    """How long a step waits for its batch, and what twice the batch would take; of a short training nothing."""
    if case.seconds < WORTH or not case.budget.affords(20 * case.step_seconds):
        return []
    bench, part = case.bench, case.budget.part(SHARE)
    found = waiting(case.last, bench.loss, case.plan, case.train, budget=part)
    found += doubling(case.last, bench.loss, case.plan, bench.inputs, bench.target, budget=part)
    return [Reading("speed.whole", case.seconds, step=case.steps), *found]

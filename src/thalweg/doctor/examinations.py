"""What is examined and in which order; an examination is a function whose readings the next ones can use.

Before the first step it is `(bench, readings) -> readings`, after the training `(case, readings) -> readings`. Each
spends from the budget that bench and case hold, and returns nothing where what is left does not suffice. Adding one is
a function in a module of its own and a line here.
"""

from collections.abc import Callable, Iterable

from thalweg.doctor.before import overfit_rows, take_first_steps
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.doctor.trials import try_remedies
from thalweg.readings import Reading, Readings

Before = Callable[[Bench, Readings], Iterable[Reading]]
After = Callable[[Case, Readings], Iterable[Reading]]

# Before the first step, and cheap: without training anything for more than a few steps.
MEASUREMENTS: tuple[Before, ...] = (take_first_steps,)
# Before the first step, with probes.
BEFORE: tuple[Before, ...] = (*MEASUREMENTS, overfit_rows, try_remedies)
# When the training is over: the most telling first, because the budget may not reach all.
AFTER: tuple[After, ...] = ()


def examine(case: Case, readings: Readings) -> list[Reading]:
    """All experiments after a training, in their order; what they read."""
    found: list[Reading] = []
    for each in AFTER:
        new = list(each(case, readings))
        readings.extend(new)
        found += new
    return found

"""Whether the score on validation rows owes something to copies of training rows among them."""

import torch

from thalweg.data.duplicates import copied
from thalweg.doctor.case import Case
from thalweg.doctor.held import fed_score
from thalweg.measure.data_leak import inflation
from thalweg.readings import Reading, Readings

PART = "validation"


def inflation_by_copies(case: Case, readings: Readings) -> list[Reading]:
    """Readings `leak.score`, `leak.clean`, `leak.difference`, `leak.constant` of the kept network.

    `leak.difference` is the score of all validation rows less the score without what copies add, with its 95 %
    interval; `count` of `leak.clean` are the rows without a copy. Nothing where there are no copies, or too few rows
    without one.
    """
    share = readings.value("duplicates.share", PART)
    rows = case.validation.rows
    if not share or not case.budget.affords(case.bench.row_seconds * len(rows)):
        return []
    copies = copied(case.train.rows, rows)
    found = None
    if copies is not None and copies.any() and not copies.all():
        found = fed_score(case.kept, case.validation, task=case.bench.task, head=case.bench.head)
    if found is None or copies is None or len(found.each) != len(copies):
        return []
    made = inflation(found, torch.from_numpy(copies))
    if made is None:
        return []
    half = 1.96 * made.error
    low, high = made.difference - half, made.difference + half
    return [
        Reading("leak.score", made.whole, PART, case.steps, count=len(copies), note=made.name),
        Reading("leak.clean", made.clean, PART, case.steps, count=made.count, note=made.name),
        Reading("leak.difference", made.difference, PART, case.steps, low, high, len(copies), made.name),
        Reading("leak.constant", made.constant, PART, case.steps, note=made.name),
    ]

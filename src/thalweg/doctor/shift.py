"""Whether validation rows are of the kind of the training rows, and what it costs where they are not."""

from dataclasses import replace

import torch
from torch import Tensor

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Batch, Inputs, Rows, tensors_of
from thalweg.data.sample import at_hand, read
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.doctor.held import fed_score
from thalweg.measure.data_shift import aligned, compare_inputs, compare_targets
from thalweg.measure.score import Score
from thalweg.probes.harm import BEST, SHARE, compared, harm
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data06_split_shift import differs, differs_much

LEAST_ROWS = 100  # of a half of the validation rows, to train and to judge on


def compare_parts(bench: Bench, _known: Readings) -> list[Reading]:
    """The validation rows against the training rows, inputs and target, on the samples of the check."""
    if bench.validation is None or isinstance(bench.inputs, Batch):
        return []
    held, held_target = bench.validation
    if isinstance(held, Batch):
        return []
    target, classes = bench.target, bench.num_classes is not None or binary(bench.target)
    labeled = classes and target.numel() == len(target)
    labels = (target.reshape(-1).long(), held_target.reshape(-1).long()) if labeled else (None, None)
    readings = compare_inputs(bench.inputs, held, *labels)
    if target.numel() == len(target):
        readings += compare_targets(target.reshape(-1), held_target.reshape(-1), classes=classes)
    return readings


def binary(target: Tensor) -> bool:
    return bool(((target == 0) | (target == 1)).all())


def harm_of_shift(case: Case, readings: Readings) -> list[Reading]:
    """What the difference of the parts costs.

    First the kept network on validation rows whose columns are brought to mean and deviation of the training rows
    (`twin.align_validation`); then, where it is not that, a training on one half of the validation rows, judged on the
    other half, against the training as it was (`twin.train_on_validation`).
    """
    if not differs(readings) or isinstance(case.bench.inputs, Batch):
        return []
    own = fed_score(case.kept, case.validation, task=case.bench.task, head=case.bench.head)
    if own is None or own.value - own.constant >= SHARE * (BEST - own.constant):
        return []
    found = align(case, own)
    if differs_much(readings) and not helped(found):
        found += retrain(case, own)
    return found


def helped(found: list[Reading]) -> bool:
    known = Readings(found)
    plain, changed = known.value("twin.align_validation.plain"), known.value("twin.align_validation.changed")
    constant = known.value("twin.align_validation.constant") or 0.0
    return plain is not None and changed is not None and plain - constant < SHARE * (changed - constant)


def align(case: Case, own: Score) -> list[Reading]:
    """The kept network on validation rows with the columns' statistics of the training rows, paired over the rows."""
    held = at_hand(case.validation.rows)
    if not isinstance(held, Rows) or not case.budget.affords(2 * case.bench.row_seconds * len(held)):
        return []
    whole = [inputs for inputs, *_ in case.validation.epoch(0)]
    moved = aligned(together(whole), case.bench.inputs)
    rows = Rows(moved, held.target, held.ids, held.part)
    feeder = Feeder(
        rows,
        batch_size=case.validation.batch_size,
        seed=0,
        shuffle=False,
        device=case.validation.device,
        target_transform=case.validation.target_transform,
    )
    other = fed_score(case.kept, feeder, task=case.bench.task, head=case.bench.head)
    if other is None or len(other.each) != len(own.each) or other.name != own.name:
        return []
    return compared("align_validation", own, other.each - own.each, other.value, 1.0)


def together(batches: list[Inputs]) -> Inputs:
    columns = [torch.cat(parts) for parts in zip(*(tensors_of(batch) for batch in batches), strict=True)]
    first = batches[0]
    if isinstance(first, Tensor):
        return columns[0]
    return dict(zip(first, columns, strict=True)) if isinstance(first, dict) else tuple(columns)


def retrain(case: Case, own: Score) -> list[Reading]:
    """A training on half of the validation rows, no more than half as many as there were training rows."""
    held = at_hand(case.validation.rows)
    if not isinstance(held, Rows) or held.step is not None:
        return []
    order = torch.randperm(len(held), generator=torch.Generator().manual_seed(case.bench.seed))
    half = min(len(held) // 2, len(case.train.rows) // 2)
    trained, judged = order[:half].sort().values, order[len(held) // 2 :].sort().values
    if min(len(trained), len(judged)) < LEAST_ROWS:
        return []
    plain = case.twin
    changed = replace(
        plain,
        train=case.train.like(rows=read(held, trained), shuffle=True),
        validation=case.validation.like(rows=read(held, judged), shuffle=False),
    )
    part = replace(own, each=own.each[judged], labels=None if own.labels is None else own.labels[judged])
    control = replace(plain, validation=changed.validation)
    return harm(
        "train_on_validation",
        part,
        control,
        changed,
        steps=case.steps,
        step_seconds=case.step_seconds,
        budget=case.budget,
    )

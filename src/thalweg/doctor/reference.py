"""How good a result is for these data: the network's outcome beside plain learners fitted on the same rows."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.noise import global_rng_kept
from thalweg.data.rows import Batch, DatasetRows, Inputs, Rows, call, is_divisible, map_inputs, num_rows, tensors_of
from thalweg.data.sample import at_hand, read
from thalweg.data.seeds import SAMPLE, mix
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.measure.score import Score, score
from thalweg.probes.budget import Budget
from thalweg.probes.labels import association, noise
from thalweg.probes.plain_features import is_tokens
from thalweg.probes.reference import Reference, Target, fit, interval, reference_readings, target_of
from thalweg.readings import Reading, Readings
from thalweg.train.evaluation import evaluating, join, pieces

TRAIN_ROWS, VALIDATION_ROWS = 2000, 2000  # at most: the error of a share of 2,000 rows is 1 %
READ_ROWS = 512  # of a Dataset, whose items are read one by one
MAX_NUMBERS = 2**24  # of a part's inputs: 64 MiB
FORWARD_SHARE = 0.1  # of the budget that one pass of the network over the validation rows may take
GLANCE_SECONDS = 0.1
SECONDS = 1.0  # that plain learners take on 2,000 images, the permutation test included
WIDE = 256  # numbers of a row above which it costs as much as an image; a table costs a fifth
LEAST_ROWS = 256  # of training: fewer are no yardstick, unless there are no more
RARE = 30  # rows of a class from which its recall is worth a reading: an error of at most 9 points

Part = tuple[Inputs, Tensor]


def judge_outcome(case: Case, readings: Readings) -> list[Reading]:
    """What the training has reached, and what plain learners reach on the same rows.

    Readings of the network after its last step, at `case.steps`, with 95 % intervals over the rows: `outcome.score` on
    a sample of the validation rows (note: which score), `outcome.constant`, `outcome.error` (standard error),
    `outcome.balanced`, `outcome.balanced_constant` and `outcome.recall` (place: the class), `outcome.train_score` on a
    sample of the training rows, `outcome.kept_score` of the weights that were kept; those of
    `probes.reference.reference_readings`; and `reference.gain`, how much better the reference answers than the network,
    paired over the rows.
    """
    bench = case.bench
    # A glance at the outcome is worth its time even where nothing is left: all else is judged by it.
    count = int(max(FORWARD_SHARE * case.budget.left, GLANCE_SECONDS) / max(bench.row_seconds, 1e-9))
    validation = part(case.validation, min(VALIDATION_ROWS, count), bench.seed)
    train = part(case.train, min(TRAIN_ROWS, count), bench.seed)
    if train is None or validation is None:
        return []
    last = scored(case.last, validation, bench)
    kept = last if case.plan.keep == "last" else scored(case.kept, validation, bench)
    found = outcome_readings(last, scored(case.last, train, bench), kept, case.steps)
    few = affordable(train, case.budget)
    if few is None:
        return found
    reference, target = fitted(few, validation, bench)
    if reference is None or target is None:
        return found
    found += reference_readings(reference, target, step=case.steps)
    best = target.score(reference.best.output)
    if last is not None and best is not None and best.name == last.name and len(best.each) == len(last.each):
        gain = best.each.cpu() - last.each.cpu()
        half = 1.96 * float(gain.std()) / math.sqrt(len(gain))
        mean = float(gain.mean())
        found.append(Reading("reference.gain", mean, "", case.steps, mean - half, mean + half, len(gain), best.name))
    ids = ids_of(case.train, len(train[1]), bench.seed)
    if ids is not None:
        found += noise(reference, ids[: len(few[1])], step=case.steps)
    if "labels.chance" not in readings:
        found += dependence(reference, target, validation[0], bench, step=case.steps)
    return found


def reference_before(bench: Bench, _known: Readings) -> list[Reading]:
    """Plain learners before the first step, and whether the labels of each part depend on its inputs at all.

    Readings as of `probes.reference.reference_readings`, and those of `probes.labels.Association` at the places
    `"train"` and, where the training rows are at chance, `"validation"`.
    """
    if bench.validation is None or not is_divisible(bench.inputs) or not is_divisible(bench.validation[0]):
        return []
    if isinstance(bench.inputs, Batch) or (few := affordable((bench.inputs, bench.target), bench.budget)) is None:
        return []
    reference, target = fitted(few, bench.validation, bench)
    if reference is None or target is None:
        return []
    return [*reference_readings(reference, target), *dependence(reference, target, bench.validation[0], bench)]


def affordable(rows: Part, budget: Budget) -> Part | None:
    """As many of the rows, drawn at random, as plain learners can take in the time that is left; None for too few."""
    inputs, target = rows
    numbers = sum(value[:1].numel() for value in tensors_of(inputs))
    tokens = any(is_tokens(value) for value in tensors_of(inputs))
    seconds = SECONDS / TRAIN_ROWS * (1.0 if numbers > WIDE or tokens else 0.2)
    count = min(len(target), int(budget.left / seconds))
    if count < min(LEAST_ROWS, len(target)):
        budget.affords(seconds * LEAST_ROWS)  # on record as refused
        return None
    return map_inputs(lambda value: value[:count], inputs), target[:count]


def dependence(
    reference: Reference, target: Target, inputs: Inputs, bench: Bench, *, step: int | None = None
) -> list[Reading]:
    """The permutation test on the training rows; where they are at chance, also on as many validation rows alone."""
    own = association(reference, seed=bench.seed)
    found = own.readings("train", step=step)
    if own.explained <= float(own.permuted.max()):
        rows = torch.arange(min(len(target.values), own.count))
        few = Target(target.values[rows], None if target.codes is None else target.codes[rows], target.task)
        first = map_inputs(lambda value: value[: len(rows)], inputs)
        other = fit(first, few, map_inputs(lambda value: value[:1], inputs), seed=bench.seed)
        if other is not None:
            found += association(other, seed=bench.seed).readings("validation", step=step)
    return found


def fitted(train: Part, validation: Part, bench: Bench) -> tuple[Reference | None, Target | None]:
    """Plain learners fitted on training rows, and the target of the validation rows in the same form."""
    if isinstance(train[0], Batch) or isinstance(validation[0], Batch):
        return None, None
    classes = max((int(y.max()) + 1 for y in (train[1], validation[1]) if not y.is_floating_point()), default=0)
    classes = max(classes, 2 if train[1].is_floating_point() else 0, bench.num_classes or 0)
    own = target_of(train[1], bench.task, classes)
    other = target_of(validation[1], bench.task, classes)
    if own is None or other is None or own.values.shape[1] != other.values.shape[1]:
        return None, None
    with torch.no_grad():
        reference = fit(train[0], own, validation[0], seed=bench.seed)
    return reference, other


def part(feeder: Feeder, count: int, seed: int) -> Part | None:
    """A random sample of a part's rows as they enter network and loss; None where they cannot be drawn singly."""
    rows = at_hand(feeder.rows)
    if not isinstance(rows, Rows | DatasetRows) or not len(rows):
        return None
    count = count if isinstance(rows, Rows) else min(count, READ_ROWS)
    if isinstance(rows, Rows):
        numbers = sum(value[:1].numel() for value in tensors_of(rows.inputs))
        count = min(count, MAX_NUMBERS // max(numbers, 1))
    if count < 1:
        return None
    drawn = read(rows, drawn_rows(rows, count, seed))
    fed = feeder.like(rows=drawn, batch_size=256, seed=seed, shuffle=False)
    inputs, targets = [], []
    for given, target, *_ in pieces(fed):
        if isinstance(given, Batch):
            return None
        inputs.append(given)
        targets.append(target)
    shapes = {tuple(tuple(v.shape[1:]) for v in (*tensors_of(x), y)) for x, y in zip(inputs, targets, strict=True)}
    return (join(inputs), torch.cat(targets)) if len(shapes) == 1 else None


def drawn_rows(rows: Rows | DatasetRows, count: int, seed: int) -> Tensor:
    """Positions of a random sample."""
    draw = torch.Generator().manual_seed(mix(SAMPLE, seed, len(rows)))
    return torch.randperm(len(rows), generator=draw)[:count]


def ids_of(feeder: Feeder, count: int, seed: int) -> Tensor | None:
    """The numbers, in the user's data, of the rows that `part` draws."""
    rows = feeder.rows
    return rows.ids[drawn_rows(rows, count, seed)] if isinstance(rows, Rows | DatasetRows) else None


def scored(network: nn.Module, rows: Part, bench: Bench) -> Score | None:
    """The network's score, row by row."""
    inputs, target = rows
    with evaluating(network), global_rng_kept():
        outputs = [call(network, between(inputs, start, 256)) for start in range(0, num_rows(inputs), 256)]
    if not all(isinstance(output, Tensor) for output in outputs):
        return None
    return score(join(outputs), target, task=bench.task, head=bench.head)


def between(inputs: Inputs, start: int, count: int) -> Inputs:
    """Consecutive rows, as views."""
    return map_inputs(lambda value: value[start : start + count], inputs)


def outcome_readings(last: Score | None, train: Score | None, kept: Score | None, step: int) -> list[Reading]:
    """Readings of the scores of a network."""
    found = []
    if last is not None:
        found += [
            interval("outcome.score", last, step=step, note=last.name),
            Reading("outcome.constant", last.constant, step=step, count=len(last.each), note=last.name),
            Reading("outcome.error", last.error, step=step, count=len(last.each)),
        ]
        if last.labels is not None:
            balanced = last.balanced()
            found.append(interval("outcome.balanced", balanced, step=step))
            found.append(Reading("outcome.balanced_constant", balanced.constant, step=step))
            found += recalls(last, step)
    if train is not None:
        found.append(interval("outcome.train_score", train, step=step, note=train.name))
        found.append(Reading("outcome.train_constant", train.constant, step=step, count=len(train.each)))
    if kept is not None:
        found.append(interval("outcome.kept_score", kept, step=step, note=kept.name))
    return found


def recalls(found: Score, step: int) -> Sequence[Reading]:
    """The share of each class's rows that is answered right, of classes that have enough rows."""
    labels = found.labels
    assert labels is not None
    counts = labels.bincount()
    sums = torch.zeros(len(counts), dtype=found.each.dtype).index_add_(0, labels.cpu(), found.each.cpu())
    return [
        Reading("outcome.recall", float(sums[c] / n), str(c), step, count=int(n))
        for c, n in enumerate(counts.tolist())
        if n >= RARE
    ]

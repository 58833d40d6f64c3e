"""After a training on classes of very different frequency: a twin whose batches show all classes alike."""

from dataclasses import replace

import torch

from thalweg.data.feeder import Feeder
from thalweg.data.rows import Rows, tensors_of
from thalweg.data.sample import read
from thalweg.data.seeds import SAMPLE, mix
from thalweg.doctor.case import Case
from thalweg.measure.score import Score
from thalweg.probes.harm import LEAST_STEPS, MARGIN, compared
from thalweg.probes.reference import Target, target_of
from thalweg.probes.twin import score_of, train
from thalweg.readings import Reading, Readings
from thalweg.rules.label.label03_class_imbalance import UNEVEN

RARER = 0.5  # of a class's share in the validation rows: it is rarer in training
AT_STAKE = 0.1  # of the validation rows that are answered wrong and whose class is rarer in training
MAX_NUMBERS = 2**26  # of the inputs of all rows, the repeated ones counted: 256 MiB


def try_balance(case: Case, _readings: Readings) -> list[Reading]:
    """The twin with rare classes' rows repeated until all classes are alike, over as many steps.

    Tried where it may matter: rows of classes that are rarer in training than in validation are answered wrong, or the
    network answers no better than the one most frequent class. Readings `twin.balance.*` of the score and
    `twin.balance_even.*` of the score with every class counted alike, as of `probes.harm.compared`;
    `balance.ratio`, rows of the most frequent class to those of the rarest; `balance.at_stake`, the share of
    validation rows of classes that are rarer in training, answered wrong.
    """
    rows = case.train.rows
    if not isinstance(rows, Rows) or rows.weights is not None:
        return []
    codes = codes_of(rows.target, case)
    if codes is None:
        return []
    counts = codes.bincount()
    present = counts[counts > 0]
    ratio = float(present.max() / present.min())
    if len(present) < 2:
        return []
    found = [Reading("balance.ratio", ratio, step=case.steps, count=len(codes))]
    if ratio < UNEVEN:
        return found
    plain, own = case.twin, case.reached
    if own is None or own.labels is None:
        return found
    stake = at_stake(own, counts)
    found.append(Reading("balance.at_stake", stake, step=case.steps, count=len(own.each)))
    only_frequent = own.value - own.constant <= 2 * own.error
    if stake < AT_STAKE and not only_frequent:
        return found
    affordable = int(0.9 * case.budget.left / max(MARGIN * case.step_seconds, 1e-9))
    feeder = even_feeder(case, codes)
    if min(affordable, case.steps) < max(LEAST_STEPS * case.steps, 1) or feeder is None:
        return found
    changed = replace(plain, train=feeder)
    network, done = train(changed, steps=min(case.steps, affordable), budget=case.budget)
    other = score_of(changed, network)
    if other is None or len(other.each) != len(own.each):
        return found
    share = done / max(case.steps, 1)
    even, own_even = other.balanced(), own.balanced()
    found += compared("balance", own, other.each - own.each, other.value, share)
    return found + compared("balance_even", own_even, even.each - own_even.each, even.value, share)


def codes_of(target: torch.Tensor, case: Case) -> torch.Tensor | None:
    """The class of each training row."""
    if case.bench.task.kind not in ("binary", "multiclass"):
        return None
    found: Target | None = target_of(target, case.bench.task, case.bench.num_classes)
    return None if found is None or found.codes is None else found.codes.cpu()


def at_stake(own: Score, counts: torch.Tensor) -> float:
    """The share of validation rows that are answered wrong and whose class is rarer in training."""
    assert own.labels is not None
    labels = own.labels.cpu()
    held = labels.bincount(minlength=len(counts)).double()
    known = torch.zeros(len(held), dtype=torch.float64)
    known[: len(counts)] = counts.double()
    rarer = (known > 0) & (known / known.sum() < RARER * held / held.sum())
    return float(((1 - own.each.cpu()) * rarer[labels]).mean())


def even_feeder(case: Case, codes: torch.Tensor) -> Feeder | None:
    """The training's feeder on rows of which the rare ones are repeated; None where they would be too many."""
    feeder, rows = case.train, case.train.rows
    assert isinstance(rows, Rows)
    counts = codes.bincount()
    most = int(counts.max())
    numbers = sum(value[:1].numel() for value in tensors_of(rows.inputs))
    if most * int((counts > 0).sum()) * max(numbers, 1) > MAX_NUMBERS:
        return None
    draw = torch.Generator().manual_seed(mix(SAMPLE, feeder.seed, most))
    chosen = []
    for label in counts.nonzero()[:, 0].tolist():
        own = (codes == label).nonzero()[:, 0]
        order = own[torch.randperm(len(own), generator=draw)]
        chosen.append(order.repeat(-(-most // len(own)))[:most])
    return feeder.like(rows=read(rows, torch.cat(chosen)), shuffle=True)

"""Batch norms: what few rows per batch cost, and whether the running estimates are those of the data."""

from collections.abc import Iterable
from dataclasses import replace
from itertools import islice

from torch import nn

from thalweg.data.rows import Batch, is_divisible
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.doctor.trials import plain_variant
from thalweg.errors import ThalwegError
from thalweg.measure.batch_noise import LEAST_BATCHES, estimate_noise
from thalweg.measure.norms import batch_norms, describe_norms
from thalweg.parts.normalization import GroupNorm
from thalweg.parts.normalization.recalibration import recalibrate
from thalweg.parts.normalization.replace import replace_normalization
from thalweg.probes.harm import compared, enough
from thalweg.probes.paired import compare
from thalweg.probes.twin import score_of
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import harm as rule_harm
from thalweg.rules.norm.norm01_small_batch import FEW_VALUES, PAIR, fewest
from thalweg.train.clone import clone
from thalweg.train.evaluation import pieces

ROWS = 4  # that show how many values a norm gets
SHARE = 0.5  # of what is left of the check's time
MOST_BATCHES = 256  # that running estimates are measured anew from: a mean to 6 % of a batch's deviation
NOISE_ROWS = 256
LARGER = 32  # rows of a batch that is large enough


def measure_norms(bench: Bench, _known: Readings) -> list[Reading]:
    """Values per channel, momentum and running estimates of the batch norms."""
    few, _ = bench.first(ROWS)
    return [] if isinstance(few, Batch) else describe_norms(bench.network, few, batch_size=bench.batch_size)


def with_group_norm(network: nn.Module) -> nn.Module | None:
    """A clone whose norms take groups of channels of each row; None where none can be replaced."""
    changed = clone(network)
    try:
        replace_normalization(changed, GroupNorm())
    except ThalwegError:
        return None
    return changed


def try_group_norm(bench: Bench, readings: Readings) -> list[Reading]:
    """A paired probe at the training's own batch size, where batch norms have very few values."""
    if not 0 < fewest(readings) <= FEW_VALUES or bench.batch_size < 2:
        return []
    plain, network = plain_variant(bench, bench.head), with_group_norm(bench.network)
    if plain is None or network is None:
        return []
    changed = replace(plain, network=network)
    return compare(
        "group_norm",
        plain,
        changed,
        bench.loss,
        optimizer=bench.optimizer,
        batch=bench.batch_size,
        steps=600,
        seconds=bench.budget.part(SHARE).seconds,
        seed=bench.seed,
    )


def train_with_group_norm(case: Case, readings: Readings) -> list[Reading]:
    """The training once more with group norm, and how noisy the statistics of its batches were."""
    if not 0 < fewest(readings) <= FEW_VALUES or isinstance(case.bench.inputs, Batch):
        return []
    network = with_group_norm(case.start)
    if network is None:
        return []
    plain = case.twin

    found = case.cost("group_norm", replace(plain, network=network))
    shown = rule_harm(Readings(found), "group_norm")
    if fewest(readings) <= PAIR and not (shown and shown.harmed) and len(case.train.rows) >= 2 * LARGER:
        found += case.cost("larger_batch", replace(plain, train=case.train.like(batch_size=LARGER)))
    return [*found, *noise_of(case)]


def noise_of(case: Case) -> Iterable[Reading]:
    """`norm.output_gap`: how far a batch's outputs in training are from those in evaluation, of the trained network."""
    size = case.bench.batch_size
    inputs, target = case.bench.first(NOISE_ROWS)
    if size < 2 or len(target) < LEAST_BATCHES * size or not is_divisible(inputs):
        return []
    found = estimate_noise(clone(case.last).train(), [inputs], sizes=[size])[size]
    return [replace(each, step=case.steps) for each in found.of("norm.output_gap")]


def measure_estimates(case: Case, readings: Readings) -> list[Reading]:
    """The kept network against itself with running estimates that are measured anew on the training rows."""
    tracked = [norm for norm in batch_norms(clone(case.kept).train()).values() if norm.track_running_stats]
    if not tracked or isinstance(case.bench.inputs, Batch):
        return []
    twin = case.twin
    own = score_of(twin, case.kept)
    if own is None or enough(own):
        return []
    batches = min(len(case.train), MOST_BATCHES)
    if not case.budget.affords(batches * case.step_seconds):
        return []
    changed = clone(case.kept).train()
    recalibrate(changed, islice((batch[:1] for batch in pieces(case.train)), batches))
    other = score_of(twin, changed)
    if other is None or len(other.each) != len(own.each):
        return []
    return compared("recalibrated", own, other.each - own.each, other.value, 1.0)

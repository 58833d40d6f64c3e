"""Evaluation mode: whether answers repeat and are those of each row alone, and what it costs where they are not."""

import time
from dataclasses import replace

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Batch
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.measure.modes import Quiet, evaluation_noise, mixing
from thalweg.measure.score import Score
from thalweg.probes.harm import compared, enough
from thalweg.probes.twin import Twin, score_of
from thalweg.readings import Reading, Readings
from thalweg.rules.mode.mode01_evaluation_noise import NOISE
from thalweg.rules.mode.mode02_rows_mixed import MIXED
from thalweg.train.clone import clone

ROWS = 64  # outputs of which differ beyond chance where anything is random
SECONDS = 0.02  # for one pass
PASSES = 4  # whose mean score is that of a single pass
MEAN = 16  # passes whose mean output is the answer without noise


def measure_modes(bench: Bench, _known: Readings) -> list[Reading]:
    """`mode.noise` and, where answers repeat, `mode.mixing`."""
    few, _ = bench.first(bench.affordable(SECONDS, least=4, most=ROWS))
    noise = evaluation_noise(bench.network, few, seed=bench.seed)
    mixed = mixing(bench.network, few, seed=bench.seed) if noise.value <= NOISE else None
    return [noise, *([mixed] if mixed else [])]


def batch_first(network: nn.Module) -> nn.Module | None:
    """A clone whose recurrent and attention layers take rows in dimension 0; None where all do, or there are none."""
    changed = clone(network)
    layers = [m for m in changed.modules() if getattr(m, "batch_first", True) is False]
    for layer in layers:
        layer.batch_first = True  # type: ignore[assignment]
    return changed if layers else None


def rows_first(bench: Bench, readings: Readings) -> list[Reading]:
    """`mode.mixing_batch_first`: mixing once recurrent and attention layers take rows in dimension 0."""
    mixed = readings.value("mode.mixing")
    changed = None if mixed is None or mixed <= MIXED else batch_first(bench.network)
    if changed is None:
        return []
    few, _ = bench.first(bench.affordable(SECONDS, least=4, most=ROWS))
    try:
        found = mixing(changed, few, seed=bench.seed)
    except Exception:  # a state of other rows, say: the layer is meant as it is
        return []
    return [replace(found, name="mode.mixing_batch_first")] if found else []


def train_rows_first(case: Case, readings: Readings) -> list[Reading]:
    """The training once more with recurrent and attention layers that take rows in dimension 0."""
    mixed = readings.value("mode.mixing_batch_first")
    changed = None if mixed is None or mixed > MIXED else batch_first(case.start)
    if changed is None:
        return []
    plain = case.twin
    return case.cost("batch_first", replace(plain, network=changed))


class Quieted(nn.Module):
    """A network whose dropouts are left out."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: object, **named: object) -> object:
        with Quiet():
            return self.network(*args, **named)


class Averaged(nn.Module):
    """The mean output of several passes."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *args: object, **named: object) -> object:
        outputs = [self.network(*args, **named) for _ in range(MEAN)]
        return torch.stack(outputs).mean(0) if isinstance(outputs[0], Tensor) else outputs[0]


def leave_noise_out(case: Case, readings: Readings) -> list[Reading]:
    """The kept network's score in single passes, and with its noise left out."""
    noise = readings.last("mode.noise")
    if noise is None or noise.value <= NOISE or isinstance(case.bench.inputs, Batch):
        return []
    twin = case.twin
    started = time.thread_time()
    singles = [single_pass(twin, case.kept, 0)]
    passes = MEAN if noise.note != "dropout" else PASSES
    if singles[0] is None or not case.budget.affords((PASSES + passes) * (time.thread_time() - started)):
        return []
    singles += [single_pass(twin, case.kept, number) for number in range(1, PASSES)]
    scores = [score for score in singles if score is not None]
    own = replace(scores[0], each=torch.stack([score.each for score in scores]).mean(0))
    quiet = Quieted(case.kept) if noise.note == "dropout" else Averaged(case.kept)
    other = single_pass(twin, quiet, 0)
    if other is None or enough(own):
        return []
    return compared("quiet", own, other.each - own.each, other.value, 1.0)


def single_pass(twin: Twin, network: nn.Module, number: int) -> Score | None:
    """The score under the noise of this number."""
    with global_rng_kept():
        seed_noise(number, 0)
        return score_of(twin, network)

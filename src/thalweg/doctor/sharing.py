"""Modules that share what they should not: norms with one running estimate for several places, a layer repeated."""

from dataclasses import replace

from torch import nn

from thalweg.data.rows import Batch
from thalweg.doctor.bench import Bench
from thalweg.doctor.case import Case
from thalweg.measure.sharing import describe_sharing, repeated
from thalweg.probes.unshared import own_layers, own_norms
from thalweg.readings import Reading, Readings
from thalweg.rules.norm.norm03_shared_norm import APART

ROWS = 256
SECONDS = 0.05  # for one pass


def measure_sharing(bench: Bench, _known: Readings) -> list[Reading]:
    """`norm.apart` and `layer.repeated`."""
    few, _ = bench.first(bench.affordable(SECONDS, least=32, most=ROWS))
    if isinstance(few, Batch):
        return []
    often = any(layer.calls > 1 and "Norm" in layer.kind for layer in bench.layers)
    return describe_sharing(bench.network, few) if often else list(repeated(bench.network))


def try_unshared(case: Case, readings: Readings) -> list[Reading]:
    """The training once more with a norm for each call, and with a layer for each place."""
    norms = {r.place: r.count or 0 for r in readings.of("norm.apart") if r.value > APART}
    layers = readings.places("layer.repeated")
    found: list[Reading] = []
    if norms:
        found += without(case, "own_norms", own_norms(case.start, norms))
    if layers:
        found += without(case, "own_layers", own_layers(case.start, layers))
    return found


def without(case: Case, name: str, network: nn.Module) -> list[Reading]:
    plain = case.twin
    return case.cost(name, replace(plain, network=network))

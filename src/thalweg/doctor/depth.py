"""What is measured of a network's start without training: signal through depth, flat ends, a softmax between layers."""

from thalweg.doctor.bench import Bench
from thalweg.measure.depth import through_depth
from thalweg.measure.hidden_calls import hidden_calls
from thalweg.measure.placement import placement
from thalweg.measure.saturation import saturation
from thalweg.probes.slope import slope_of
from thalweg.readings import Reading, Readings

SECONDS = 0.03  # that the forward pass of a measurement may take
ROWS = 256  # enough for a deviation to 5 %
SOFTMAX = frozenset({"softmax", "log_softmax"})


def look_through_depth(bench: Bench, _known: Readings) -> list[Reading]:
    """Per layer `depth.forward` and `depth.backward`; at place `""` their slopes per layer and what arrives.

    `depth.forward.slope` is that of the natural logarithm over the hidden layers, from first to last,
    `depth.backward.slope` from last to first, each with its 95 % interval.
    """
    inputs, target = bench.first(bench.affordable(SECONDS, least=8, most=ROWS))
    found = through_depth(bench.network, bench.loss, inputs, target)
    for name in ("depth.forward", "depth.backward"):
        hidden = [r.value for r in found if r.name == name][:-1]
        slope = slope_of(hidden if name == "depth.forward" else hidden[::-1])
        if slope.value == slope.value:
            found.append(Reading(f"{name}.slope", slope.value, low=slope.low, high=slope.high, count=len(hidden)))
    return found


def look_at_flat_ends(bench: Bench, _known: Readings) -> list[Reading]:
    """`units.saturated` of the start, per activation."""
    inputs, _ = bench.first(bench.affordable(SECONDS * 3, least=8, most=len(bench.target)))
    return saturation(bench.network, inputs)


def look_for_softmax(bench: Bench, _known: Readings) -> list[Reading]:
    """`softmax.hidden`, the number of softmax calls that feed a weight layer, placed at the first one's module."""
    inputs, _ = bench.first(bench.affordable(SECONDS, least=4, most=16))
    calls = hidden_calls(bench.network, inputs).named(SOFTMAX)
    if not calls:
        return []
    return [Reading("softmax.hidden", len(calls), calls[0].place, note=calls[0].name)]


def look_at_placement(bench: Bench, _known: Readings) -> list[Reading]:
    """`bias.undone` and `dropout.before_norm`, see `measure.placement`."""
    inputs, _ = bench.first(bench.affordable(SECONDS / 2, least=4, most=64))
    return placement(bench.network, inputs)

import math

from thalweg.readings import Reading, Readings
from thalweg.rules.loss.loss01_initial_loss import far_above, judge

KNOWN = [
    Reading("loss.uniform", math.log(10)),
    Reading("loss.constant", 2.29),
    Reading("loss.floor", 0.0),
]


def start(value: float, half: float = 0.1) -> Reading:
    return Reading("loss.initial", value, low=value - half, high=value + half, count=512)


def probe(name: str, plain: float, changed: float, half: float = 0.02) -> list[Reading]:
    values = {"plain": plain, "changed": changed, "difference": changed - plain}
    return [Reading(f"probe.{name}.{k}", v, low=v - half, high=v + half, count=5) for k, v in values.items()]


BROKEN = Readings([start(25.0), *KNOWN, *probe("rescale_weights", 0.1, 0.7)])
HEALTHY = Readings([start(2.6), *KNOWN])


def test_cause_is_the_remedy_that_helped():
    (scaled,) = judge(Readings([start(25.0), *KNOWN, *probe("standardize_inputs", 0.1, 0.7)]))
    assert (scaled.cause, scaled.standing, scaled.counts) == ("input_scale", "verified", True)
    (rescaled,) = judge(BROKEN)
    assert (rescaled.cause, rescaled.standing) == ("init_scale", "verified")


def test_without_harm_it_is_a_suspicion():
    (finding,) = judge(Readings([start(25.0), *KNOWN, *probe("rescale_weights", 0.6, 0.7)]))
    assert finding.standing == "suspicion"
    assert not finding.counts


def test_difference_within_chance_is_no_harm():
    readings = Readings([start(25.0), *KNOWN, *probe("rescale_weights", 0.1, 0.3, half=0.4)])
    assert judge(readings)[0].standing == "suspicion"


def test_far_above_means_by_more_than_all_there_is_to_learn():
    assert not far_above(Readings([start(2 * math.log(10) + 0.05), *KNOWN]))  # the interval reaches the limit
    assert far_above(Readings([start(2 * math.log(10) + 0.15), *KNOWN]))


def test_not_finite_is_an_error_and_names_the_layer():
    flow = [Reading("flow.spread", v, place) for place, v in (("0", 3.0), ("2", 1e7), ("4", math.nan))]
    (finding,) = judge(Readings([Reading("loss.initial", math.nan), *flow]))
    assert (finding.severity, finding.standing, finding.cause, finding.place) == ("error", "proven", "exploding", "4")
    (finding,) = judge(Readings([Reading("loss.initial", math.inf)]))
    assert finding.cause == "non_finite"


def test_a_training_that_made_up_for_its_start_is_a_note():
    values = {"plain": 0.77, "changed": 0.82, "constant": 0.1, "steps": 1.0}
    twin = [Reading(f"twin.rescale.{k}", v, note="accuracy", count=500) for k, v in values.items()]
    twin.append(Reading("twin.rescale.difference", 0.05, low=0.01, high=0.09, count=500))
    (found,) = judge(Readings([start(25.0), *KNOWN, *probe("rescale_weights", 0.1, 0.7), *twin]))
    assert (found.severity, found.counts) == ("note", False)

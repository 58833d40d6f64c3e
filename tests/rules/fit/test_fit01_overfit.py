from thalweg.readings import Reading, Readings
from thalweg.rules.fit.fit01_overfit import judge


def flow(*values: float, note: str = "") -> list[Reading]:
    return [Reading("flow.spread", v, str(2 * i), note=note if v == 0 else "") for i, v in enumerate(values)]


def fit(share: float, trend: float | None = None) -> list[Reading]:
    found = [Reading("overfit.rows", 32), Reading("overfit.share", share)]
    return found + ([] if trend is None else [Reading("overfit.trend", trend)])


HEALTHY = Readings([*fit(0.93), Reading("overfit.steps", 38), *flow(1.0, 0.5, 0.3)])
BROKEN = Readings([*fit(0.23, 0.0005), *flow(0.3, 0.02, 1e-4, 1e-7)])


def test_vanishing_is_named_by_the_differences_that_arrive():
    (finding,) = judge(BROKEN)
    assert (finding.cause, finding.standing, finding.counts) == ("vanishing", "verified", True)
    assert "only 23 % of 32 rows" in finding.title


def test_nothing_learned_gets_the_cause_that_the_start_shows():
    assert judge(Readings([*fit(0.0, 0.0), *flow(1.0, 0.5, 0.0, note="zeros")]))[0].cause == "dead_units"
    wide = Reading("input.ratio", 1e4)
    assert judge(Readings([*fit(-9.0, 0.0), *flow(1.0, 0.5), wide]))[0].cause == "input_scale"
    far = Reading("target.deviation", 1e5)
    assert judge(Readings([*fit(0.01, 0.0), *flow(1.0, 0.5), far]))[0].cause == "target_scale"
    assert judge(Readings([*fit(0.01, 0.0), *flow(1.0, 0.5)]))[0].cause == "underfitting"


def test_a_part_learned_is_no_fault():
    """A small tanh network, a linear model: they learn a part of the rows, and the signal passes."""
    assert judge(Readings([*fit(0.32, 0.05), *flow(3.0, 0.6, 0.2)])) == []
    assert judge(Readings([*fit(0.70, 0.001), *flow(1.0)])) == []


def test_still_falling_is_not_judged_unless_rescaling_helps():
    falling = [*fit(0.3, 0.1), *flow(3.0, 1e-3, 1e-9)]
    assert judge(Readings(falling)) == []
    probe = [
        Reading(f"probe.rescale_weights.{k}", v, low=v - 0.01, high=v + 0.01, count=5)
        for k, v in (("plain", 0.1), ("changed", 0.8), ("difference", 0.7))
    ]
    assert judge(Readings([*falling, *probe]))[0].cause == "vanishing"


def test_weights_that_cannot_learn_come_before_the_inputs():
    frozen = [Reading("parameter.trainable", 10), Reading("parameter.frozen", 3456), Reading("input.ratio", 411.0)]
    readings = Readings([Reading("overfit.share", 0.01), Reading("overfit.trend", 0.0), *frozen])
    assert judge(readings)[0].cause == "parameters_not_trained"

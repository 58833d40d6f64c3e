from thalweg.readings import Reading, Readings
from thalweg.rules.data.data01_input_scale import judge, odd_scales


def inputs(rms: float, ratio: float = 1.0, *more: Reading) -> Readings:
    return Readings([Reading("target.distinct", 2), Reading("input.rms", rms), Reading("input.ratio", ratio), *more])


def probe(plain: float, changed: float, half: float = 0.02) -> list[Reading]:
    values = {"plain": plain, "changed": changed, "difference": changed - plain}
    return [
        Reading(f"probe.standardize_inputs.{k}", v, low=v - half, high=v + half, count=5) for k, v in values.items()
    ]


BROKEN = inputs(1325.0, 1800.0, *probe(-0.4, 0.6))
HEALTHY = inputs(0.45, 3.0)


def test_harm_makes_it_a_verified_warning():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "verified", "input_scale")
    assert finding.remedies[0].changes == {"preprocessing": "standardize"}


def test_an_odd_scale_that_does_no_harm_is_not_mentioned():
    assert judge(inputs(1325.0, 1800.0, *probe(0.55, 0.6))) == []
    assert judge(inputs(1325.0, 1800.0, *probe(0.2, 0.3, half=0.5))) == []


def test_without_a_probe_it_is_a_suspicion():
    (finding,) = judge(inputs(1325.0))
    assert finding.standing == "suspicion"


def test_what_raises_the_question():
    assert not odd_scales(inputs(0.3))  # pixels from 0 to 1
    assert not odd_scales(inputs(0.05, 1.0, Reading("input.binary", 1)))  # one-hot columns
    assert not odd_scales(inputs(111.0, 1.0, Reading("input.effect", 1e-3)))  # a normalization comes first
    assert not odd_scales(Readings([Reading("target.distinct", 2)]))  # indices only
    assert odd_scales(inputs(0.0017))
    assert odd_scales(inputs(1.0, 500.0))

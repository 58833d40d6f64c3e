from thalweg.readings import Reading, Readings
from thalweg.rules.data.data02_target_scale import judge


def target(mean: float, deviation: float, *more: Reading) -> Readings:
    known = [Reading("target.distinct", 2), Reading("target.mean", mean), Reading("target.deviation", deviation)]
    return Readings([*known, *more])


def probe(plain: float, changed: float) -> list[Reading]:
    values = {"plain": plain, "changed": changed, "difference": changed - plain}
    return [Reading(f"probe.scale_target.{k}", v, low=v - 0.02, high=v + 0.02, count=5) for k, v in values.items()]


BROKEN = target(2e5, 1e5, *probe(-1.0, 0.6))
HEALTHY = target(0.3, 1.4)


def test_harm_makes_it_a_verified_warning():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("warning", "verified", "target_scale")
    assert finding.remedies[0].changes == {"target_scaling": "standardize"}


def test_no_harm_no_finding_and_no_probe_a_suspicion():
    assert judge(target(40.0, 36.0, *probe(0.7, 0.8))) == []
    assert judge(target(40.0, 36.0))[0].standing == "suspicion"


def test_classes_pass():
    assert judge(Readings([Reading("target.distinct", 2)])) == []

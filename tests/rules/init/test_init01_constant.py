from thalweg.readings import Reading, Readings
from thalweg.rules.init.init01_constant import judge

TRAINABLE = Reading("parameter.trainable", 1000)


def layers(*distinct: tuple[int, int]) -> Readings:
    return Readings([TRAINABLE, *(Reading("units.distinct", d, str(i), count=n) for i, (d, n) in enumerate(distinct))])


BROKEN = layers((1, 64), (1, 32), (10, 10))
HEALTHY = layers((64, 64), (32, 32), (10, 10))


def test_the_layers_are_named():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "init_constant")
    assert "layer 0, layer 1" in finding.title
    assert any(e.value == "1 / 64" for e in finding.evidence)
    assert any(e.value == "94" for e in finding.evidence)


def test_a_pair_of_twins_in_a_wide_layer_is_no_fault():
    assert judge(layers((63, 64))) == []
    assert judge(layers((33, 64))) == []
    assert judge(layers((32, 64))) != []

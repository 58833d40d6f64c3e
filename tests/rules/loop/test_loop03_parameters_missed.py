import sys
from pathlib import Path

from torch import nn

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop03_parameters_missed import judge
from thalweg.rules.loop.repaired import MISSED

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, mlp, of, sgd, twin

HELD = Reading("loop.held", 2, count=28)


def missed(share: float) -> list[Reading]:
    return [
        Reading("loop.missed", share, "0.weight", count=78, note="0.weight, 0.bias"),
        Reading("loop.missed_share", 0.7, count=2),
    ]


BROKEN = Readings([HELD, *missed(0.6), *twin(0.5, 0.9)])
HEALTHY = Readings([HELD])


def test_missed_parameters_are_an_error_where_the_twin_is_better():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.place) == ("error", "verified", "0.weight")
    assert finding.cause == "parameters_not_trained"


def test_left_out_without_harm_it_is_a_note():
    for rest in (twin(0.85, 0.9), []):
        (finding,) = judge(Readings([HELD, *missed(0.6), *rest]))
        assert (finding.severity, finding.standing, finding.counts) == ("note", "proven", False)


def test_an_optimizer_of_something_else_is_an_error_at_once():
    (finding,) = judge(Readings([Reading("loop.held", 0, count=0), *missed(1.0)]))
    assert (finding.severity, finding.standing, finding.place) == ("error", "proven", "")


def test_a_hundredth_of_the_gradient_is_nothing():
    assert judge(Readings([HELD, *missed(0.99 * MISSED), *twin(0.5, 0.9)])) == []


def test_planted_in_a_loop():
    watch = loop(network=mlp(6), optimizer=lambda m: sgd(m[2]), epochs=20)
    assert alarms(watch) == ["LOOP03"]
    (finding,) = of(watch, "LOOP03")
    assert finding.place == "0.weight"
    assert finding.evidence[2].value == "2"


def test_random_features_that_suffice_are_a_note():
    watch = loop(network=mlp(256), optimizer=lambda m: sgd(m[2]))
    assert alarms(watch) == []
    assert [f.severity for f in of(watch, "LOOP03")] == ["note"]


def frozen(network: nn.Module) -> nn.Module:
    network[0].requires_grad_(False)
    return network


def test_all_parameters_and_frozen_ones_are_silent():
    assert alarms(loop(network=mlp(6), epochs=20)) == []
    assert of(loop(network=frozen(mlp(6)), optimizer=lambda m: sgd(m[2])), "LOOP03") == []

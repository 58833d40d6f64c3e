import sys
from pathlib import Path

from torch import nn

from thalweg.readings import Reading, Readings
from thalweg.rules.loop.loop04_evaluation_mode import judge

sys.path.insert(0, str(Path(__file__).parent))
from planted import alarms, loop, of, twin


def passes(share: float, note: str = "batch norm", count: int = 20) -> Reading:
    return Reading("loop.eval_training", share, count=count, note=note)


WHOLE = Reading("loop.eval_network", 1.0, count=20)


FRESH = Reading("loop.fresh_norms", 1.0)
BROKEN = Readings([passes(1.0), WHOLE, FRESH, *twin(0.4, 0.9)])
HEALTHY = Readings([passes(0.0), Reading("loop.fresh_norms", 0.0)])


def test_norms_that_never_learned_anything_are_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "train_eval_mode")
    assert finding.title.endswith("does nothing")


def test_norms_of_a_pretrained_network_are_a_note_unless_the_twin_is_better():
    fitted = [passes(1.0), Reading("loop.fresh_norms", 0.0)]
    (finding,) = judge(Readings(fitted))
    assert (finding.severity, finding.counts) == ("note", False)
    assert finding.title.endswith("does not learn")
    (finding,) = judge(Readings([*fitted, *twin(0.4, 0.9)]))
    assert (finding.severity, finding.standing) == ("error", "verified")


def test_dropout_alone_is_a_note():
    (finding,) = judge(Readings([passes(1.0, "dropout"), WHOLE]))
    assert not finding.counts
    assert finding.title.endswith("its dropout does nothing")


def test_layers_in_evaluation_mode_inside_of_a_network_that_is_not_need_harm():
    layers = [passes(1.0, "batch norm and dropout"), Reading("loop.eval_network", 0.0, count=20), FRESH]
    (finding,) = judge(Readings(layers))
    assert not finding.counts
    assert finding.title.endswith("its batch norm and dropout do nothing")
    (finding,) = judge(Readings([*layers, *twin(0.4, 0.9)]))
    assert (finding.severity, finding.standing) == ("error", "verified")


def test_a_pass_in_training_mode_is_enough():
    assert judge(Readings([passes(0.95), FRESH])) == []
    assert judge(Readings([passes(1.0, count=1), FRESH])) == []
    assert len(judge(Readings([passes(1.0, count=2), FRESH]))) == 1


def norm() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 4))


def test_planted_in_a_loop():
    watch = loop(network=norm(), training=False, validate="eval")
    assert alarms(watch) == ["LOOP04"]
    assert of(watch, "LOOP04")[0].severity == "error"


def test_modes_in_their_places_are_silent():
    assert alarms(loop(network=norm(), validate="eval")) == []


def test_norms_kept_fixed_on_purpose_are_no_alarm():
    network = norm()
    loop(network=network, epochs=2)
    again = loop(network=network, training=False, epochs=4)
    assert alarms(again) == []
    assert [f.severity for f in of(again, "LOOP04")] == ["note"]

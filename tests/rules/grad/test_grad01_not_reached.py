from thalweg.readings import Reading, Readings
from thalweg.rules.grad.grad01_not_reached import judge

KNOWN = [
    Reading("parameter.trainable", 1000),
    Reading("parameter.frozen", 0),
    Reading("parameter.foreign", 0, count=0),
]
BROKEN = Readings([*KNOWN[:2], Reading("parameter.foreign", 208, count=2, note="kept")])
HEALTHY = Readings(KNOWN)


def test_layers_in_a_list_and_layers_made_anew_get_their_own_advice():
    (kept,) = judge(BROKEN)
    assert (kept.severity, kept.standing, kept.cause) == ("error", "proven", "parameters_not_trained")
    assert "ModuleList" in kept.remedies[0].text
    (anew,) = judge(Readings([*KNOWN[:2], Reading("parameter.foreign", 208, count=2, note="anew")]))
    assert "__init__" in anew.remedies[0].text


def test_detached_weights_that_shape_the_outputs_are_a_warning():
    (finding,) = judge(Readings([*KNOWN, Reading("parameter.detached", 0.06, "a.weight", count=64)]))
    assert (finding.severity, finding.counts, finding.place) == ("warning", True, "a.weight")


def test_weights_on_which_nothing_depends_are_a_note():
    (finding,) = judge(Readings([*KNOWN, Reading("parameter.detached", 0.0, "pooler.weight", count=64)]))
    assert finding.severity == "note"


def test_dead_units_are_not_taken_for_a_cut():
    """A gradient of zero, and nothing moves when the weight is moved: that is a dead unit, another rule's."""
    assert judge(Readings([*KNOWN, Reading("parameter.zero", 0.0, "0.weight", count=64)])) == []
    (flat,) = judge(Readings([*KNOWN, Reading("parameter.zero", 0.3, "0.weight", count=64)]))
    assert "exactly zero" in flat.title


def test_frozen_weights_are_a_note():
    (finding,) = judge(Readings([Reading("parameter.trainable", 85), Reading("parameter.frozen", 2000)]))
    assert (finding.severity, finding.title) == ("note", "2,000 of 2,085 weights are frozen")

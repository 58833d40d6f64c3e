import torch
from torch import nn

from thalweg.doctor.frozen import is_fresh
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


def test_frozen_weights_that_were_never_trained_are_a_warning_where_the_twin_shows_harm():
    frozen = [Reading("parameter.trainable", 50), Reading("parameter.frozen", 280)]
    drawn = Reading("parameter.frozen_drawn", 280, "0.weight", count=4)

    def twin(plain: float, changed: float) -> list[Reading]:
        gain = changed - plain
        return [
            Reading("twin.unfrozen.plain", plain, note="accuracy", count=500),
            Reading("twin.unfrozen.changed", changed, note="accuracy", count=500),
            Reading("twin.unfrozen.difference", gain, low=gain - 0.04, high=gain + 0.04, count=500),
            Reading("twin.unfrozen.constant", 0.1),
            Reading("twin.unfrozen.steps", 1.0),
        ]

    (alarm,) = judge(Readings([*frozen, drawn, *twin(0.3, 0.9)]))
    assert (alarm.severity, alarm.standing, alarm.place) == ("warning", "verified", "0.weight")
    (fact,) = judge(Readings([*frozen, drawn, *twin(0.85, 0.9)]))
    assert fact.severity == "note"


def test_what_torch_drew_is_told_from_what_was_trained():
    for layer in (nn.Linear(64, 32), nn.Conv2d(8, 8, 3)):
        torch.manual_seed(0)
        layer.reset_parameters()
        assert is_fresh(layer, "weight", layer.weight)
        trained = layer.weight + 0.05 * torch.randn_like(layer.weight)
        assert not is_fresh(layer, "weight", trained)

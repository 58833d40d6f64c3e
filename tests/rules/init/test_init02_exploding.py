import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.depth import through_depth
from thalweg.readings import Reading, Readings
from thalweg.rules.init.init02_exploding import judge
from thalweg.rules.signal import growth


def layers(*spreads):
    return [Reading("depth.forward", value, str(place), count=256) for place, value in enumerate(spreads)]


def twin(plain, changed, *, steps=1.0):
    values = {"plain": plain, "changed": changed, "constant": 0.1, "steps": steps}
    found = [Reading(f"twin.rescale.{k}", v, note="accuracy", count=500) for k, v in values.items()]
    change = changed - plain
    return [*found, Reading("twin.rescale.difference", change, low=change - 0.03, high=change + 0.03, count=500)]


BROKEN = Readings([*layers(4.0, 60.0, 900.0, 1e4), *twin(0.4, 0.8)])
HEALTHY = Readings(layers(0.5, 0.7, 0.9, 0.4))


def test_harm_is_a_verified_warning_about_the_scale_of_the_weights():
    (found,) = judge(BROKEN)
    assert (found.severity, found.standing, found.cause) == ("warning", "verified", "init_scale")


def test_without_a_twin_it_is_a_suspicion_and_with_one_that_is_no_better_a_note():
    (found,) = judge(Readings(layers(4.0, 60.0, 900.0, 1e4)))
    assert (found.standing, found.cause) == ("suspicion", "exploding")
    (found,) = judge(Readings([*layers(4.0, 60.0, 900.0, 1e4), *twin(0.77, 0.82)]))
    assert (found.severity, found.counts) == ("note", False)
    (found,) = judge(Readings([*layers(4.0, 60.0, 900.0, 1e4), *twin(0.77, 0.8, steps=0.25)]))
    assert found.standing == "suspicion"  # a quarter of the steps shows no harmlessness


@pytest.mark.parametrize("deviation", [1.0, None])
def test_a_deep_network_of_large_weights_is_found_and_its_healthy_twin_is_not(deviation):
    torch.manual_seed(0)
    network = nn.Sequential(*(m for _ in range(5) for m in (nn.Linear(64, 64), nn.ReLU())), nn.Linear(64, 3))
    if deviation:
        for module in network:
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=deviation)
    readings = Readings(through_depth(network, F.cross_entropy, torch.randn(256, 64), torch.randint(3, (256,))))
    assert bool(judge(readings)) is bool(deviation)
    assert growth(readings) > 100 if deviation else growth(readings) < 2

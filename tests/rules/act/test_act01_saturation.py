import torch
from torch import nn

from thalweg.measure.saturation import saturation
from thalweg.readings import Reading, Readings
from thalweg.rules.act.act01_saturation import judge


def shares(start, end=None, *, count=1024):
    found = [Reading("units.saturated", v, p, count=count, note="Tanh") for p, v in start.items()]
    return found + [
        Reading("units.saturated", v, p, step=500, count=count, note="Tanh") for p, v in (end or {}).items()
    ]


def twin(plain, changed):
    values = {"plain": plain, "changed": changed, "constant": 0.1, "steps": 1.0}
    found = [Reading(f"twin.rescale.{k}", v, note="accuracy", count=500) for k, v in values.items()]
    change = changed - plain
    return [*found, Reading("twin.rescale.difference", change, low=change - 0.03, high=change + 0.03, count=500)]


BROKEN = Readings([*shares({"1": 0.9, "3": 0.6}), *twin(0.3, 0.8)])
HEALTHY = Readings(shares({"1": 0.02, "3": 0.0}, {"1": 0.1, "3": 0.2}))


def test_harm_is_a_verified_warning():
    (found,) = judge(BROKEN)
    assert (found.severity, found.standing, found.cause, found.place) == ("warning", "verified", "saturation", "1")
    assert "initial weights" in found.why


def test_without_harm_it_is_a_note():
    for more in ([], twin(0.78, 0.8)):
        (found,) = judge(Readings([*shares({"1": 0.9}), *more]))
        assert not found.counts


def test_the_origin_is_told():
    (found,) = judge(Readings([*shares({"1": 0.9}), Reading("input.rms", 80.0)]))
    assert "inputs" in found.why
    (found,) = judge(Readings(shares({"1": 0.1}, {"1": 0.7})))
    assert found.step == 500
    assert "updates" in found.why
    assert not found.counts


def test_too_few_rows_say_nothing():
    assert judge(Readings(shares({"1": 0.9}, count=200))) == []
    assert judge(Readings([*shares({"1": 0.9}, count=200), Reading("data.train_rows", 200)]))


def network(gain):
    torch.manual_seed(0)
    found = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1), nn.Sigmoid())
    for module in found:
        if isinstance(module, nn.Linear):
            nn.init.xavier_normal_(module.weight, gain)
    return found


def test_large_weights_saturate_and_xavier_does_not():
    rows = torch.randn(1024, 16)
    (found,) = judge(Readings(saturation(network(8.0), rows)))
    assert found.place in ("1", "3")
    assert "5" not in {r.place for r in saturation(network(8.0), rows)}  # the head
    assert judge(Readings(saturation(network(1.0), rows))) == []


def test_the_share_is_that_of_the_definition():
    found = network(4.0)
    rows = torch.randn(1024, 16)
    z = found[0](rows)
    slope = 1 - z.tanh().square()
    (first, *_) = saturation(found, rows)
    assert abs(first.value - float((slope < 0.01).double().mean())) < 1e-6

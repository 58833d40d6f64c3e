import pytest
import torch
from torch import nn

import thalweg as tw
from thalweg.readings import Reading, Readings
from thalweg.rules.norm.norm01_small_batch import judge


def values(number: float) -> list[Reading]:
    return [Reading("norm.values", number, "1", count=2, note="BatchNorm1d")]


def twin(plain: float, changed: float, half: float = 0.05, name: str = "group_norm") -> list[Reading]:
    gain = changed - plain
    return [
        Reading(f"twin.{name}.plain", plain, note="accuracy", count=500),
        Reading(f"twin.{name}.changed", changed, note="accuracy", count=500),
        Reading(f"twin.{name}.constant", 0.1),
        Reading(f"twin.{name}.difference", gain, low=gain - half, high=gain + half, count=500),
        Reading(f"twin.{name}.steps", 1.0),
        Reading(f"twin.{name}.control", plain),
    ]


BROKEN = Readings([*values(2), *twin(0.11, 0.9)])
HEALTHY = Readings(values(64))


def test_two_values_and_a_twin_that_learns_are_an_error():
    (finding,) = judge(BROKEN)
    assert (finding.severity, finding.standing, finding.cause) == ("error", "proven", "batchnorm_small_batch")
    (finding,) = judge(Readings([*values(4), *twin(0.3, 0.9)]))
    assert finding.standing == "verified"


def test_without_harm_two_values_are_a_note_and_more_are_nothing():
    (finding,) = judge(Readings([*values(2), *twin(0.85, 0.9)]))
    assert finding.severity == "note"
    assert judge(Readings([*values(4), *twin(0.85, 0.9)])) == []


def test_without_a_probe_two_values_are_a_suspicion():
    (finding,) = judge(Readings(values(2)))
    assert finding.standing == "suspicion"
    assert judge(Readings(values(4))) == []


def test_a_difference_within_chance_is_no_harm():
    (finding,) = judge(Readings([*values(2), *twin(0.3, 0.5, half=0.3)]))
    assert not finding.counts


def test_a_larger_batch_is_the_second_witness():
    (finding,) = judge(Readings([*values(2), *twin(0.11, 0.12), *twin(0.11, 0.9, name="larger_batch")]))
    assert finding.counts
    assert any("32 rows" in line.what for line in finding.evidence)


@pytest.mark.slow
@pytest.mark.parametrize(("batch_size", "alarmed"), [(2, True), (32, False)])
def test_planted_in_a_training(tmp_path, batch_size, alarmed):
    from sklearn.datasets import load_digits

    inputs, target = load_digits(return_X_y=True)
    x = torch.tensor(inputs, dtype=torch.float32)
    x = (x - x.mean(0)) / x.std(0).clamp_min(0.1)

    def build() -> nn.Module:
        return nn.Sequential(
            *(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU()),
            *(nn.Linear(64, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10)),
        )

    data = (x[:1200], torch.tensor(target)[:1200])
    held = (x[1200:], torch.tensor(target)[1200:])
    experiment = tw.Experiment(
        build, train=data, validation=held, test=False, loss="cross_entropy", metrics=[], directory=tmp_path
    )
    plan = tw.Plan.plain(
        optimizer=tw.optimizers.SGD(lr=0.05, momentum=0.9), epochs=2, batch_size=batch_size, probes=True, seed=0
    )
    run = experiment.train(plan, listeners=())
    found = [f for f in run.findings if f.code in ("NORM01", "NORM02") and f.counts]
    assert [f.code for f in found] == (["NORM01"] if alarmed else [])

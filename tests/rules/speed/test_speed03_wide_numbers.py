import torch
from torch import nn

from thalweg.measure.speed import wide_numbers
from thalweg.readings import Reading, Readings
from thalweg.rules.speed.speed03_wide_numbers import judge

BROKEN = Readings([Reading("speed.wide", 1.0, "parameters", count=10), Reading("speed.wide", 1.0, "inputs", count=8)])
HEALTHY = Readings([Reading("speed.wide", 0.0, "parameters", count=10), Reading("speed.wide", 0.1, "inputs", count=8)])


def test_both_are_named():
    (found,) = judge(BROKEN)
    assert found.title == "The parameters and inputs are float64"
    assert (found.severity, found.cause, found.standing) == ("note", "slow", "proven")


def test_a_network_of_doubles_is_found_and_one_of_floats_is_not():
    network = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    assert not judge(Readings(wide_numbers(network, torch.randn(3, 4))))
    (found,) = judge(Readings(wide_numbers(network.double(), torch.randn(3, 4))))
    assert found.title == "The parameters are float64"
    assert judge(Readings(wide_numbers(nn.Linear(4, 2), {"a": torch.zeros(3, 4).double(), "b": torch.zeros(3, 1)})))


def test_whole_numbers_and_a_single_wide_buffer_are_none():
    network = nn.Embedding(10, 4)
    assert not judge(Readings(wide_numbers(network, torch.zeros(3, 2).long())))

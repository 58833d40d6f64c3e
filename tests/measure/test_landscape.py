import math

import pytest
import torch
from torch import nn

from thalweg.measure.landscape import landscape
from thalweg.readings import Readings

ROWS = (torch.ones(64, 1), torch.zeros(64))


class Point(nn.Module):
    """Its output is its weights."""

    def __init__(self, *values):
        super().__init__()
        self.at = nn.Parameter(torch.tensor(values, dtype=torch.float64))

    def forward(self, x):
        return self.at.expand(len(x), -1)


def saddle(output, _target):
    """3 u² − v² + v⁴ / 4, lowest at v = ±√2, where it is −1."""
    u, v = output.double().mean(0)
    return 3 * u**2 - v**2 + v**4 / 4


def bowl(output, _target):
    u, v = output.double().mean(0)
    return 3 * u**2 + 0.5 * v**2


def test_a_point_on_the_ridge_of_a_saddle_has_the_values_of_its_formula():
    found = Readings(landscape(Point(0.5, 0.0), Point(1.0, 0.0), saddle, ROWS, ROWS, step=9))
    value = {name: found.value(f"landscape.{name}") for name in ("gradient", "high", "low", "along", "decrease")}
    assert value == pytest.approx({"gradient": 0.5, "high": 6.0, "low": -2.0, "along": 6.0, "decrease": 9 / 12})
    kick = found.last("landscape.kick")
    assert kick.step == 9
    assert 0.9 < kick.value <= 1  # doubling finds √2 to within a third
    assert kick.low > 0


def test_at_the_saddle_itself_there_is_no_gradient_and_a_way_down():
    found = Readings(landscape(Point(0.0, 0.0), Point(1.0, 0.0), saddle, ROWS, ROWS))
    assert (found.value("landscape.gradient"), found.value("landscape.decrease")) == (0.0, 0.0)
    assert found.value("landscape.kick") > 0.9


def test_in_a_bowl_nothing_is_moved():
    found = Readings(landscape(Point(0.5, 1.0), Point(1.0, 1.0), bowl, ROWS, ROWS))
    assert found.value("landscape.low") == pytest.approx(1.0)
    assert "landscape.kick" not in found


def test_where_the_gradient_itself_leads_down_the_lowest_curvature_there_is_no_kick():
    found = Readings(landscape(Point(0.0, 0.3), Point(1.0, 0.0), saddle, ROWS, ROWS))
    assert found.value("landscape.decrease") == math.inf
    assert "landscape.kick" not in found


def test_a_way_down_that_other_rows_do_not_have_is_told_by_its_interval():
    def loss(output, target):
        u, v = output.double().mean(0)
        return 3 * u**2 + target.double().mean() * v**2 * (1 - v**2)

    rows = ROWS[0], -torch.ones(64)
    held = ROWS[0], torch.linspace(-1, 1, 64)[torch.randperm(64, generator=torch.Generator().manual_seed(0))]
    own = Readings(landscape(Point(0.5, 0.0), Point(1.0, 0.0), loss, rows, rows)).last("landscape.kick")
    other = Readings(landscape(Point(0.5, 0.0), Point(1.0, 0.0), loss, rows, held)).last("landscape.kick")
    assert own.low > 0
    assert other.low < 0


def test_weights_are_left_as_they_are_and_lost_numbers_are_not_read():
    network, start = Point(0.5, 0.0), Point(1.0, 0.0)
    landscape(network, start, saddle, ROWS, ROWS)
    assert network.at.tolist() == [0.5, 0.0]
    assert network.at.grad is None
    assert landscape(Point(math.nan, 0.0), start, saddle, ROWS, ROWS) == []
    assert landscape(network, Point(math.nan, 0.0), saddle, ROWS, ROWS) == []

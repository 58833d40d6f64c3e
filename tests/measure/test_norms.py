import torch
from torch import nn

from thalweg.measure.norms import describe_norms


def test_places_count_as_values():
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(144, 8), nn.BatchNorm1d(8, momentum=None)
    )
    found = {(r.name, r.place): r.value for r in describe_norms(network, torch.zeros(3, 1, 8, 8), batch_size=2)}
    assert found["norm.values", "1"] == 2 * 36
    assert found["norm.values", "4"] == 2
    assert found["norm.momentum", "1"] == 0.1
    assert found["norm.momentum", "4"] != found["norm.momentum", "4"]  # NaN: a plain average
    assert int(network[1].num_batches_tracked) == 0


def test_norms_that_stay_in_evaluation_mode_and_norms_without_estimates():
    class Frozen(nn.BatchNorm1d):
        def train(self, mode: bool = True):
            return super().train(False)

    assert describe_norms(nn.Sequential(Frozen(4)), torch.zeros(2, 4), batch_size=8) == []
    found = describe_norms(nn.Sequential(nn.BatchNorm1d(4, track_running_stats=False)), torch.zeros(2, 4), batch_size=8)
    assert {r.name: r.value for r in found}["norm.tracked"] == 0

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from thalweg.measure.representation import untouched_rows
from thalweg.readings import Reading, Readings
from thalweg.rules.arch.arch05_unused_embeddings import judge

BROKEN = Readings([Reading("embedding.unused", 40, "0", 100, count=100)])
HEALTHY = Readings([Reading("embedding.unused", 0, "0", 100, count=100)])


def test_it_is_a_note():
    (found,) = judge(BROKEN)
    assert (found.severity, found.standing, found.counts) == ("note", "proven", False)


@pytest.mark.parametrize("used", [10, 20])
def test_rows_that_no_index_names_stay_as_they_were(used):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(20, 4, padding_idx=0), nn.Flatten(), nn.Linear(12, 2))
    start = copy.deepcopy(network)
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(20):
        indices = torch.randint(used, (64, 3))
        F.cross_entropy(network(indices), indices[:, 0] % 2).backward()
        optimizer.step()
        optimizer.zero_grad()
    found = untouched_rows(start, network, step=20)
    assert [r.value for r in found] == ([] if used == 20 else [10])
    assert len(judge(Readings(found))) == (used == 10)


def test_an_embedding_that_was_not_trained_at_all_is_told_elsewhere():
    network = nn.Embedding(20, 4)
    assert untouched_rows(network, copy.deepcopy(network), step=3) == []

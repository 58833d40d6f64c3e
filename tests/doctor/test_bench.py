import time

import torch
from torch import nn
from torch.utils.data import Dataset

from thalweg.data.rows import DatasetRows, Rows
from thalweg.data.task import Task
from thalweg.doctor.bench import MAX_ROWS, bench


def prepared(network, rows, **options):
    task = Task("binary", (0, 1), 2)
    return bench(
        network,
        nn.functional.cross_entropy,
        task=task,
        rows=rows,
        transform=options.get("transform"),
        target_transform=None,
        seed=options.get("seed", 0),
        device="cpu",
    )


def rows(count):
    x = torch.arange(4.0 * count).reshape(count, 4)
    return Rows(x, torch.arange(count) % 2, torch.arange(count), "train")


def test_the_sample_is_drawn_at_random_once_each():
    found = prepared(nn.Linear(4, 2), rows(5000))
    assert len(found.target) == MAX_ROWS
    assert len(torch.unique(found.inputs[:, 0])) == MAX_ROWS
    assert float(found.inputs[:, 0].max()) > 4 * 4500
    other = prepared(nn.Linear(4, 2), rows(5000), seed=1)
    assert not torch.equal(found.inputs, other.inputs)
    assert found.num_classes == 2


def test_few_rows_are_all_taken_and_transformed():
    found = prepared(nn.Linear(4, 2), rows(6), transform=lambda v: v / 10)
    assert sorted(found.inputs[:, 0].tolist()) == [0.0, 0.4, 0.8, 1.2, 1.6, 2.0] or len(found.target) == 6
    assert float(found.inputs.max()) <= 2.4


class Slow(nn.Module):
    """As dear as a large network: it computes for ten milliseconds per row."""

    def __init__(self) -> None:
        super().__init__()
        self.last = nn.Linear(4, 2)

    def forward(self, x):
        until = time.thread_time() + 0.01 * len(x)
        while time.thread_time() < until:
            pass
        return self.last(x)


def test_a_slow_network_gets_fewer_rows():
    found = prepared(Slow(), rows(5000))
    assert 8 <= len(found.target) <= 60
    assert found.affordable(0.1, least=4, most=64) <= 12


class Sleepy(Dataset):
    def __len__(self) -> int:
        return 5000

    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.ones(4) * index, index % 2


def test_a_slow_dataset_gives_fewer_rows():
    dataset = Sleepy()
    found = prepared(nn.Linear(4, 2), DatasetRows(dataset, torch.arange(5000) % 2, torch.arange(5000), "train"))
    assert 8 <= len(found.target) <= 110

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

import thalweg as tw
from thalweg.data.feeder import Feeder
from thalweg.data.prepare import prepare
from thalweg.doctor.data import describe_data
from thalweg.readings import Reading, Readings
from thalweg.rules.data.data13_repeated_noise import judge

BROKEN = Readings([Reading("noise.repeated", 1.0, "rng", count=2)])
HEALTHY = Readings([Reading("noise.repeated", 0.0, "rng", count=2)])
X = torch.zeros(64, 2)
Y = torch.arange(64) % 2


class Jitter:
    """A transform with a generator of its own."""

    def __init__(self) -> None:
        self.rng = np.random.default_rng(0)

    def __call__(self, x):
        return x + torch.from_numpy(self.rng.normal(size=2)).float()


class Noisy(Dataset):
    """Rows of zeros with noise from `source`; `numpy`, `python` and `torch` are the global generators."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.transforms = [Jitter()] if source == "transform" else []
        self.rng = {"own": np.random.default_rng(0), "generator": torch.Generator().manual_seed(0)}.get(source)

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, row: int):
        x = X[row]
        if self.source == "own":
            x = x + torch.from_numpy(self.rng.normal(size=2)).float()
        elif self.source == "generator":
            x = x + torch.randn(2, generator=self.rng)
        elif self.source == "numpy":
            x = x + torch.from_numpy(np.random.normal(size=2)).float()
        elif self.source == "python":
            x = x + random.gauss(0, 1)
        elif self.source == "torch":
            x = x + torch.randn(2)
        for transform in self.transforms:
            x = transform(x)
        return x, int(Y[row])


def prepared(train, tmp_path):
    held = (torch.randn(64, 2), Y)
    return prepare(train, validation=held, test=False, loss_name="cross_entropy", directory=tmp_path)


def found_in(train, tmp_path, workers: int):
    readings = Readings(describe_data(prepared(train, tmp_path), batch_size=16, workers=workers))
    return judge(readings) if "noise.repeated" in readings else []


@pytest.mark.parametrize(
    ("source", "place"), [("own", "rng"), ("generator", "rng"), ("transform", "transforms[0].rng")]
)
def test_a_generator_of_its_own_is_suspected_where_processes_read(source, place, tmp_path):
    (doubt,) = found_in(Noisy(source), tmp_path, 2)
    assert doubt.standing == "suspicion"
    assert place in doubt.title
    assert found_in(Noisy(source), tmp_path, 0) == []
    assert found_in(DataLoader(Noisy(source), batch_size=16, num_workers=2), tmp_path, 0)


@pytest.mark.parametrize("source", ["numpy", "python", "torch", "none"])
def test_global_generators_pass(source, tmp_path):
    assert found_in(Noisy(source), tmp_path, 2) == []


def seed_process(worker: int) -> None:
    torch.utils.data.get_worker_info().dataset.rng = np.random.default_rng(worker)


def test_a_worker_init_fn_may_seed_it(tmp_path):
    loader = DataLoader(Noisy("own"), batch_size=16, num_workers=2, worker_init_fn=seed_process)
    assert found_in(loader, tmp_path, 0) == []


def test_the_datasets_own_generator_does_not_move(tmp_path):
    dataset = Noisy("own")
    data = prepared(dataset, tmp_path)
    before = dataset.rng.bit_generator.state["state"]["state"]
    describe_data(data, batch_size=16, workers=2)
    assert dataset.rng.bit_generator.state["state"]["state"] == before


@pytest.mark.parametrize("source", ["numpy", "python", "torch"])
def test_noise_of_the_global_generators_differs_between_processes_and_epochs(source, tmp_path):
    """Read by two processes, no two of 64 equal rows get the same noise, nor does a row in two epochs."""
    rows = prepared(Noisy(source), tmp_path).train
    feeder = Feeder(rows, batch_size=8, seed=0, workers=2)
    epochs = [torch.cat([inputs for inputs, *_ in feeder.epoch(k)])[:, 0] for k in (0, 1)]
    assert len(torch.cat(epochs).unique()) == 2 * len(rows)


def test_the_check_tells_it(tmp_path):
    experiment = tw.Experiment(
        nn.Linear(2, 2), train=Noisy("own"), validation=(X, Y), test=False, loss="cross_entropy", directory=tmp_path
    )
    plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=1, batch_size=16).replace(workers=2)
    assert "DATA13" in {f.code for f in experiment.check(plan).findings}

"""What many tests share: real data that scikit-learn ships, and a folder for runs."""

import os
import signal
from pathlib import Path

import pytest
import torch
from hypothesis import settings
from sklearn import datasets
from torch import Tensor

from thalweg.doctor import examinations

torch.set_num_threads(1)
examinations.STRICT = True  # what breaks within the doctor fails the test
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell starts what runs in its background so
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("ci", derandomize=True)  # the same examples each time; `make test` by hand draws new ones
if os.environ.get("CI"):
    settings.load_profile("ci")


@pytest.fixture(autouse=True)
def same_start() -> None:
    """A network that a test makes without a seed is the same whatever ran before it in this process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def digits() -> tuple[Tensor, Tensor]:
    """1,797 images of 8 x 8 as rows of 64 values 0..16, and their digits."""
    bunch = datasets.load_digits()
    return torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target)


@pytest.fixture(scope="session")
def breast_cancer() -> tuple[Tensor, Tensor]:
    """569 rows of 30 columns of very different units, and 0 or 1."""
    bunch = datasets.load_breast_cancer()
    return torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target)


@pytest.fixture(scope="session")
def diabetes() -> tuple[Tensor, Tensor]:
    """442 rows of 10 columns, and a target from 25 to 346."""
    bunch = datasets.load_diabetes()
    return torch.tensor(bunch.data, dtype=torch.float32), torch.tensor(bunch.target, dtype=torch.float32)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"

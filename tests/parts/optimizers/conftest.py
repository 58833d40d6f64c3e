"""Gradients of a real training, recorded once, that every optimizer is run on."""

from dataclasses import dataclass

import pytest
import torch
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from torch import Tensor, nn

from thalweg.parts.optimizers import Muon


@dataclass(frozen=True)
class Recording:
    """`start`: the parameters; `gradients`: one list of tensors per step, in the order of the parameters; float64."""

    start: list[Tensor]
    gradients: list[list[Tensor]]


@pytest.fixture
def recording(request, whole_recording) -> Recording:
    """The recording as the test's optimizer takes it: Muon has the matrices, and their transposes."""
    if not isinstance(
        getattr(request.node, "callspec", request.node).__dict__.get("params", {}).get("optimizer"), Muon
    ):
        return whole_recording

    def matrices(tensors: list[Tensor]) -> list[Tensor]:
        wide = [tensor for tensor in tensors if tensor.dim() == 2]
        return wide + [tensor.t().contiguous() for tensor in wide]

    return Recording(matrices(whole_recording.start), [matrices(step) for step in whole_recording.gradients])


@pytest.fixture(scope="session")
def whole_recording() -> Recording:
    """1,000 steps of SGD on digits, all of them replayed to every optimizer.

    Whitened inputs, because the constant pixels of digits have a gradient of 0, and an L2 penalty divided by its own
    root mean square is a coin toss in the last digit: no two roundings of it agree, torch's own included.
    """
    pixels, labels = load_digits(return_X_y=True)
    x, y = torch.tensor(PCA(24, whiten=True, random_state=0).fit_transform(pixels)), torch.tensor(labels)
    generator = torch.Generator().manual_seed(0)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(24, 16), nn.Tanh(), nn.Linear(16, 10)).double()
    start = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    gradients = []
    for _ in range(1000):
        rows = torch.randint(len(x), (32,), generator=generator)
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
        optimizer.step()
    return Recording(start, gradients)

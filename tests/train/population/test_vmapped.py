"""The second choice: `torch.func.vmap` of the whole network."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch
from thalweg.train.population.fidelity import agrees, disagreement
from thalweg.train.population.forward import batched, stacked
from thalweg.train.population.tape import NotBatched
from thalweg.train.population.vmapped import vmapped

EXACT = 1e-12


def x(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


NETWORKS: dict[str, tuple[nn.Module, Any]] = {
    "linear": (nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5), nn.Linear(3, 2)), x(5, 4)),
    "batch norm": (nn.Sequential(nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), nn.ReLU(inplace=True)), x(5, 2, 5, 5)),
    "attention": (nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True), x(3, 4, 8)),
}


@pytest.mark.parametrize("own", [False, True], ids=["shared", "own"])
@pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
@pytest.mark.parametrize("name", NETWORKS)
def test_members_compute_what_separate_networks_do(name: str, training: bool, own: bool) -> None:
    network, inputs = NETWORKS[name]
    assert disagreement(network, inputs, training=training, own=own, make=vmapped) <= EXACT


class Reading(nn.Module):
    """Reads a buffer's value, which vmap cannot, or a module's own list, which it need not know."""

    def __init__(self, *, own: bool) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.register_buffer("scale", torch.tensor(2.0))
        self.own = own

    def forward(self, x: Tensor) -> dict[str, Any]:
        factor = 2.0 if self.own else float(self.scale)
        return {"logits": self.layer(x) * factor, "size": len(x)}


def test_outputs_of_any_form() -> None:
    network = Reading(own=True)
    for make in (batched, vmapped):
        found = make(network, x(5, 4), training=True)(*stacked(network, 2), x(5, 4))
        assert found["logits"].shape == (2, 5, 3)
        assert found["size"] == 5


def test_values_cannot_be_read() -> None:
    for make in (batched, vmapped):
        with pytest.raises(NotBatched):
            make(Reading(own=False), x(5, 4), training=True)


def test_a_step_of_the_users_own() -> None:
    def step(model: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        output = model(batch["x"])
        return nn.functional.mse_loss(output, batch["y"]), output, batch["y"]

    network = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))
    inputs = Batch({"x": x(6, 4), "y": x(6, 1)}, step)
    for make in (batched, vmapped):
        for own in (False, True):
            assert agrees(network, inputs, training=True, make=make, own=own)
    found = batched(network, inputs, training=True)(*stacked(network, 3), inputs)
    assert found.loss.shape == (3,)
    assert found.output.shape == (3, 6, 1)


def test_random_numbers_that_are_no_dropout_are_refused() -> None:
    class Noisy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.randn_like(x)

    with pytest.raises(NotBatched, match="draws random numbers"):
        vmapped(Noisy(), x(5, 4), training=True)

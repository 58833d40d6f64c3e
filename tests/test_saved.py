"""A run's model, opened again and exported: compiled modules, layouts."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from thalweg.experiment import Experiment
from thalweg.parts.activations import GELU
from thalweg.parts.optimizers import SGD
from thalweg.plan import Plan
from thalweg.run import Run


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)
    )


def images() -> tuple[Tensor, Tensor]:
    return torch.randn(120, 1, 8, 8, generator=torch.Generator().manual_seed(0)), torch.arange(120) % 3


def plan(**changes: object) -> Plan:
    return Plan.plain(optimizer=SGD(lr=0.1), epochs=1, batch_size=32).replace(**changes)


@pytest.mark.parametrize("compiled_by_builder", [False, True])
def test_of_a_compiled_module_the_module_is_trained(tmp_path: Path, compiled_by_builder: bool) -> None:
    """Hooks cannot see into a compiled one, and torch fails on those that thalweg measures with."""

    def build() -> nn.Module:
        return torch.compile(convolutional(), backend="eager")  # type: ignore[return-value]

    model = build if compiled_by_builder else build()
    own = Experiment(model, train=images(), loss="cross_entropy", directory=tmp_path)
    run = own.train(plan(activation=GELU()), listeners=())
    assert isinstance(run.network[2], nn.GELU)  # type: ignore[index]
    x = images()[0]
    assert torch.equal(own.open(run.name).model(x), run.model(x))
    assert torch.equal(Run.open(run.directory, network=build()).model(x), run.model(x))


def test_an_export_lies_contiguous(tmp_path: Path) -> None:
    """torch.export.save warns of weights in another layout, and warnings are errors here."""
    own = Experiment(convolutional, train=images(), loss="cross_entropy", directory=tmp_path)
    run = own.train(plan(memory_format="channels_last"), listeners=())
    x = images()[0]
    exported = torch.export.load(run.export(tmp_path / "model.pt2")).module()
    torch.testing.assert_close(exported(x), run.model(x))
    assert run.network[3].weight.is_contiguous(memory_format=torch.channels_last)  # type: ignore[index, union-attr]

"""The layout of images: the same training, quicker; a network that cannot change it stays as it is."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.train.clipping import Clipping
from thalweg.train.layout import channels_last, choose_layout, has_images, use_layout
from thalweg.train.step import Step


class Cnn(nn.Module):
    def __init__(self, *, view: bool = False) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(3, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.second, self.head = nn.Conv2d(16, 16, 3, padding=1, groups=4), nn.Linear(16 * 16, 10)
        self.view = view

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(self.second(torch.relu(self.norm(self.first(x)))), 2)
        return self.head(x.view(len(x), -1) if self.view else x.flatten(1))


def batch(dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(32, 3, 8, 8, generator=generator, dtype=dtype)
    return x, torch.randint(0, 10, (32,), generator=generator)


@pytest.mark.parametrize("part", [tw.optimizers.SGD(lr=0.1, momentum=0.9), tw.optimizers.AdamW(lr=0.01)], ids=str)
def test_both_layouts_train_to_the_same_weights(part: tw.optimizers.Optimizer) -> None:
    torch.manual_seed(0)
    plain = Cnn().double()
    other = Cnn().double()
    other.load_state_dict(plain.state_dict())
    use_layout(other, torch.channels_last)
    x, y = batch(torch.float64)
    steps = (
        Step(plain, F.cross_entropy, part, clipping=Clipping(norm=1.0)),
        Step(other, F.cross_entropy, part, clipping=Clipping(norm=1.0)),
    )
    for k in range(20):
        steps[0]([(x, y)], step=k, rate=float(part.lr))
        steps[1]([(channels_last(x), y)], step=k, rate=float(part.lr))  # type: ignore[arg-type]
    assert other.first.weight.is_contiguous(memory_format=torch.channels_last)
    for a, b in zip(plain.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-8, atol=1e-10)


def test_the_choice_is_timed_and_changes_nothing() -> None:
    network = Cnn()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    layout, reason = choose_layout(network, F.cross_entropy, *batch())
    assert layout in ("contiguous", "channels_last")
    assert "measured" in reason
    assert torch.equal(state, torch.get_rng_state())
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])
    assert network.first.weight.is_contiguous()


def test_a_network_that_needs_its_layout_keeps_it() -> None:
    layout, reason = choose_layout(Cnn(view=True), F.cross_entropy, *batch())
    assert layout == "contiguous"
    assert "view" in reason


def test_only_images_matter() -> None:
    assert has_images(Cnn(), batch()[0])
    assert not has_images(nn.Linear(3, 3), torch.zeros(2, 3))
    assert not has_images(nn.Sequential(nn.Conv1d(3, 3, 3)), torch.zeros(2, 3, 9))


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_observers_leave_a_training_of_images_bit_identical(layout: str, runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(300, 3, 8, 8, generator=generator), torch.arange(300) % 10
    experiment = tw.Experiment(Cnn, train=data, loss="cross_entropy", directory=runs)
    plan = tw.Plan(optimizer=tw.optimizers.AdamW(lr=0.01), epochs=2, batch_size=64, memory_format=layout)
    watched = experiment.train(plan.replace(monitoring=1.0), listeners=())
    bare = experiment.train(plan.replace(monitoring=0.0, probes=False), listeners=())
    assert watched.plan.memory_format == layout
    for a, b in zip(watched.network.state_dict().values(), bare.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    reopened = experiment.open(watched.name)
    torch.testing.assert_close(reopened.model(data[0][:5]), watched.model(data[0][:5]))

"""Gradient checkpointing: the same numbers to the bit, fewer activations kept, nothing left behind."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import ModelError
from thalweg.store import Store, Writer
from thalweg.train.monitor import Monitor
from thalweg.train.recompute import blocks_of, recomputing
from thalweg.train.step import Step

torch.set_num_threads(1)


class Block(nn.Module):
    def __init__(self, norm: nn.Module) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.Conv2d(8, 8, 3, padding=1)
        self.norm, self.drop = norm, nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.second(torch.relu(self.norm(self.first(x)))))


def resnet(norm: type[nn.Module] = nn.BatchNorm2d, **options: object) -> nn.Module:
    blocks = nn.Sequential(*(Block(norm(8, **options)) for _ in range(3)))
    return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


def forgetful() -> nn.Module:
    """Batch norms of an equal average (momentum None), whose share depends on the count of batches."""
    return resnet(nn.BatchNorm2d, momentum=None)


def instance_norms() -> nn.Module:
    return resnet(nn.InstanceNorm2d, affine=True, track_running_stats=True)


def spectral() -> nn.Module:
    """Power iteration moves a buffer in each forward pass, and the weights depend on it."""
    network = resnet()
    for block in network[1]:  # type: ignore[union-attr]
        nn.utils.parametrizations.spectral_norm(block.first)
    return network


class Frozen(nn.Module):
    """Pretrained norms that stay in evaluation mode, whatever the mode of the rest."""

    def __init__(self) -> None:
        super().__init__()
        self.body = resnet()
        for module in self.body.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2)
                module.requires_grad_(False)
        self.train()

    def train(self, mode: bool = True) -> "Frozen":
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.training = False
        return self

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.2, batch_first=True)
        self.embed, self.head = nn.Linear(3 * 6, 16), nn.Linear(16, 4)
        self.encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.encoder(self.embed(x.transpose(1, 2).flatten(2))).mean(1))


class Rebinding(nn.Module):
    """Puts a new tensor in its buffer's place, and is called twice in a pass."""

    def __init__(self) -> None:
        super().__init__()
        self.layer, self.drop = nn.Sequential(nn.Linear(8, 8)), nn.Dropout(0.1)
        self.register_buffer("scale", torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        self.scale = 0.9 * self.scale + 0.1 * x.detach().std()
        return x + self.drop(self.layer(x).tanh() / self.scale)


class Shared(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        again = Rebinding()
        self.one, self.two = nn.ModuleList([Rebinding(), again]), nn.ModuleList([again, Rebinding()])
        self.first, self.head = nn.Linear(3 * 36, 8), nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x.flatten(1))
        for block in [*self.one, *self.two]:
            x = block(x)
        return self.head(x)


NETWORKS = [resnet, forgetful, instance_norms, spectral, Frozen, Transformer, Shared]


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    generator = torch.Generator().manual_seed(1)
    return [
        (torch.randn(8, 3, 6, 6, generator=generator), torch.randint(0, 4, (8,), generator=generator))
        for _ in range(count)
    ]


def built(make: object, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return make()  # type: ignore[operator,no-any-return]


def trained(make: object, *, again: bool, **options: object) -> tuple[list[Tensor], nn.Module]:
    network = built(make)
    part = tw.optimizers.AdamW(lr=0.01)
    step = Step(network, F.cross_entropy, part, gradient_checkpointing=again, seed=3, **options)  # type: ignore[arg-type]
    return [step([batch], step=k, rate=0.01) for k, batch in enumerate(batches(6))], network


@pytest.mark.parametrize("make", NETWORKS, ids=lambda make: make.__name__)
def test_the_numbers_are_those_without_it_to_the_bit(make: object) -> None:
    plain_losses, plain = trained(make, again=False)
    losses, network = trained(make, again=True)
    assert torch.equal(torch.stack(plain_losses), torch.stack(losses))
    assert plain.state_dict().keys() == network.state_dict().keys()
    for (name, a), b in zip(plain.state_dict().items(), network.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_under_half_precision_too() -> None:
    plain_losses, plain = trained(resnet, again=False, precision="bf16")
    losses, network = trained(resnet, again=True, precision="bf16")
    full, _ = trained(resnet, again=False)
    assert torch.equal(torch.stack(plain_losses), torch.stack(losses))
    assert not torch.equal(torch.stack(full), torch.stack(losses))
    for a, b in zip(plain.state_dict().values(), network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def kept_bytes(network: nn.Module, *, again: bool) -> int:
    """What one forward pass keeps for the backward pass, without the parameters, each storage once."""
    parameters = {p.untyped_storage().data_ptr() for p in network.parameters()}
    kept: dict[int, tuple[int, Tensor]] = {}

    def pack(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes(), value
        return value

    blocks = blocks_of(network) if again else []
    x, y = batches(1)[0]
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda value: value), recomputing(blocks):
        loss = F.cross_entropy(network(x), y)
    total = sum(size for size, _ in kept.values())
    loss.backward()
    return total


@pytest.mark.parametrize("make", [resnet, Transformer], ids=lambda make: make.__name__)
def test_fewer_activations_are_kept(make: object) -> None:
    network = built(make)
    assert kept_bytes(network, again=True) < 0.5 * kept_bytes(network, again=False)


def test_the_module_is_as_it_was_afterwards() -> None:
    network = built(resnet)
    block = network[1][0]  # type: ignore[index]

    def own(x: Tensor) -> Tensor:
        return x

    block.forward = own  # as some libraries wrap it
    with recomputing(blocks_of(network)):
        assert block.forward is not own
    assert block.forward is own
    del block.forward
    step = Step(network, F.cross_entropy, tw.optimizers.SGD(lr=0.1), gradient_checkpointing=True)
    step([batches(1)[0]], step=0, rate=0.1)
    assert not any("forward" in module.__dict__ for module in network.modules())
    other = copy.deepcopy(network).eval()
    x, _ = batches(1)[0]
    torch.testing.assert_close(other(x), network.eval()(x))

    def broken(output: Tensor, target: Tensor) -> Tensor:
        raise ArithmeticError("a loss of one's own")

    step.loss = broken
    with pytest.raises(ArithmeticError):
        step([batches(1)[0]], step=0, rate=0.1)
    assert not any("forward" in module.__dict__ for module in network.modules())


def test_blocks_are_the_innermost_repeated_modules_of_several() -> None:
    network = nn.Sequential(nn.Linear(2, 2), nn.ModuleList([resnet(), resnet()]), nn.ReLU())
    assert [type(block) for block in blocks_of(network)] == [Block] * 6
    assert len(blocks_of(built(Transformer))) == 3
    assert len(blocks_of(built(Shared))) == 3  # the shared one once


@pytest.mark.parametrize(
    "network", [nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), nn.LSTM(3, 3)], ids=["mlp", "lstm"]
)
def test_a_network_without_blocks_is_refused(network: nn.Module) -> None:
    with pytest.raises(ModelError, match=r"found 0 blocks.*nn\.ModuleList.*or set it to False"):
        Step(network, F.cross_entropy, tw.optimizers.SGD(lr=0.1), gradient_checkpointing=True)


def test_a_watched_step_reads_what_it_reads_without(tmp_path: Path) -> None:
    def readings(again: bool) -> dict[tuple[str, str], float]:
        store = Store(tmp_path / f"{again}.sqlite", create=True)
        network = built(resnet)
        step = Step(network, F.cross_entropy, tw.optimizers.SGD(lr=0.1), gradient_checkpointing=again)
        writer = Writer(store)
        monitor = Monitor(step, writer, share=1.0)
        for k, batch in enumerate(batches(2)):
            monitor.step([batch], step=k, rate=0.1)
        writer.flush()
        return {(r.name, r.place, r.step): (r.value, r.count) for r in store.readings()}

    assert readings(True) == readings(False)
    assert any(name == "activation.gradient" and place == "1.1.norm" for name, place, _ in readings(False))


def test_a_whole_training_with_it_is_the_training_without(runs: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    data = torch.randn(150, 3, 6, 6, generator=generator), torch.randint(0, 4, (150,), generator=generator)
    experiment = tw.Experiment(resnet, train=data, loss="cross_entropy", directory=runs)
    plan = tw.Plan(
        optimizer=tw.optimizers.AdamW(lr=0.01), epochs=2, batch_size=16, probes=False, memory_format="contiguous"
    )
    plain = experiment.train(plan, listeners=())
    again = experiment.train(plan.replace(gradient_checkpointing=True), listeners=())
    assert plain.history["validation.loss"] == again.history["validation.loss"]
    for a, b in zip(plain.network.state_dict().values(), again.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    with pytest.raises(ModelError, match="found 0 blocks"):
        tw.Experiment(
            lambda: nn.Sequential(nn.Flatten(), nn.Linear(108, 4)), train=data, loss="cross_entropy", directory=runs
        ).train(plan.replace(gradient_checkpointing=True), listeners=())

"""A population computes what its members would compute by themselves: float64, 100 steps, dropout on.

The reference is torch's own loop: `nn.Module`, `torch.optim`, `backward`, one network after the other, with nothing of
ours but the numbers that dropout draws.
"""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import ModelError, UsageError
from thalweg.train.losses import NAMED
from thalweg.train.population.dropping import CounterDropout
from thalweg.train.population.forward import batched
from thalweg.train.population.members import Member
from thalweg.train.population.population import Population

torch.set_num_threads(1)
Batch = tuple[Any, Tensor]
STEPS, ROWS, MEMBERS = 100, 12, 3
TOLERANCE = 1e-12
CROSS_ENTROPY = NAMED["cross_entropy"]


class Residual(nn.Module):
    """Batch norm with buffers, a shortcut, channel dropout."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.second, self.again = nn.Conv2d(4, 4, 3, padding=1, bias=False, groups=2), nn.BatchNorm2d(4)
        self.drop, self.head = nn.Dropout2d(p), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        h = torch.relu(self.norm(self.first(x)))
        h = torch.relu(h + self.again(self.second(self.drop(h))))
        return self.head(h.mean((2, 3)))


class Attention(nn.Module):
    """An embedding, positions, a transformer's layer with dropout inside attention, a tied head."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.embed, self.place = nn.Embedding(11, 8), nn.Parameter(torch.randn(5, 8) / 10)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=p, batch_first=True)
        self.head = nn.Linear(8, 11)
        self.head.weight = self.embed.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x) + self.place).mean(1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase], p: float, bidirectional: bool = False) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.layer = kind(6, 5, num_layers=2, batch_first=True, dropout=p, bidirectional=bidirectional)
        self.head = nn.Linear(10 if bidirectional else 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.embed(x))[0][:, -1])


class Spare(nn.Module):
    """A layer that is not used, and one that is frozen."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.spare, self.fixed, self.inner = nn.Linear(2, 2), nn.Linear(6, 6).requires_grad_(False), inner
        self.double()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.fixed(x))


def mlp(p: float) -> nn.Module:
    layers = [nn.Linear(6, 8), nn.Tanh(), nn.Dropout(p), nn.Linear(8, 8), nn.ReLU(), nn.Dropout(p / 2), nn.Linear(8, 3)]
    return nn.Sequential(*layers)


def numbers(*shape: int) -> Callable[[torch.Generator], Tensor]:
    return lambda generator: torch.randn(ROWS, *shape, generator=generator, dtype=torch.float64)


def words(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 11, (ROWS, 5), generator=generator)


ARCHITECTURES: dict[str, tuple[Callable[[float], nn.Module], Callable[[torch.Generator], Tensor]]] = {
    "mlp": (mlp, numbers(6)),
    "mlp with batch norm": (
        lambda p: nn.Sequential(
            nn.Linear(6, 8, bias=False), nn.BatchNorm1d(8), nn.GELU(), nn.Dropout(p), nn.Linear(8, 3)
        ),
        numbers(6),
    ),
    "layer norm, alpha dropout": (
        lambda p: nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.SELU(), nn.AlphaDropout(p), nn.Linear(8, 3)),
        numbers(6),
    ),
    "convolution 1-D": (
        lambda p: nn.Sequential(
            nn.Conv1d(2, 4, 3, padding=1),
            nn.ReLU(),
            nn.Dropout1d(p),
            nn.MaxPool1d(2),
            nn.Conv1d(4, 4, 3, dilation=2),
            nn.Flatten(),
            nn.Linear(4, 3),
        ),
        numbers(2, 10),
    ),
    "convolution 2-D": (
        lambda p: nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(p), nn.Linear(16, 3)
        ),
        numbers(1, 6, 6),
    ),
    "residual": (Residual, numbers(2, 5, 5)),
    "attention": (Attention, words),
    "gru": (lambda p: Recurrent(nn.GRU, p), words),
    "lstm": (lambda p: Recurrent(nn.LSTM, p, True), words),
    "rnn": (lambda p: Recurrent(nn.RNN, p), words),
    "bag of words": (
        lambda p: nn.Sequential(nn.Embedding(11, 6), nn.Flatten(), nn.Dropout(p), nn.Linear(30, 3)),
        words,
    ),
}
optimizers = tw.optimizers
OPTIMIZERS: dict[str, Callable[[int], Any]] = {
    "sgd": lambda k: optimizers.SGD(lr=0.02 * (k + 1), momentum=0.3 * k, weight_decay=0.01 * k),
    "nesterov": lambda k: optimizers.SGD(lr=0.02 * (k + 1), momentum=0.3 * k + 0.1, nesterov=True),
    "dampening": lambda k: optimizers.SGD(lr=0.02 * (k + 1), momentum=0.9, dampening=0.2 * k),
    "adagrad": lambda k: optimizers.Adagrad(lr=0.02 * (k + 1), lr_decay=0.05 * k, initial_accumulator_value=0.1 * k),
    "rmsprop": lambda k: optimizers.RMSprop(
        lr=0.002 * (k + 1), alpha=0.9 + 0.03 * k, momentum=0.2 * k, weight_decay=0.01 * k
    ),
    "adam": lambda k: optimizers.Adam(
        lr=0.005 * (k + 1), betas=(0.8 + 0.05 * k, 0.99), eps=1e-6, weight_decay=0.01 * k
    ),
    "amsgrad": lambda k: optimizers.Adam(lr=0.005 * (k + 1), betas=(0.8 + 0.05 * k, 0.95), eps=1e-6, amsgrad=True),
    "adamw": lambda k: optimizers.AdamW(lr=0.005 * (k + 1), betas=(0.9, 0.9 + 0.03 * k), weight_decay=0.1 * k),
    "nadam": lambda k: optimizers.NAdam(
        lr=0.005 * (k + 1), eps=1e-6, momentum_decay=0.004 * (k + 1), weight_decay=0.01 * k
    ),
    "radam": lambda k: optimizers.RAdam(
        lr=0.005 * (k + 1), betas=(0.9, 0.97 + 0.01 * k), eps=1e-6, weight_decay=0.01 * k
    ),
    "lion": lambda k: optimizers.Lion(lr=0.001 * (k + 1), betas=(0.9, 0.95 + 0.01 * k), weight_decay=0.1 * k),
    "muon": lambda k: optimizers.Muon(lr=0.005 * (k + 1), momentum=0.9 + 0.02 * k, weight_decay=0.1 * k),
}


def build(name: str, k: int) -> nn.Module:
    """Of a member: weights of its own, and a probability of dropping of its own."""
    torch.manual_seed(100 + k)
    return ARCHITECTURES[name][0](0.1 + 0.15 * k).double()


def member(name: str, k: int, optimizer: str = "sgd", **changes: Any) -> Member:
    # All parameters decay, as torch's optimizers have it.
    options = {"epochs": 1, "batch_size": ROWS, "decay_all": True, "clip_norm": None if k == 1 else 1.0 + k}
    plan = tw.Plan.plain(optimizer=OPTIMIZERS[optimizer](k), **options | changes)
    return Member(build(name, k), plan, seed=7 * k + 1)


def batches(name: str, steps: int = STEPS) -> list[Batch]:
    generator = torch.Generator().manual_seed(5)
    draw = ARCHITECTURES[name][1]
    return [(draw(generator), torch.randint(0, 3, (ROWS,), generator=generator)) for _ in range(steps)]


def rates(members: Iterable[Member], step: int) -> list[float]:
    return [float(m.optimizer.lr) * (1 - 0.5 * step / STEPS) for m in members]


def separately(one: Member, data: list[Batch]) -> tuple[nn.Module, list[float]]:
    """One member's training, as anybody would write it."""
    network, losses = copy.deepcopy(one.network).train(), []
    routed = isinstance(one.optimizer, optimizers.Muon)
    optimizer = one.optimizer.build(network if routed else network.parameters())  # type: ignore[arg-type]
    noise = CounterDropout(one.seed)
    for step, (x, y) in enumerate(data):
        with noise.at(one.step + step):
            output = network(x)
        loss = F.cross_entropy(output, y)
        optimizer.zero_grad()
        loss.backward()
        if one.plan.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), one.plan.clip_norm)  # type: ignore[arg-type]
        for group in optimizer.param_groups:
            group["lr"] = rates([one], step)[0]
        optimizer.step()
        losses.append(float(loss.detach()))
    return network, losses


def apart(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of a parameter or buffer, relative to its scale."""
    theirs, found = {**dict(other.named_parameters()), **dict(other.named_buffers())}, 0.0
    for name, value in {**dict(one.named_parameters()), **dict(one.named_buffers())}.items():
        expected = theirs[name].detach().double()
        found = max(found, float((value.detach().double() - expected).abs().max() / expected.abs().max().clamp(min=1)))
    return found


def population(members: list[Member], data: list[Batch], **options: Any) -> Population:
    return Population(members, CROSS_ENTROPY, [data[0]], make=batched, **options)


def trained(form: Population, data: list[Batch]) -> Tensor:
    return torch.stack([form.step(batch, rates(form.members, step)) for step, batch in enumerate(data)])


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_layer(name: str) -> None:
    members, data = [member(name, k) for k in range(MEMBERS)], batches(name)
    form = population(members, data)
    losses = trained(form, data)
    for k, one in enumerate(members):
        network, expected = separately(one, data)
        assert apart(form.network(k), network) <= TOLERANCE
        torch.testing.assert_close(losses[:, k].tolist(), expected, rtol=TOLERANCE, atol=TOLERANCE)
        network.eval()
        assert (form.outputs(data[0][0])[k] - network(data[0][0])).abs().max() <= 10 * TOLERANCE


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_every_optimizer(optimizer: str) -> None:
    members, data = [member("mlp", k, optimizer) for k in range(MEMBERS)], batches("mlp")
    form = population(members, data)
    trained(form, data)
    for k, one in enumerate(members):
        assert apart(form.network(k), separately(one, data)[0]) <= TOLERANCE


def test_a_slot_depends_on_no_other() -> None:
    """Member 4 of seven is what it is alone: the noise bit by bit, the weights up to the order of sums."""
    members, data = [member("mlp", k % 3) for k in range(7)], batches("mlp", 20)
    members[4] = member("mlp", 2)
    seven, one = population(members, data), population(members[4:5], data)
    trained(seven, data)
    trained(one, data)
    assert apart(seven.network(4), one.network(0)) <= TOLERANCE
    assert seven.noise is not None
    assert one.noise is not None
    both = [p.noise.at(p.streams, p.steps).dropout(torch.ones(len(p), 9, 8), 0.5, layer=1) for p in (seven, one)]  # type: ignore[union-attr]
    assert torch.equal(both[0][4], both[1][0])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "nadam"])
def test_a_replaced_slot_is_a_fresh_training(optimizer: str) -> None:
    members, data = [member("mlp with batch norm", k, optimizer) for k in range(3)], batches("mlp with batch norm")
    form, same = population(members, data), population(members, data)
    trained(form, data[:10])
    trained(same, data[:10])
    fresh = Member(build("mlp with batch norm", 9 % 4), member("mlp", 1, optimizer).plan, seed=50)
    form.replace(1, fresh)
    trained(form, data[10:40])
    trained(same, data[10:40])
    assert apart(form.network(1), separately(fresh, data[10:40])[0]) <= TOLERANCE
    for slot in (0, 2):
        assert apart(form.network(slot), same.network(slot)) == 0
        assert all(torch.equal(v, same.state(slot)[n]) for n, v in form.state(slot).items())


def test_a_member_goes_on_where_it_stopped() -> None:
    """Weights, state, step count and noise of a slot make a member that continues."""
    members, data = [member("mlp", k, "adamw") for k in range(2)], batches("mlp", 30)
    whole, first = population(members, data), population(members, data)
    trained(whole, data)
    trained(first, data[:12])
    continued = [Member(first.network(k), m.plan, m.seed, step=12, state=first.state(k)) for k, m in enumerate(members)]
    second = population(continued, data)
    for step, batch in enumerate(data[12:], start=12):
        second.step(batch, rates(members, step))
    assert all(apart(second.network(k), whole.network(k)) == 0 for k in range(2))


def test_a_lost_member_disturbs_nobody() -> None:
    members, data = [member("residual", k, clip_norm=None) for k in range(3)], batches("residual", 25)
    form, same = population(members, data), population(members, data)
    for step, batch in enumerate(data):
        own = rates(members, step)
        same.step(batch, own)
        losses = form.step(batch, [own[0], 1e200, own[2]])
    assert not losses[1].isfinite()
    assert losses[[0, 2]].isfinite().all()
    assert all(apart(form.network(slot), same.network(slot)) == 0 for slot in (0, 2))


def test_own_batches() -> None:
    members = [member("mlp with batch norm", k) for k in range(3)]
    streams = [batches("mlp with batch norm", 60)[20 * k : 20 * (k + 1)] for k in range(3)]
    data = [
        (torch.stack([x for x, _ in each]), torch.stack([y for _, y in each])) for each in zip(*streams, strict=True)
    ]
    form = population(members, data, own=True)
    trained(form, data)
    for k, one in enumerate(members):
        assert apart(form.network(k), separately(one, streams[k])[0]) <= TOLERANCE


def test_folds_weigh_left_out_rows_by_nothing() -> None:
    """A member's step on a shared batch is a step on those rows of it that are its own."""
    masks = torch.rand(40, generator=torch.Generator().manual_seed(0)) < 0.6
    members = [
        Member(m.network, m.plan, m.seed, rows=r) for m, r in zip([member("mlp", 0)] * 2, (masks, ~masks), strict=True)
    ]
    generator = torch.Generator().manual_seed(1)
    data = [(x, y, torch.randint(0, 40, (ROWS,), generator=generator)) for x, y in batches("mlp", 30)]
    form = population(members, [data[0][:2]])  # type: ignore[list-item]
    for step, (x, y, positions) in enumerate(data):
        losses = form.step((x, y), rates(members, step), positions=positions)
    for k, one in enumerate(members):
        network = copy.deepcopy(one.network)
        optimizer, noise = one.optimizer.build(network.parameters()), CounterDropout(one.seed)
        for step, (x, y, positions) in enumerate(data):
            with noise.at(step):
                output = network(x)
            assert one.rows is not None
            chosen = one.rows[positions]
            loss = F.cross_entropy(output[chosen], y[chosen])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(network.parameters(), one.plan.clip_norm)  # type: ignore[arg-type]
            optimizer.param_groups[0]["lr"] = rates([one], step)[0]
            optimizer.step()
        assert apart(form.network(k), network) <= TOLERANCE
        torch.testing.assert_close(float(losses[k]), float(loss.detach()), rtol=TOLERANCE, atol=0)
    with pytest.raises(UsageError, match="positions"):
        form.step(data[0][:2], [0.1, 0.1])


def test_a_fold_with_batch_norm_needs_batches_of_its_own() -> None:
    one = member("residual", 0)
    with pytest.raises(ModelError, match="norm is BatchNorm2d"):
        population([Member(one.network, one.plan, 0, rows=torch.ones(40, dtype=torch.bool))], batches("residual"))


def test_a_parameter_without_gradient_stays() -> None:
    members = []
    for k in range(2):
        network = build("mlp", k)
        members.append(Member(Spare(network), member("mlp", k, "adamw").plan, seed=k))
    data = batches("mlp", 5)
    form = population(members, data)
    trained(form, data)
    for k, one in enumerate(members):
        now = dict(form.network(k).named_parameters())
        for name, value in one.network.named_parameters():
            assert torch.equal(now[name], value) == name.startswith(("spare", "fixed")), name
        assert not any("spare" in name or "fixed" in name for name in form.state(k))


def test_batches_of_another_size() -> None:
    members, data = [member("mlp", k) for k in range(2)], batches("mlp", 10)
    data[4] = (data[4][0][:5], data[4][1][:5])
    form = population(members, data)
    trained(form, data)
    assert all(apart(form.network(k), separately(one, data)[0]) <= TOLERANCE for k, one in enumerate(members))


def test_momentum_that_a_schedule_cycles() -> None:
    members, data = [member("mlp", k, "nesterov", clip_norm=None) for k in range(3)], batches("mlp", 20)
    form = population(members, data)
    momenta = [[0.5 + 0.01 * step + 0.1 * k for k in range(3)] for step in range(20)]
    for step, batch in enumerate(data):
        form.step(batch, [0.05] * 3, momenta=momenta[step])
    for k, one in enumerate(members):
        network = copy.deepcopy(one.network)
        optimizer, noise = one.optimizer.build(network.parameters()), CounterDropout(one.seed)
        for step, (x, y) in enumerate(data):
            with noise.at(step):
                loss = F.cross_entropy(network(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.param_groups[0] |= {"lr": 0.05, "momentum": momenta[step][k]}
            optimizer.step()
        assert apart(form.network(k), network) <= TOLERANCE


def test_what_cannot_be_one_program_is_said() -> None:
    data = batches("mlp", 1)
    with pytest.raises(UsageError, match=r"buckets\(members\)"):
        population([member("mlp", 0), member("mlp with batch norm", 0)], data)
    with pytest.raises(UsageError, match="no member"):
        population([], data)
    foreign = tw.Plan.plain(optimizer=optimizers.Torch(kind="torch.optim.ASGD", lr=0.1), epochs=1, batch_size=ROWS)
    with pytest.raises(UsageError, match="Loop"):
        population([Member(build("mlp", 0), foreign, 0)], data)
    still = tw.Plan.plain(optimizer=optimizers.SGD(lr=0.1), epochs=1, batch_size=ROWS)
    form = population([Member(build("mlp", 0), still, 0)], data)
    moving = tw.Plan.plain(optimizer=optimizers.SGD(lr=0.1, momentum=0.5), epochs=1, batch_size=ROWS)
    with pytest.raises(UsageError, match=r"momentum=0\.5"):
        form.replace(0, Member(build("mlp", 0), moving, 0))
    with pytest.raises(UsageError, match="a smoothing"):
        form.replace(0, Member(build("mlp", 0), still.replace(label_smoothing=0.1), 0))

"""A training under `tw.watch` is bit for bit the training without it, whatever the loop looks like."""

import copy
import random
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import thalweg as tw
from thalweg.watched import Watch

G = torch.Generator().manual_seed(0)
X, IMAGES = torch.randn(160, 12, generator=G), torch.randn(160, 1, 8, 8, generator=G)
WORDS = torch.randint(0, 20, (160, 6), generator=G)
Y = torch.randint(0, 3, (160,), generator=G)
Step = Callable[[Any, Tensor, Tensor, Watch | None], None]


class Tied(nn.Module):
    """Recurrent, with an embedding whose weights are the head's, and a buffer that depends on the order of rows."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.cell = nn.Embedding(20, 8), nn.GRU(8, 8, num_layers=2, dropout=0.2, batch_first=True)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.words.weight
        self.register_buffer("seen", torch.zeros((), dtype=torch.float64))

    def forward(self, words: Tensor) -> Tensor:
        if self.training:
            self.seen = 0.9 * self.seen + words.double().mean()
        return self.head(self.cell(self.words(words))[0])


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3))


def convolutional() -> nn.Module:
    body = (nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.3))
    return nn.Sequential(*body, nn.Flatten(), nn.Linear(96, 3))


def compiled() -> nn.Module:
    torch._dynamo.reset()
    return torch.compile(mlp(), backend="aot_eager")


class Loop:
    """What a step of a loop works on; `state` is everything of it that must not differ."""

    def __init__(self, model: nn.Module, optimizers: list[torch.optim.Optimizer], **extra: Any) -> None:
        self.model, self.optimizers, self.extra, self.count = model, optimizers, extra, 0
        self.order: list[float] = []
        self.losses: list[Tensor] = []

    def state(self) -> list[Any]:
        found = [
            {n: t.detach().clone() for n, t in self.model.state_dict().items()},
            [copy.deepcopy(o.state_dict()) for o in self.optimizers],
            [None if p.grad is None else p.grad.clone() for p in self.model.parameters()],
            [m.training for m in self.model.modules()],
            self.order,
            self.losses,
            torch.get_rng_state(),
            random.getstate(),
            np.random.get_state(),
        ]
        found += [value.state_dict() for value in self.extra.values() if hasattr(value, "state_dict")]
        return found + [value.get_state() for value in self.extra.values() if isinstance(value, torch.Generator)]


def same(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor):
        return one.dtype == other.dtype and torch.equal(one, other)
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def usual(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    """Clipping, a loss with noise of three generators, and evaluations between steps."""
    (optimizer,) = loop.optimizers
    optimizer.zero_grad()
    noise = 1 + 1e-3 * (random.random() + float(np.random.rand()))
    loss = noise * F.cross_entropy(loop.model(x), y, label_smoothing=0.1)
    loss.backward()
    nn.utils.clip_grad_norm_(loop.model.parameters(), 1.0)
    optimizer.step()
    loop.losses.append(loss.detach())
    if watch is not None:
        watch.step(loss)
    if loop.count % 5 == 4:
        loop.model.eval()
        with torch.no_grad():
            loop.losses.append(loop.model(x).mean())
        loop.model.train()


def sequences(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    loop.optimizers[0].zero_grad()
    output = loop.model(x[:, :-1])
    F.cross_entropy(output.reshape(-1, 20), x[:, 1:].reshape(-1)).backward()
    loop.optimizers[0].step()


def mixed(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    """Autocast and a scaler."""
    scaler = loop.extra["scaler"]
    loop.optimizers[0].zero_grad(set_to_none=False)
    with torch.autocast("cpu", torch.bfloat16):
        loss = F.cross_entropy(loop.model(x), y)
    scaler.scale(loss).backward()
    scaler.unscale_(loop.optimizers[0])
    scaler.step(loop.optimizers[0])
    scaler.update()


def closures(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    def closure() -> Tensor:
        loop.optimizers[0].zero_grad()
        loss = F.cross_entropy(loop.model(x), y)
        loss.backward()
        return loss

    loss = loop.optimizers[0].step(closure)
    loop.losses.append(loss.detach())
    if watch is not None:
        watch.step(loss)


def accumulated(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    """Several backwards for a step, and none for a rest."""
    (F.cross_entropy(loop.model(x), y) / 4).backward()
    if loop.count % 4 == 3:
        loop.optimizers[0].step()
        loop.optimizers[0].zero_grad()
        loop.extra["schedule"].step()


def two_optimizers(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    """One for the body, one with two groups for the head; a penalty on the weights beside the loss."""
    for optimizer in loop.optimizers:
        optimizer.zero_grad()
    penalty = sum(p.square().sum() for p in loop.model.parameters())
    (F.cross_entropy(loop.model(x), y) + 1e-3 * penalty).backward()
    for optimizer in loop.optimizers:
        optimizer.step()


def own_noise(loop: Loop, x: Tensor, y: Tensor, watch: Watch | None) -> None:
    """A loss with running estimates and a generator of its own."""
    loop.optimizers[0].zero_grad()
    output, noise = loop.model(x), loop.extra["noise"]
    output = output * torch.bernoulli(torch.full_like(output, 0.9), generator=noise)
    output = F.batch_norm(output, loop.model.mean, loop.model.variance, training=True)
    F.cross_entropy(output + torch.bernoulli(output.detach().sigmoid(), generator=noise), y).backward()
    loop.optimizers[0].step()


def started(model: Callable[[], nn.Module], optimizer: Any = torch.optim.AdamW, **options: Any) -> Loop:
    network = model()
    return Loop(network, [optimizer(network.parameters(), **{"lr": 1e-2, **options})])


def scheduled() -> Loop:
    loop = started(mlp, torch.optim.SGD, momentum=0.9)
    loop.extra["schedule"] = torch.optim.lr_scheduler.CosineAnnealingLR(loop.optimizers[0], 10)
    return loop


def scaled() -> Loop:
    loop = started(convolutional)
    loop.extra["scaler"] = torch.amp.GradScaler("cpu", init_scale=128.0)
    return loop


def parted() -> Loop:
    network = mlp()
    head = [{"params": [network[4].weight], "lr": 0.1, "weight_decay": 0.01}, {"params": [network[4].bias]}]
    body = [p for module in network[:2] for p in module.parameters()]
    return Loop(network, [torch.optim.RMSprop(body, lr=1e-3), torch.optim.SGD(head, lr=0.01, momentum=0.9)])


def noisy() -> Loop:
    loop = started(mlp)
    loop.model.register_buffer("mean", torch.zeros(3))
    loop.model.register_buffer("variance", torch.ones(3))
    loop.extra["noise"] = torch.Generator().manual_seed(7)
    return loop


CASES: dict[str, tuple[Callable[[], Loop], Tensor, Step]] = {
    "batch norm and dropout": (lambda: started(mlp), X, usual),
    "convolution": (lambda: started(convolutional, torch.optim.SGD, momentum=0.9, nesterov=True), IMAGES, usual),
    "recurrent, tied weights": (lambda: started(Tied, fused=True), WORDS, sequences),
    "autocast and scaler": (scaled, IMAGES, mixed),
    "closures": (lambda: started(mlp, torch.optim.LBFGS, lr=0.1, max_iter=4), X, closures),
    "accumulation and schedule": (scheduled, X, accumulated),
    "two optimizers and a penalty": (parted, X, two_optimizers),
    "a loss with a state": (noisy, X, own_noise),
    "compiled": (lambda: started(compiled), X, usual),
}


def trained(name: str, *, share: float | None, seen: list[Watch] | None = None) -> list[Any]:
    """The state after 3 epochs of 10 steps; `share` of the time for watching, None for not watched."""
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    make, x, step = CASES[name]
    loop = make()
    loader = DataLoader(TensorDataset(x, Y), batch_size=16, shuffle=True)
    watching = nullcontext() if share is None else tw.watch(loop.model, loop.optimizers[-1], listeners=(), share=share)
    with watching as watch:
        for _ in range(3):
            for inputs, target in loader:
                loop.order.append(float(inputs.double().sum()))
                step(loop, inputs, target, watch)
                loop.count += 1
    if seen is not None:
        assert watch is not None
        seen.append(watch)
    return loop.state()


@pytest.mark.parametrize("share", [0.01, 1.0])
@pytest.mark.parametrize("name", CASES)
def test_watched_and_unwatched_are_one_training(name, share):
    seen: list[Watch] = []
    watched = trained(name, share=share, seen=seen)
    assert same(watched, trained(name, share=None))
    assert seen[0]._steps.broken == ""
    assert seen[0]._steps.count == (7 if name.startswith("accumulation") else 30)
    assert not [f for f in seen[0].findings if f.code.startswith("LOOP") and f.counts]


def test_the_comparison_sees_a_difference():
    one = trained("batch norm and dropout", share=None)
    name = "convolution"
    assert not same(one, trained(name, share=None))
    other = copy.deepcopy(one)
    other[0]["0.weight"][0, 0] += 1e-7
    assert not same(one, other)


def test_nothing_of_the_watching_stays_behind():
    loop = started(mlp)
    with tw.watch(loop.model, loop.optimizers[0], listeners=()) as watch:
        for _ in range(15):
            usual(loop, X[:16], Y[:16], watch)
    for module in loop.model.modules():
        assert not module._forward_hooks
        assert not module._forward_pre_hooks
    assert not loop.optimizers[0]._optimizer_step_pre_hooks
    assert not loop.optimizers[0]._optimizer_step_post_hooks
    assert torch._C._len_torch_function_stack() == 0

"""Speed of a population of K trainings as one program, against training its members one after the other.

    python benchmarks/population.py [--rounds 9] [--k 16] [--k 64] [--only digits|wide|architectures] [--gpu]

Every member has a learning rate, a momentum, a seed, weights and a probability of dropping of its own; batches are
shared. One thread, process CPU time, interleaved, medians of the ratios over the rounds. The loops train as many
networks, one step of each after the other:

- fused: the bare loop of PyTorch with `SGD(fused=True)`, `nn.Dropout` and no optimizer for several tensors at once;
- ours: the fastest single step of our own for that network, `CompiledStep` or `Step`, with torch's dropout.

"chosen" is the form that `choose` takes for a training of `--steps` updates, its own loop among them; compiling is not
counted. With `--gpu`: trials per second for K up to 1,024 against the eager loop and a loop of CUDA graphs.
"""

import argparse
import copy
import statistics
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import thalweg as tw
from thalweg.data.noise import global_rng_kept
from thalweg.train.compiled import CompiledStep
from thalweg.train.losses import NAMED
from thalweg.train.population.candidates import choose
from thalweg.train.population.members import Member
from thalweg.train.step import Step

Build = Callable[[float], nn.Module]
Draw = Callable[[int], tuple[Any, Tensor]]
CROSS_ENTROPY = NAMED["cross_entropy"]


def mlp(*sizes: int, norm: bool = False) -> Build:
    def build(p: float) -> nn.Module:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes[:-1]):
            layers += [
                nn.Linear(inputs, outputs),
                *([nn.BatchNorm1d(outputs)] if norm else []),
                nn.ReLU(),
                nn.Dropout(p),
            ]
        return nn.Sequential(*layers, nn.Linear(sizes[-2], sizes[-1]))

    return build


def small_cnn(p: float) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(p), nn.Linear(64, 10)),
    )


def cnn_1d(p: float) -> nn.Module:
    return nn.Sequential(
        *(nn.Conv1d(4, 16, 5, padding=2), nn.ReLU(), nn.MaxPool1d(2)),
        *(nn.Conv1d(16, 16, 5, padding=2), nn.ReLU(), nn.AdaptiveAvgPool1d(4)),
        *(nn.Flatten(), nn.Dropout(p), nn.Linear(64, 10)),
    )


class Block(nn.Module):
    """Of a ResNet."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)
        self.second, self.again = nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.again(self.second(F.relu(self.norm(self.first(x))))))


def resnet(p: float) -> nn.Module:
    stem = (nn.Conv2d(1, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
    return nn.Sequential(*stem, Block(8), Block(8), nn.AvgPool2d(8), nn.Flatten(), nn.Dropout(p), nn.Linear(8, 10))


class ConvNext(nn.Module):
    """A block of ConvNeXt: depthwise convolution, layer norm, two linear layers, layer scale."""

    def __init__(self, width: int, p: float) -> None:
        super().__init__()
        self.depthwise, self.norm = nn.Conv2d(width, width, 5, padding=2, groups=width), nn.LayerNorm(width)
        self.wide, self.back, self.drop = nn.Linear(width, 4 * width), nn.Linear(4 * width, width), nn.Dropout(p)
        self.scale = nn.Parameter(0.1 * torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(self.depthwise(x).permute(0, 2, 3, 1))
        return x + (self.scale * self.drop(self.back(F.gelu(self.wide(h))))).permute(0, 3, 1, 2)


def convnext(p: float) -> nn.Module:
    head = (nn.AvgPool2d(4), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(1, 16, 2, 2), ConvNext(16, p), ConvNext(16, p), *head)


class Words(nn.Module):
    """An embedding, a layer over the sequence, and its mean or last value."""

    def __init__(self, layer: nn.Module, width: int, last: bool) -> None:
        super().__init__()
        self.embed, self.layer, self.head, self.last = nn.Embedding(100, width), layer, nn.Linear(width, 10), last

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer(self.embed(x))
        return self.head(h[0][:, -1] if self.last else h.mean(1))


def transformer(p: float) -> nn.Module:
    return Words(nn.TransformerEncoderLayer(32, 4, 64, dropout=p, batch_first=True), 32, last=False)


def recurrent(kind: Any) -> Build:
    return lambda p: Words(kind(32, 32, num_layers=2, dropout=p, batch_first=True), 32, last=True)


def bag(p: float) -> nn.Module:
    return Words(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Dropout(p)), 32, last=False)


def numbers(*shape: int) -> Draw:
    return lambda rows: (torch.randn(rows, *shape), torch.randint(0, 10, (rows,)))


def words(rows: int) -> tuple[Any, Tensor]:
    return torch.randint(0, 100, (rows, 16)), torch.randint(0, 10, (rows,))


ARCHITECTURES: dict[str, tuple[Build, Draw, int]] = {
    "MLP 64-64-64-10": (mlp(64, 64, 64, 10), numbers(64), 64),
    "wide MLP 64-512-512-10": (mlp(64, 512, 512, 10), numbers(64), 128),
    "MLP with batch norm": (mlp(64, 64, 64, 10, norm=True), numbers(64), 64),
    "autoencoder-shaped MLP": (mlp(64, 32, 8, 32, 64), numbers(64), 64),
    "small CNN": (small_cnn, numbers(1, 8, 8), 64),
    "1-D CNN": (cnn_1d, numbers(4, 64), 64),
    "ResNet-like": (resnet, numbers(1, 8, 8), 64),
    "ConvNeXt-like": (convnext, numbers(1, 8, 8), 64),
    "transformer": (transformer, words, 64),
    "GRU": (recurrent(nn.GRU), words, 64),
    "LSTM": (recurrent(nn.LSTM), words, 64),
    "bag of words": (bag, words, 64),
}


def members_of(build: Build, count: int, batch_size: int) -> list[Member]:
    members = []
    for k in range(count):
        torch.manual_seed(k)
        optimizer = tw.optimizers.SGD(lr=0.01 * (1 + k / count), momentum=0.5 + 0.4 * k / count)
        plan = tw.Plan.plain(optimizer=optimizer, epochs=1, batch_size=batch_size)
        members.append(Member(build(0.1 + 0.2 * k / count), plan, seed=k))
    return members


def fused(members: list[Member], batch: tuple[Any, Tensor]) -> Callable[[], object]:
    """The bare loop of PyTorch, one step of each."""
    pairs = []
    for member in members:
        network, options = copy.deepcopy(member.network).train(), member.optimizer
        values = {"lr": options.lr, "momentum": options.momentum}  # type: ignore[attr-defined]
        pairs.append((network, torch.optim.SGD(network.parameters(), **values, fused=True, foreach=False)))

    def step() -> None:
        for network, optimizer in pairs:
            optimizer.zero_grad()
            F.cross_entropy(network(batch[0]), batch[1]).backward()
            optimizer.step()

    return step


def singles(members: list[Member], batch: tuple[Any, Tensor], *, compiled: bool) -> Callable[[], object]:
    """A step of our own for each. One graph serves all: it reads the weights from the step that it is given."""
    forms: list[Any] = [
        Step(copy.deepcopy(m.network).train(), CROSS_ENTROPY, m.optimizer, seed=m.seed) for m in members
    ]
    if compiled:
        first = CompiledStep(forms[0], [batch])
        for k, stepper in enumerate(forms):
            own = copy.copy(first)
            own.stepper, own.buffers = stepper, dict(stepper.network.named_buffers())
            forms[k] = own
    count = 0

    def step() -> None:
        nonlocal count
        for form, member in zip(forms, members, strict=True):
            form([batch], step=count, rate=float(member.optimizer.lr))
        count += 1

    return step


def interleaved(forms: dict[str, Callable[[], object]], rounds: int, seconds: float = 0.3) -> dict[str, list[float]]:
    """CPU time of a step of all members, by form, one form after the other in each round."""
    repeats = {}
    for name, form in forms.items():
        form()
        started = time.perf_counter()
        form()
        repeats[name] = max(1, round(seconds / (time.perf_counter() - started)))
    found: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(rounds):
        for name, form in forms.items():
            started = time.process_time()
            for _ in range(repeats[name]):
                form()
            found[name].append((time.process_time() - started) / repeats[name])
    return found


def measure(build: Build, draw: Draw, batch_size: int, count: int, steps: int, rounds: int, *, graphs_too: bool) -> str:
    """A row of the table."""
    torch.manual_seed(0)
    members, batch = members_of(build, count, batch_size), draw(batch_size)
    with global_rng_kept():
        choice = choose(members, CROSS_ENTROPY, [batch], num_steps=steps)
        rates = [float(member.optimizer.lr) for member in members]
        forms = {"chosen": lambda: choice.form.step(batch, rates), "fused": fused(members, batch)}
        forms["ours"] = singles(members, batch, compiled=False)
        if graphs_too:
            forms["one graph each"] = singles(members, batch, compiled=True)
        times = interleaved(forms, rounds)
    best = min((name for name in forms if name not in ("chosen", "fused")), key=lambda n: statistics.median(times[n]))
    ratios = {
        name: statistics.median(a / b for a, b in zip(times[name], times["chosen"], strict=True))
        for name in ("fused", best)
    }
    step = statistics.median(times["chosen"]) * 1e3
    print(f"{count} members: {choice.reason}", file=sys.stderr, flush=True)
    name = choice.reason.split(" is the fastest")[0] if "fastest" in choice.reason else f"loop: {choice.reason}"
    return f"{count} | {name} | {step:.2f} | {ratios['fused']:.2f}x | {ratios[best]:.2f}x ({best})"


HEAD = """| network | K | chosen | ms per step of all | of the fused loop | of our fastest single runs |
|---|---|---|---|---|---|"""


def on_gpu(rounds: int) -> None:
    """Trials per second on a GPU: the population against the eager loop and a loop of CUDA graphs."""
    print("| K | population, steps/s of all | eager loop | CUDA graphs |\n|---|---|---|---|")
    build, draw, batch_size = ARCHITECTURES["MLP 64-64-64-10"]
    batch = tuple(value.cuda() for value in draw(batch_size))
    for count in (16, 64, 256, 1024):
        members = [Member(m.network.cuda(), m.plan, m.seed) for m in members_of(build, count, batch_size)]
        choice = choose(members, CROSS_ENTROPY, [batch], num_steps=10**6)
        rates = torch.tensor([float(m.optimizer.lr) for m in members], dtype=torch.float64, device="cuda")
        eager = fused(members, batch)  # type: ignore[arg-type]
        forms = {
            "population": lambda c=choice, r=rates: c.form.step(batch, r),
            "eager": eager,
            "graphs": captured_steps(members, batch),
        }
        speeds = {}
        for name, form in forms.items():
            taken = []
            for _ in range(rounds + 2):
                torch.cuda.synchronize()
                started = time.perf_counter()
                form()
                torch.cuda.synchronize()
                taken.append(time.perf_counter() - started)
            speeds[name] = count / statistics.median(taken[2:])
        print(f"| {count} | " + " | ".join(f"{speed:,.0f}" for speed in speeds.values()) + " |", flush=True)


def captured_steps(members: list[Member], batch: Any) -> Callable[[], object]:
    """A CUDA graph of the whole step for each member, replayed one after the other."""
    captured = []
    for member in members:
        step = fused([member], batch)
        stream = torch.cuda.Stream()
        with torch.cuda.stream(stream):
            for _ in range(3):
                step()
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        captured.append(graph)
    return lambda: [graph.replay() for graph in captured]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--k", type=int, action="append")
    parser.add_argument("--steps", type=int, default=2000, help="updates of a training of the 12 architectures")
    parser.add_argument("--only", choices=("digits", "wide", "architectures"))
    parser.add_argument("--architecture", choices=tuple(ARCHITECTURES))
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, one thread, {options.rounds} rounds\n")
    if options.gpu:
        if not torch.cuda.is_available():
            print("no GPU: skipped")
            return
        on_gpu(options.rounds)
        return
    print(HEAD)
    long = 10**6  # updates: compiling is worth it
    if options.only in (None, "digits"):
        for count in options.k or (16, 64):
            row = measure(mlp(64, 64, 64, 10), numbers(64), 64, count, long, options.rounds, graphs_too=True)
            print(f"| MLP 64-64-64-10 | {row} |", flush=True)
    if options.only in (None, "wide"):
        row = measure(
            mlp(784, 128, 10), numbers(784), 128, (options.k or [16])[0], long, options.rounds, graphs_too=True
        )
        print(f"| MLP 784-128-10 | {row} |", flush=True)
    if options.only in (None, "architectures"):
        for name, (build, draw, batch_size) in ARCHITECTURES.items():
            if options.architecture in (None, name):
                row = measure(
                    build, draw, batch_size, (options.k or [16])[0], options.steps, options.rounds, graphs_too=False
                )
                print(f"| {name} | {row} |", flush=True)


if __name__ == "__main__":
    main()

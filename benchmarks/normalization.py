"""Normalization: ghost batch norm's time, what recalibration is worth, and at which noise batch norm loses.

    OMP_NUM_THREADS=1 python benchmarks/normalization.py

Times are medians of interleaved runs in one process, one thread, by its CPU time.
"""

import copy
import platform
import time
from collections.abc import Callable
from functools import partial
from statistics import mean, median

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.swa_utils import update_bn

from thalweg.measure.batch_noise import estimate_noise
from thalweg.parts.normalization import GhostBatchNorm, GroupNorm, LayerNorm, recalibrate
from thalweg.parts.normalization.replace import replace_normalization

SHAPES: list[tuple[tuple[int, ...], int]] = [
    ((256, 64), 32), ((256, 1024), 32), ((256, 32, 8, 8), 32), ((128, 32, 28, 28), 16), ((64, 64, 32, 32), 8),
]  # fmt: skip
SIZES = (2, 4, 8, 16, 32)
SEEDS = 5


class Loop(nn.Module):
    """What ghost batch norm is written as by hand: the batch in chunks, one batch norm on each."""

    def __init__(self, norm: nn.Module, size: int) -> None:
        super().__init__()
        self.norm, self.size = norm, size

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.norm(chunk) for chunk in x.split(self.size)])


def times(forms: dict[str, Callable[[], object]], seconds: float = 2.0) -> dict[str, float]:
    """The median CPU seconds of each form, one run of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for form in forms.values():
        form()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, form in forms.items():
            began = time.process_time()
            form()
            taken[name].append(time.process_time() - began)
    return {name: median(values) for name, values in taken.items()}


def step(norm: nn.Module, x: Tensor, gradient: Tensor) -> None:
    norm(x).backward(gradient)


def ghosts() -> None:
    print("| forward and backward in training | ghosts of | GhostBatchNorm, ms | loop of nn.BatchNorm | nn.BatchNorm |")
    print("|---|---|---|---|---|")
    for shape, size in SHAPES:
        for layout in ("contiguous", "channels last") if len(shape) == 4 else ("contiguous",):
            x = torch.randn(shape)
            x = x.contiguous(memory_format=torch.channels_last) if layout == "channels last" else x
            x.requires_grad_()
            gradient = torch.randn_like(x)
            kind = nn.BatchNorm2d if len(shape) == 4 else nn.BatchNorm1d
            forms = {
                "ghost": GhostBatchNorm(size=size).build(shape[1], dims=len(shape) - 2),
                "loop": Loop(kind(shape[1]), size),
                "plain": kind(shape[1]),
            }
            taken = times({name: partial(step, form, x, gradient) for name, form in forms.items()})
            ratios = " | ".join(f"{taken[name] / taken['ghost']:.2f}×" for name in ("loop", "plain"))
            print(f"| {'×'.join(map(str, shape))}, {layout} | {size} | {taken['ghost'] * 1e3:.2f} | {ratios} |")
    print("\nA ratio is the time of torch's form over ours: above 1, ours is faster.\n")


def digits() -> tuple[Tensor, Tensor]:
    pixels, labels = load_digits(return_X_y=True)
    return torch.tensor(pixels, dtype=torch.float32) / 16, torch.tensor(labels)


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Unflatten(1, (1, 8, 8)), nn.Conv2d(1, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 16, 3, stride=2, bias=False), nn.BatchNorm2d(16), nn.ReLU(), nn.Flatten(),
        nn.Linear(144, 64, bias=False), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(model: nn.Module, x: Tensor, y: Tensor, size: int, epochs: int, rate: float) -> tuple[nn.Module, nn.Module]:
    """The model after its epochs, and the average of its weights with the estimates of the start."""
    average, steps, done = copy.deepcopy(model), epochs * (len(x) // size), 0
    optimizer = torch.optim.SGD(model.parameters(), lr=rate, momentum=0.9)
    for _ in range(epochs):
        for rows in torch.randperm(len(x))[: len(x) // size * size].split(size):
            optimizer.param_groups[0]["lr"] = rate * (1 - done / steps)
            optimizer.zero_grad()
            F.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            done += 1
            with torch.no_grad():
                for own, new in zip(average.parameters(), model.parameters(), strict=True):
                    own.lerp_(new, 0.02)
    return model, average


@torch.no_grad()
def exact(model: nn.Sequential, x: Tensor) -> None:
    """Layer after layer, the estimates of all rows behind norms that use theirs, as evaluation has them."""
    model.eval()
    for module in model:
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            variance, center = torch.var_mean(x.double(), [0, *range(2, x.dim())])
            module.running_mean.copy_(center)
            module.running_var.copy_(variance)
        x = module(x)


def distance(one: nn.Module, other: nn.Module) -> float:
    """Root mean square over channels of the mean's error in deviations, and of the variance's in its logarithm."""
    found = []
    for a, b in zip(one.modules(), other.modules(), strict=True):
        if isinstance(a, nn.modules.batchnorm._BatchNorm):
            mean_error = (a.running_mean - b.running_mean).square() / b.running_var
            found += [mean_error.mean(), (a.running_var / b.running_var).log().square().mean()]
    return float(torch.stack(found).mean().sqrt())


def recalibration() -> None:
    x, y = digits()
    print("| an average's estimates, from batches | of | | update_bn | recalibrate | all rows, layer by layer |")
    print("|---|---|---|---|---|---|")
    forms: dict[str, Callable[[nn.Sequential, list[tuple[Tensor, int]], Tensor], object]] = {
        "update_bn": lambda model, batches, _: update_bn(batches, model),
        "recalibrate": lambda model, batches, _: recalibrate(model, batches),
        "exact": lambda model, _, rows: exact(model, rows),
    }
    for order in ("shuffled", "sorted by class"):
        for size in (4, 16, 64):
            off, losses, taken = ({name: [] for name in forms} for _ in range(3))
            for seed in range(SEEDS):
                torch.manual_seed(seed)
                rows = torch.randperm(len(x))
                train, test = rows[:1210], rows[1210:]
                _, average = trained(network(), x[train], y[train], size, 3, 0.05 * min(1, size / 16))
                reference = copy.deepcopy(average)
                exact(reference, x[train])
                train = train if order == "shuffled" else train[y[train].argsort()]
                batches = [(part, 0) for part in x[train].split(size)]
                for name, form in forms.items():
                    model = copy.deepcopy(average).train()
                    began = time.process_time()
                    form(model, batches, x[train])
                    taken[name].append(time.process_time() - began)
                    off[name].append(distance(model, reference))
                    with torch.no_grad():
                        losses[name].append(float(F.cross_entropy(model.eval()(x[test]), y[test])))
            for what, values, scale in (("error", off, 1), ("test loss", losses, 1), ("ms", taken, 1e3)):
                cells = " | ".join(f"{median(values[name]) * scale:.3g}" for name in forms)
                print(f"| {order} | {size} | {what} | {cells} |")
    print()


def noise() -> None:
    x, y = digits()
    print("| batch size | mean's error | variance's error | output gap | BN | recalibrated | group norm | layer norm |")
    print("|---|---|---|---|---|---|---|---|")
    for size in SIZES:
        errors: dict[str, list[float]] = {name: [] for name in ("BN", "recalibrated", "group", "layer")}
        readings: dict[str, list[float]] = {
            f"norm.{name}": [] for name in ("mean_error", "variance_error", "output_gap")
        }
        for seed in range(SEEDS):
            torch.manual_seed(seed)
            rows = torch.randperm(len(x))
            train, test = rows[:600], rows[600:]
            for name, part in (("BN", None), ("group", GroupNorm(groups=4)), ("layer", LayerNorm())):
                torch.manual_seed(seed)
                model = network()
                if part is not None:
                    replace_normalization(model, part)
                trained(model, x[train], y[train], size, 4, 0.1 * min(1, size / 32))
                errors[name].append(wrong(model, x[test], y[test]))
                if part is None:
                    model.train()
                    found = estimate_noise(model, [x[train]], sizes=[size])[size]
                    for reading in readings:
                        readings[reading].append(mean(r.value for r in found.of(reading)))
                    recalibrate(model, [x[part] for part in train.split(size) if len(part) > 1])
                    errors["recalibrated"].append(wrong(model, x[test], y[test]))
        cells = [f"{mean(values):.2f}" for values in readings.values()]
        cells += [f"{mean(values):.1%} ± {spread(values):.1%}" for values in errors.values()]
        print(f"| {size} | " + " | ".join(cells) + " |")
    print("\nErrors on test rows, mean over seeds and its standard error; readings are means over layers and seeds.")


@torch.no_grad()
def wrong(model: nn.Module, x: Tensor, y: Tensor) -> float:
    return float((model.eval()(x).argmax(1) != y).double().mean())


def spread(values: list[float]) -> float:
    return float(torch.tensor(values).std() / len(values) ** 0.5)


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread\n")
    ghosts()
    recalibration()
    noise()


if __name__ == "__main__":
    main()

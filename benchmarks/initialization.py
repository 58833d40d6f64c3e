"""Initialization: signal through depth against torch's own draw, and the time it takes.

    OMP_NUM_THREADS=1 python benchmarks/initialization.py

Slopes are of the natural logarithm of the deviation between rows, per layer, of 30 hidden layers; the median of five
seeds. Times are CPU seconds of the process, medians of interleaved repeats, one thread; ours includes three passes
over the example rows and the table.
"""

import platform
import time
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor, nn

from thalweg.initialization import initialize
from thalweg.parts.initializers import LSUV, He, Initializer, Orthogonal, Xavier

DEPTH, WIDTH, SEEDS, REPEATS = 30, 256, 5, 5
ACTIVATIONS = {"ReLU": nn.ReLU, "tanh": nn.Tanh, "SiLU": nn.SiLU, "GELU": nn.GELU, "SELU": nn.SELU}
PARTS: dict[str, Initializer] = {"He": He(), "Xavier": Xavier(), "Orthogonal": Orthogonal(), "LSUV": LSUV()}


def deep(activation: type[nn.Module]) -> nn.Sequential:
    layers = [part for _ in range(DEPTH) for part in (nn.Linear(WIDTH, WIDTH), activation())]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def convolutional() -> nn.Sequential:
    widths = [3] + [32] * DEPTH
    layers = [part for a, b in pairwise(widths) for part in (nn.Conv2d(a, b, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 10))


def slopes(network: nn.Module, x: Tensor) -> None:
    """One line per initializer: forward and backward."""
    for name, part in PARTS.items():
        found = [initialize(network, x, part, seed=seed) for seed in range(SEEDS)]
        if name == "He":
            before = found[0].before
            print(f"    torch's default   {before.forward.value:+.3f}   {before.backward.value:+.3f}")
        forward, backward = (median(getattr(f.after, side).value for f in found) for side in ("forward", "backward"))
        print(f"    {name:16}  {forward:+.3f}   {backward:+.3f}")


def reset(network: nn.Module) -> None:
    for module in network.modules():
        if hasattr(module, "reset_parameters"):
            module.reset_parameters()


def seconds(network: nn.Module, x: Tensor) -> dict[str, float]:
    """Median CPU time of each, interleaved."""
    times: dict[str, list[float]] = {"reset_parameters": [], **{name: [] for name in PARTS}}
    for _ in range(REPEATS):
        for name, spent in times.items():
            start = time.process_time()
            if name in PARTS:
                initialize(network, x, PARTS[name])
            else:
                reset(network)
            spent.append(time.process_time() - start)
    return {name: median(spent) for name, spent in times.items()}


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(x + self.body(x))


def residual() -> nn.Sequential:
    """Eighteen residual blocks, about 10 million parameters."""
    layers: list[nn.Module] = [nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.BatchNorm2d(64), nn.ReLU()]
    for channels in (64, 128, 256):
        layers += [nn.Conv2d(channels // 2, channels, 3, 2, 1)] if channels > 64 else []
        layers += [Block(channels) for _ in range(6)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 10))


def main() -> None:
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {platform.machine()}, {torch.get_num_threads()} thread(s)")
    print(f"Slope per layer, {DEPTH} layers: outputs forward, gradients backward")
    for name, activation in ACTIVATIONS.items():
        print(f"  MLP of width {WIDTH}, {name}")
        slopes(deep(activation), torch.randn(128, WIDTH))
    print("  Convolutions 3 × 3 of 32 channels on 24 × 24, ReLU")
    slopes(convolutional(), torch.randn(4, 3, 24, 24))
    network = residual()
    size = sum(p.numel() for p in network.parameters())
    print(f"CPU seconds, residual network of {size:,} parameters, 8 rows of 3 × 32 × 32")
    for name, spent in seconds(network, torch.randn(8, 3, 32, 32)).items():
        print(f"    {name:16}  {spent:.2f}")


if __name__ == "__main__":
    main()

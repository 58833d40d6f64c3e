"""What each activation costs relative to ReLU, forward and backward.

    OMP_NUM_THREADS=1 python benchmarks/activations.py [DEVICE]

Each part's module is timed in turns with ReLU's on the same standard-normal tensor (`thalweg.parts.activations.cost`);
a figure is the ratio of the medians of 40 turns, the median of 3 such ratios. Backward includes the gradients of what
the activation learns. Sizes: a tensor that stays in the cache, and one that does not.
"""

import platform
import sys
from statistics import median

import torch

from thalweg.parts import activations
from thalweg.parts.activations import GELU, Activation
from thalweg.parts.activations.cost import cost

SIZES = (2**16, 2**22)
TURNS, REPEATS = 40, 3


def ratios(part: Activation, numbers: int, dtype: torch.dtype, device: str) -> tuple[float, float]:
    found = [cost(part, numbers=numbers, rounds=TURNS, dtype=dtype, device=device) for _ in range(REPEATS)]
    return median(f for f, _ in found), median(b for _, b in found)


def main() -> None:
    device = sys.argv[1] if len(sys.argv) > 1 else "cpu"
    torch.set_num_threads(1)
    where = platform.machine() if device == "cpu" else torch.cuda.get_device_name()
    print(f"torch {torch.__version__}, {where}, {device}, one thread\n")
    columns = [(numbers, dtype) for dtype in (torch.float32, torch.bfloat16) for numbers in SIZES]
    heads = [f"{numbers // 1024}k {str(dtype).removeprefix('torch.')}" for numbers, dtype in columns]
    print("| forward, backward relative to ReLU | " + " | ".join(heads) + " |\n|---|" + "---|" * len(heads))
    parts = [getattr(activations, name)() for name in activations.__all__ if name != "Identity"]
    for part in [*parts, GELU(approximate="tanh")]:
        cells = ["{:.2f}, {:.2f}".format(*ratios(part, numbers, dtype, device)) for numbers, dtype in columns]
        name = type(part).__name__ + (" tanh" if part == GELU(approximate="tanh") else "")
        print(f"| {name} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()

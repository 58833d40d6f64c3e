"""Seconds of `experiment.check`: on the programs of the cases, and on a network of 25 million parameters.

    OMP_NUM_THREADS=1 python benchmarks/doctor_cost.py [--every 4] [--cases ../shared/cases]     # one core
    OMP_NUM_THREADS=2 python benchmarks/doctor_cost.py --large                                   # two cores

The large network is a residual network with bottlenecks as ResNet-50 (He et al. 2016: 3, 4, 6, 3 blocks; 25.6 million
parameters, batch norm), on images of noise and 1,000 classes. The limits are
3 s in the median and 10 s at most for the cases, and 30 s for the large network.
"""

import argparse
import json
import sys
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import thalweg as tw
from doctor import CASES, plan_of
from thalweg.errors import ThalwegError

HELD = 128  # validation rows


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions, four times as wide at the end, with a way past them."""

    def __init__(self, inputs: int, width: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, stride, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, 4 * width, 1, bias=False),
            nn.BatchNorm2d(4 * width),
        )
        self.past: nn.Module = nn.Identity()
        if stride > 1 or inputs != 4 * width:
            self.past = nn.Sequential(nn.Conv2d(inputs, 4 * width, 1, stride, bias=False), nn.BatchNorm2d(4 * width))
        self.last = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.body(x) + self.past(x))  # type: ignore[no-any-return]


def residual_network(classes: int = 1000, blocks: Sequence[int] = (3, 4, 6, 3)) -> nn.Sequential:
    """ResNet-50 by its block counts."""
    parts: list[nn.Module] = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(inplace=True)]
    parts.append(nn.MaxPool2d(3, 2, 1))
    inputs = 64
    for stage, count in enumerate(blocks):
        for block in range(count):
            parts.append(Bottleneck(inputs, 64 * 2**stage, 2 if stage and not block else 1))
            inputs = 256 * 2**stage
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))


def seconds_of_check(model: Any, plan: tw.Plan, **data: Any) -> tuple[float, float, Any]:
    """Wall time, CPU time, and the check."""
    with tempfile.TemporaryDirectory() as directory:
        experiment = tw.Experiment(model, **data, test=False, metrics=[], directory=directory)
        started, cpu = time.perf_counter(), time.process_time()
        found = experiment.check(plan)
        return time.perf_counter() - started, time.process_time() - cpu, found


def large(sizes: Sequence[int], rows: int) -> None:
    """The large network on images of each size."""
    print("| image | parameters | seconds | CPU seconds | alarms |\n|---|---|---|---|---|")
    for size in sizes:
        generator = torch.Generator().manual_seed(0)
        x = torch.randn(rows + HELD, 3, size, size, generator=generator)
        y = torch.arange(rows + HELD) % rows % 1000  # noise has no classes; each is there
        torch.manual_seed(0)
        network = residual_network()
        optimizer = tw.optimizers.SGD(lr=0.1, momentum=0.9, weight_decay=1e-4)
        plan = tw.Plan.plain(optimizer=optimizer, epochs=90, batch_size=64, probes=True, seed=0)
        data = {"train": (x[:rows], y[:rows]), "validation": (x[rows:], y[rows:]), "loss": "cross_entropy"}
        wall, cpu, found = seconds_of_check(network, plan, **data)
        count = sum(p.numel() for p in network.parameters())
        alarms = ", ".join(f.code for f in found.findings if f.counts) or "none"
        print(f"| {size} x {size} | {count:,} | {wall:.1f} | {cpu:.1f} | {alarms} |", flush=True)


def cases(folder: Path, every: int) -> None:
    """Every so many of the programs of the cases."""
    sys.path.insert(0, str(folder))
    from programs import make_program, specs  # type: ignore[import-not-found]

    found = []
    for spec in [s for s in specs(folder / "open.jsonl") if not s.get("loop")][::every]:
        program = make_program(spec, folder.parent / "data")
        plan = plan_of(program)
        if plan is None:
            continue
        data = {"train": program.train, "validation": program.validation, "loss": program.loss, "task": program.task}
        try:
            wall, cpu, _ = seconds_of_check(program.build_model, plan, **data)
        except ThalwegError:
            continue
        found.append({"id": program.id, "seconds": wall, "cpu": cpu})
        print(json.dumps(found[-1]), flush=True)
    walls, cpus = [f["seconds"] for f in found], [f["cpu"] for f in found]
    print(f"\n{len(found)} programs: median {median(walls):.2f} s (CPU {median(cpus):.2f} s), ", end="")
    print(f"largest {max(walls):.2f} s (CPU {max(cpus):.2f} s)")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="only the large network")
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 224])
    parser.add_argument("--rows", type=int, default=512)
    parser.add_argument("--every", type=int, default=4)
    parser.add_argument("--cases", type=Path, default=CASES)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    if options.large:
        large(options.sizes, options.rows)
    elif options.cases.is_dir():
        cases(options.cases, options.every)
    else:
        print(f"skipped: {options.cases} is not there")


if __name__ == "__main__":
    main()

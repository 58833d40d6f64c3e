"""An array of 2 GB on disk, trained on for one epoch: the memory it takes, and rows per second beside a DataLoader.

    python benchmarks/larger_than_memory.py [--gigabytes 2] [--columns 1024] [--folder /tmp]

Each is a process of its own on the same file, one thread, batches of 256: `thalweg` is an Experiment from the file's
path to the end of an epoch, standardization, check and validation included, and beside it the epoch alone; the
DataLoader reads items of the memory map and trains the same network, which is the usual loop. Memory is the kernel's
own maximum, `ru_maxrss`, of the process and its children. The file is written by a process of its own, because each
begins with its parent's maximum, and read once, so that the page cache holds it for both.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

BATCH, CLASSES, BLOCK = 256, 10, 2**14


def make(folder: Path, gigabytes: float, columns: int) -> None:
    """x.npy and y.npy, written a block at a time: the class shifts a tenth of the columns."""
    rows = int(gigabytes * 1e9 / 4 / columns)
    generator = np.random.default_rng(0)
    y = generator.integers(0, CLASSES, rows)
    x = np.lib.format.open_memmap(folder / "x.npy", mode="w+", dtype=np.float32, shape=(rows, columns))
    width = columns // CLASSES
    for start in range(0, rows, BLOCK):
        block = generator.standard_normal((min(BLOCK, rows - start), columns), dtype=np.float32)
        for label in range(CLASSES):
            block[y[start : start + BLOCK] == label, label * width : (label + 1) * width] += 0.2
        x[start : start + BLOCK] = block
    x.flush()
    np.save(folder / "y.npy", y)


def memory() -> float:
    """The largest resident memory so far, of this process or of one of its children, in GB."""
    kinds = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return max(resource.getrusage(kind).ru_maxrss for kind in kinds) * 1024 / 1e9


def network(columns: int) -> "nn.Module":  # noqa: F821
    from torch import nn

    return nn.Sequential(nn.Linear(columns, 64), nn.ReLU(), nn.Linear(64, CLASSES))


def ours(folder: Path, columns: int) -> None:
    import thalweg as tw
    from thalweg.events import EpochEnded

    started = time.perf_counter()
    epochs: list[EpochEnded] = []
    x, y = folder / "x.npy", folder / "y.npy"
    experiment = tw.Experiment(network(columns), train=(x, y), loss="cross_entropy", directory=folder / "runs")
    made = time.perf_counter() - started
    plan = tw.Plan(optimizer=tw.optimizers.Adam(lr=1e-3), epochs=1, batch_size=BATCH)
    experiment.train(plan, listeners=[lambda e: epochs.append(e) if isinstance(e, EpochEnded) else None])
    rows, seconds = len(experiment.data.train), time.perf_counter() - started
    (last,) = epochs
    remark = f"{made:.1f} s to make, {seconds:.1f} s in all"
    print(f"| thalweg, the epoch | {last.rows_per_second:,.0f} | | accuracy {last.metric or 0:.3f} |")
    print(f"| thalweg, all of it | {rows / seconds:,.0f} | {memory():.2f} | {remark} |")


def loader(folder: Path, columns: int) -> None:
    import torch
    from torch.nn.functional import cross_entropy
    from torch.utils.data import DataLoader, Dataset, Subset

    x, y = np.load(folder / "x.npy", mmap_mode="r"), torch.from_numpy(np.load(folder / "y.npy"))

    class Map(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(y)

        def __getitem__(self, row: int) -> tuple[torch.Tensor, torch.Tensor]:
            return torch.from_numpy(x[row].copy()), y[row]

    model = network(columns)
    optimizer = torch.optim.Adam(model.parameters())
    some = torch.randperm(len(y))[: round(0.65 * len(y))].tolist()
    started = time.perf_counter()
    for inputs, target in DataLoader(Subset(Map(), some), batch_size=BATCH, shuffle=True):
        optimizer.zero_grad()
        cross_entropy(model(inputs), target).backward()
        optimizer.step()
    seconds = time.perf_counter() - started
    print(f"| DataLoader over the memory map, the epoch | {len(some) / seconds:,.0f} | {memory():.2f} | |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gigabytes", type=float, default=2.0)
    parser.add_argument("--columns", type=int, default=1024)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--only", choices=["make", "ours", "loader"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.only == "make":
        make(given.folder, given.gigabytes, given.columns)
        return
    if given.only:
        import torch

        torch.set_num_threads(1)
        (ours if given.only == "ours" else loader)(given.folder, given.columns)
        return
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        run = [sys.executable, __file__, "--columns", str(given.columns), "--folder", folder, "--only"]
        subprocess.run([*run, "make", "--gigabytes", str(given.gigabytes)], check=True)
        print(f"{given.gigabytes:g} GB, rows of {given.columns:,} float32\n")
        print("| | rows/s | largest resident memory, GB | |\n|---|---|---|---|", flush=True)
        subprocess.run(["cat", f"{folder}/x.npy"], stdout=subprocess.DEVNULL, check=True)  # into the page cache
        for which in ("ours", "loader"):
            subprocess.run([*run, which], check=True)


if __name__ == "__main__":
    main()

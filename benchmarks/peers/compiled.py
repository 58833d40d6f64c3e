"""The whole step as one compiled graph: how fast it is, and how long a training must be to earn the compiling back.

    python benchmarks/peers/compiled.py [--rounds 3] [--case a]

thalweg through its public face, monitors on, validation each epoch, records on disk; CPU time of the epochs after the
first, one thread, medians over epochs and rounds, interleaved with the loop of the PyTorch tutorial. "cold" is a
training of one epoch with an empty cache of compiled code, "cached" the same again; less an eager one's.
"""

import argparse
import os
import statistics
import tempfile
import time
from itertools import pairwise

import torch
from adapters.tutorial import train as tutorial
from cases import CASES, Case
from torch import Tensor
from work import Work, rows

EPOCHS = 8


def epochs_of_ours(case: Case, x: Tensor, y: Tensor, held: tuple[Tensor, Tensor], word: str) -> list[float]:
    """CPU seconds of each epoch after the first."""
    import thalweg as tw
    from thalweg.events import EpochEnded

    stamps: list[float] = []

    def stamp(event: object) -> None:
        if isinstance(event, EpochEnded):
            stamps.append(time.process_time())

    with tempfile.TemporaryDirectory() as folder:
        experiment = tw.Experiment(
            case.build(), train=(x, y), validation=held, test=False, loss="cross_entropy", directory=folder
        )
        sgd = tw.optimizers.SGD(lr=0.01, momentum=0.9)
        plan = tw.Plan.plain(optimizer=sgd, epochs=EPOCHS, batch_size=case.batch_size, compile=word)
        experiment.train(plan, listeners=(stamp,))
    return [later - earlier for earlier, later in pairwise(stamps)]


def seconds_of_one_epoch(case: Case, x: Tensor, y: Tensor, held: tuple[Tensor, Tensor], word: str) -> float:
    """Wall seconds of a training of one epoch."""
    from adapters import thalweg as ours

    started = time.perf_counter()
    ours.train(Work(case.build(), x, y, held, case.batch_size, 1), compile=word)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", default="a")
    options = parser.parse_args()
    torch.set_num_threads(1)
    case = CASES[options.case]
    x, y = rows(case.batch_size * case.steps_per_epoch, case.shape)
    held = rows(64, case.shape, seed=2)
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = cache
        seconds_of_one_epoch(case, x, y, held, "never")
        eager, cold, cached = (seconds_of_one_epoch(case, x, y, held, w) for w in ("never", "always", "always"))
        ratios: dict[str, list[float]] = {"never": [], "always": []}
        base: list[float] = []
        for _ in range(options.rounds):
            started = time.process_time()
            tutorial(Work(case.build(), x, y, held, case.batch_size, EPOCHS))
            base.append((time.process_time() - started) / EPOCHS)
            for word, found in ratios.items():
                found += [base[-1] / seconds for seconds in epochs_of_ours(case, x, y, held, word)]
    print(f"torch {torch.__version__}, one thread, {options.rounds} rounds of {EPOCHS - 1} epochs: {case.title}\n")
    print("| step | speed | least to largest |\n|---|---|---|")
    for name, word in (("thalweg, eager", "never"), ("thalweg, compiled", "always")):
        values = ratios[word]
        print(f"| {name} | {statistics.median(values):.2f}x | {min(values):.2f} to {max(values):.2f} |")
    micro = statistics.median(base) / case.steps_per_epoch * 1e6
    print(f"\ntutorial loop {micro:.0f} µs a step; compiling: {cold - eager:.1f} s cold, {cached - eager:.1f} s cached")


if __name__ == "__main__":
    main()

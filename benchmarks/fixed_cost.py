"""What a training costs besides its steps: `experiment.train(Plan.plain(...))` minus the bare loop, part by part.

    python benchmarks/fixed_cost.py [--rounds 15]

One epoch of the 64-128-128-10 network on 1,150 rows, without probes. Wall and process CPU in milliseconds, medians of
interleaved rounds in one warm process; the first round of a process, which imports, is shown apart. The bare loop makes
the same steps and validates once. The parts are wall medians of the same rounds; they do not overlap.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

import thalweg as tw
from thalweg import experiment as experiment_module
from thalweg import session as session_module
from thalweg.train.loop import Training

EPOCHS, BATCH = 1, 64
PARTS: list[tuple[str, Any, str]] = [
    ("set up: network, plan, a trial of the rows", tw.Experiment, "_set_up"),
    ("folder and lock", experiment_module, "new_run_folder"),
    ("store", session_module, "Store"),
    ("facts: layers, environment", session_module.Session, "_facts"),
    ("facts: digest of the rows", tw.Experiment, "_digest"),
    ("preparation saved", session_module, "save_preparation"),
    ("training prepared", session_module.Session, "_training"),
    ("epochs, with their validation", Training, "_epoch"),
    ("checkpoint", Training, "save"),
    ("weights kept and measured", session_module.Session, "_keep"),
    ("diagnosis and end", session_module.Session, "_end"),
]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))


def bare(x: Tensor, y: Tensor, held_x: Tensor, held_y: Tensor) -> None:
    """The loop a person would write, on resident rows."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(EPOCHS):
        order = torch.randperm(len(x))
        for rows in order.split(BATCH):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
        with torch.no_grad():
            output = model(held_x)
            float(nn.functional.cross_entropy(output, held_y)), float((output.argmax(1) == held_y).float().mean())


class Clock:
    """Wall and CPU milliseconds of each call of a function, by name; calls inside another timed one are its own."""

    def __init__(self) -> None:
        self.taken: dict[str, list[tuple[float, float]]] = {}
        self.inside = False

    def timed(self, name: str, function: Callable[..., Any], *, part: bool = False) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            if part and self.inside:
                return function(*arguments, **named)
            self.inside = part
            wall, cpu = time.perf_counter(), time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                taken = (time.perf_counter() - wall) * 1000, (time.process_time() - cpu) * 1000
                self.taken.setdefault(name, []).append(taken)
                self.inside = False if part else self.inside

        return call

    def median(self, name: str, which: int, rounds: int) -> float:
        """Per round, without the first; a part may be called several times in one."""
        values = [taken[which] for taken in self.taken.get(name, [])]
        per_round = max(len(values) // (rounds + 1), 1)
        sums = [sum(values[k : k + per_round]) for k in range(per_round, len(values), per_round)]
        return statistics.median(sums) if sums else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    digits = load_digits()
    x, y = torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target)
    clock = Clock()
    for name, home, attribute in PARTS:
        setattr(home, attribute, clock.timed(name, getattr(home, attribute), part=True))
    with tempfile.TemporaryDirectory() as folder:
        experiment = tw.Experiment(network, train=(x, y), loss="cross_entropy", directory=Path(folder))
        train, held = experiment.data.train, experiment.data.validation
        plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=EPOCHS, batch_size=BATCH)
        ours = clock.timed("train", lambda: experiment.train(plan, listeners=()))
        theirs = clock.timed("bare", bare)
        for _ in range(rounds + 1):
            theirs(train.inputs, train.target, held.inputs, held.target)
            ours()
    first = clock.taken["train"][0]
    print("| | wall, ms | CPU, ms |\n|---|---|---|")
    for name, _, _ in PARTS:
        print(f"| {name} | {clock.median(name, 0, rounds):.1f} | {clock.median(name, 1, rounds):.1f} |")
    whole, loop = ([clock.median(name, k, rounds) for k in (0, 1)] for name in ("train", "bare"))
    print(f"| whole training | {whole[0]:.1f} | {whole[1]:.1f} |\n| bare loop | {loop[0]:.1f} | {loop[1]:.1f} |")
    print(f"| **fixed cost** | **{whole[0] - loop[0]:.1f}** | **{whole[1] - loop[1]:.1f}** |")
    print(f"| the first training of a process | {first[0]:.0f} | {first[1]:.0f} |")


if __name__ == "__main__":
    main()

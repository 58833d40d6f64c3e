"""Peak memory of a training of 25 million parameters with Adam, each trainer in a process of its own.

    python benchmarks/peers/memory.py [--rounds 3] [--only thalweg]

The largest resident size of the process; "start" is what was resident once the trainer was imported and the model and
the rows were made; medians of processes, which differ by some 5 %. 2 epochs of 10 steps of 64 rows; one thread.
thalweg never trains the user's module in place: given a module, it keeps a copy (101 MB here); given a function that
builds one, it needs none, as in the second row.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

import torch
from torch import nn
from trainers import PEERS, TUTORIAL, Form, forms_of, silence
from work import Work, rows

WIDTH, LAYERS, STEPS, BATCH = 2048, 6, 10, 64


def network() -> nn.Module:
    """25.3 million parameters: 101 MB of weights, and with gradients and Adam's two averages 405 MB."""
    layers: list[nn.Module] = [nn.Linear(64, WIDTH), nn.ReLU()]
    for _ in range(LAYERS):
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
    return nn.Sequential(*layers, nn.Linear(WIDTH, 10))


def resident() -> float:
    """MB of this process now."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def forms_in_memory(trainer: str) -> list[Form]:
    """A trainer's forms, less those that differ in speed only."""
    if trainer == "thalweg":
        plain = forms_of(trainer)[0].train
        return [Form("thalweg, from a module", plain), Form("thalweg, from a builder", plain)]
    return [form for form in forms_of(trainer) if not form.tuned]


def measure(trainer: str, index: int) -> None:
    """Trains in this process, and prints its name, the resident MB before, and the peak."""
    torch.set_num_threads(1)
    with silence():
        form = forms_in_memory(trainer)[index]
    x, y = rows(STEPS * BATCH, (64,))
    model = network if "builder" in form.name else network()
    work = Work(model, x, y, rows(64, (64,), seed=2), BATCH, 2, adam=True, rate=1e-4)
    before = resident()
    with silence():
        form.train(work)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
    print(json.dumps([form.name, before, peak]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[])
    parser.add_argument("--form", nargs=2, metavar=("TRAINER", "INDEX"), help="measure one form in this process")
    options = parser.parse_args()
    if options.form:
        measure(options.form[0], int(options.form[1]))
        return
    print("| trainer | start, MB | peak, MB | peak / the loop's |\n|---|---|---|---|")
    loop = 1.0
    for trainer in ("tutorial", *(options.only or ("thalweg", *PEERS))):
        with silence():
            count = len(forms_in_memory(trainer))
        for index in range(count):
            command = [sys.executable, __file__, "--form", trainer, str(index)]
            measured = [
                json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
                for _ in range(options.rounds)
            ]
            name = measured[0][0]
            before, peak = (statistics.median(values[k] for values in measured) for k in (1, 2))
            loop = peak if name == TUTORIAL else loop
            print(f"| {name} | {before:.0f} | {peak:.0f} | {peak / loop:.2f}x |", flush=True)


if __name__ == "__main__":
    main()

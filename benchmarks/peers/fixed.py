"""What a training costs besides its steps: one step on 2,048 rows, less the same step of the tutorial loop.

    python benchmarks/peers/fixed.py [--rounds 5]

Milliseconds of wall time and of CPU time, in a process that has imported and used the trainer before; without probes;
interleaved, medians. What a trainer writes by default (records, checkpoints), it writes to the disk. What the automatic
plan measures before it chooses (layout, compiling, the rate) is not in it: `Plan.plain` chooses nothing.
"""

import argparse
import statistics
import time
from dataclasses import replace

import torch
from cases import CASES, Case
from trainers import TUTORIAL, Form, all_forms, silence
from work import Work, rows

ROWS = 2048


def seconds(form: Form, work: Work) -> tuple[float, float]:
    """Wall and CPU time of one training."""
    with silence():
        wall, cpu = time.perf_counter(), time.process_time()
        form.train(replace(work, tuned=form.tuned))
        return time.perf_counter() - wall, time.process_time() - cpu


def measure(case: Case, chosen: list[Form], rounds: int) -> dict[str, tuple[float, float]]:
    """Per form, the median seconds over the tutorial loop: wall and CPU."""
    x, y = rows(ROWS, case.shape)
    held = rows(64, case.shape, seed=2)
    over: dict[str, list[tuple[float, float]]] = {form.name: [] for form in chosen}
    for k in range(rounds + 1):
        taken = {form.name: seconds(form, Work(case.build(), x, y, held, ROWS, 1)) for form in chosen}
        for name, (wall, cpu) in taken.items():
            if k:  # the first round warms up
                over[name].append((wall - taken[TUTORIAL][0], cpu - taken[TUTORIAL][1]))
    return {
        name: (statistics.median(wall for wall, _ in values), statistics.median(cpu for _, cpu in values))
        for name, values in over.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="*", default=[])
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [form for form in all_forms(options.only) if not form.tuned and form.name != "thalweg, chosen step"]
    found = [measure(CASES[letter], chosen, options.rounds) for letter in "ab"]
    print(f"torch {torch.__version__}, one thread, {options.rounds} rounds\n")
    print("| trainer | MLP: wall, ms | CPU, ms | CNN: wall, ms | CPU, ms |\n|---|---|---|---|---|")
    for form in chosen[1:]:
        cells = [f"{1000 * value:.0f}" for medians in found for value in medians[form.name]]
        print(f"| {form.name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()

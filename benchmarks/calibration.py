"""What healthy programs measure beside the limits that rules have: where the numbers of the limits come from.

    OMP_NUM_THREADS=1 python benchmarks/calibration.py [--generated] [--every 1] [--cases ../shared/cases]

Each program that is healthy by outcome is checked and trained as `doctor.py` does it. A row of the table is one
quantity that a rule compares with a limit: how many programs have it, its median, the value furthest to the limit's
side, and the program that has that one. A limit is sound where the last lies on its healthy side; most rules ask for
harm besides.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import torch

from doctor import CASES, experiment_of, plan_of, programs_of
from thalweg.readings import Readings
from thalweg.rules.act.act03_dying_units import HALF
from thalweg.rules.data.data06_split_shift import MUCH
from thalweg.rules.fit.fit01_overfit import LOST
from thalweg.rules.gen.outcome import POOR, training_share, validation_share
from thalweg.rules.label.label02_noisy import LEAST
from thalweg.rules.loss.loss02_head_mismatch import ALIGNED
from thalweg.rules.mode.mode01_evaluation_noise import NOISE
from thalweg.rules.opt.opt05_beyond_stability import BEYOND
from thalweg.rules.signal import GROWN, SATURATED, growth

Measured = Callable[[Readings], float | None]


def passed(readings: Readings) -> float | None:
    """The share of the differences between rows that reaches the last layer."""
    flow = readings.of("flow.spread")
    return flow[-1].value / flow[0].value if len(flow) > 1 and flow[0].value > 0 else None


def most(name: str) -> Measured:
    def measured(readings: Readings) -> float | None:
        return max((r.value for r in readings.of(name)), default=None)

    return measured


def bottom(name: str) -> Measured:
    def measured(readings: Readings) -> float | None:
        found = readings.last(name)
        return None if found is None else found.value if found.low is None else found.low

    return measured


def sharpness(readings: Readings) -> float | None:
    sharp, limit = readings.last("curvature.sharpness"), readings.value("curvature.limit")
    return None if sharp is None or not limit else (sharp.value if sharp.low is None else sharp.low) / limit


# What, the rule, its limit, whether values above it are suspect, and how it is read.
QUANTITIES: tuple[tuple[str, str, float, bool, Measured], ...] = (
    ("growth of the spread over the hidden layers", "INIT02", GROWN, True, growth),
    ("share of the spread that reaches the last layer", "INIT03, FIT01", LOST, False, passed),
    ("inputs of an activation at its flat ends", "ACT01", SATURATED, True, most("units.saturated")),
    ("dead units of a layer", "ACT03", HALF, True, most("units.dead")),
    ("noise of evaluation", "MODE01", NOISE, True, most("mode.noise")),
    ("alignment with the cross-entropy", "LOSS02", ALIGNED, False, bottom("loss.alignment")),
    ("wrong labels, lower end", "LABEL02", LEAST, True, bottom("labels.noise")),
    ("area under the curve between the parts", "DATA06", MUCH, True, bottom("shift.auc")),
    ("of plain learners' score, on validation rows", "GEN02", POOR, False, validation_share),
    ("of plain learners' score, on training rows", "GEN02", POOR, False, training_share),
    ("sharpness over the stability limit, lower end", "OPT05", BEYOND, True, sharpness),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--generated", action="store_true", help="the programs of healthy_programs.json")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--cases", type=Path, default=CASES)
    options = parser.parse_args()
    options.file, options.data = options.cases / "open.jsonl", options.cases.parent / "data"
    options.kind, options.only, options.source, options.part, options.of = "healthy", None, None, 0, options.every
    if not options.generated and not options.file.is_file():
        print(f"skipped: {options.file} is not there")
        return
    torch.set_num_threads(1)
    values: list[list[tuple[float, str]]] = [[] for _ in QUANTITIES]
    for program, state, _ in programs_of(options):
        plan = plan_of(program)
        if state != "fine" or plan is None:
            continue
        with tempfile.TemporaryDirectory() as directory:
            experiment = experiment_of(program, directory, 0)
            readings = experiment.train(plan, listeners=()).store.readings()
        for found, (*_, measured) in zip(values, QUANTITIES, strict=True):
            value = measured(readings)
            if value is not None:
                found.append((value, program.id))
    print("| quantity | rule | limit | programs | median | furthest | program |\n|---|---|---|---|---|---|---|")
    for found, (what, rule, limit, above, _) in zip(values, QUANTITIES, strict=True):
        if found:
            far, name = max(found) if above else min(found)
            middle = median(value for value, _ in found)
            side = "below" if above else "above"
            print(f"| {what} | {rule} | {side} {limit:g} | {len(found)} | {middle:.3g} | {far:.3g} | {name} |")


if __name__ == "__main__":
    main()

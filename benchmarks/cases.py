"""Alarms on healthy and faulty training programs whose outcome is known.

    python benchmarks/cases.py healthy|faulty [--part 0 --of 1] [--cases ../shared/cases]

Each program is trained by `experiment.train` under `Plan.plain` with probes, with its own optimizer and batch size.
Programs with a loop or a schedule of their own are left out. An alarm is an error or warning that is more than a
suspicion. Detection counts programs that failed by outcome; a false alarm is one on a healthy program that is fine.
"""

import argparse
import json
import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import thalweg as tw
from thalweg.errors import ThalwegError

ROOT = Path(__file__).resolve().parent.parent
KINDS = {
    "sgd": tw.optimizers.SGD,
    "adam": tw.optimizers.Adam,
    "adamw": tw.optimizers.AdamW,
    "rmsprop": tw.optimizers.RMSprop,
    "adagrad": tw.optimizers.Adagrad,
}
SCHEDULES = {None: tw.schedules.Constant(), "cosine": tw.schedules.WarmupCosine(warmup=0.0)}


def plan_of(program: Any) -> tw.Plan | None:
    """The program's own plan; None where it has a part that thalweg does not have yet."""
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in program.optimizer.items() if k != "name"}
    kind = KINDS.get(program.optimizer["name"])
    if kind is None or program.schedule not in SCHEDULES:
        return None
    per_epoch = math.ceil(len(program.train[0]) / program.batch_size)
    return tw.Plan.plain(
        optimizer=kind(**options),
        epochs=max(1, min(program.epochs, round(program.max_steps / per_epoch))),
        batch_size=program.batch_size,
        schedule=SCHEDULES[program.schedule],
        probes=True,
        seed=0,
    )


def train(program: Any, plan: tw.Plan) -> tw.Run:
    experiment = tw.Experiment(
        program.build_model,
        train=program.train,
        validation=program.validation,
        test=False,
        loss=program.loss,
        task=program.task,
        metrics=[],
        directory=tempfile.mkdtemp(),
    )
    return experiment.train(plan, listeners=())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["healthy", "faulty"], nargs="?", default="healthy")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--only", help="the id of one program, whose findings are printed")
    parser.add_argument("--cases", type=Path, default=ROOT.parent / "shared" / "cases")
    options = parser.parse_args()
    if not options.cases.is_dir():
        print(f"skipped: {options.cases} is not there")
        return
    sys.path.insert(0, str(options.cases))
    from programs import make_program, specs  # type: ignore[import-not-found]

    torch.set_num_threads(1)
    truths = map(json.loads, (options.cases / "open.truth.jsonl").read_text().splitlines())
    states = {truth["id"]: truth["state"] for truth in truths}
    chosen = [s for s in specs(options.cases / "open.jsonl") if s["kind"] == options.kind and not s.get("loop")]
    chosen = [s for s in chosen if options.only in (None, s["id"])]
    judged = alarmed = first = 0
    print("| program | outcome | alarms | suspicions | seconds |\n|---|---|---|---|---|")
    for spec in chosen[options.part :: options.of]:
        program = make_program(spec, options.cases.parent / "data")
        plan, started = plan_of(program), time.perf_counter()
        if plan is None:
            continue
        try:
            findings = train(program, plan).findings
        except ThalwegError as error:
            print(f"| {program.id} | {states[program.id]} | refused: {str(error)[:80]} | | |", flush=True)
            continue
        if options.only:
            print(findings)
        alarms = [f for f in findings if f.counts]
        doubts = sorted({f.code for f in findings if not f.counts and f.severity != "note"})
        if states[program.id] == ("failed" if options.kind == "faulty" else "fine"):
            judged += 1
            alarmed += bool(alarms)
            first += bool(alarms) and alarms[0].cause in program.fault_families
        named = ", ".join(f"{f.code} {f.cause}" for f in alarms) or "none"
        seconds = time.perf_counter() - started
        print(f"| {program.id} | {states[program.id]} | {named} | {', '.join(doubts)} | {seconds:.1f} |", flush=True)
    right = f", the right cause first in {first}" if options.kind == "faulty" else ""
    print(f"\n{options.kind}: {alarmed} of {judged} programs raise an alarm{right}")


if __name__ == "__main__":
    main()

"""The doctor on training programs whose outcome is known: detection, causes, timing, false alarms, seconds.

    python benchmarks/doctor.py [--file ../shared/cases/open.jsonl] [--kind faulty] [--only ID ...] [--json out.jsonl]
    python benchmarks/doctor.py --generated                      # benchmarks/healthy_programs.json
    python benchmarks/doctor.py --generated --watch              # in a bare loop, under tw.watch
    python benchmarks/doctor.py --summarize out*.jsonl           # the tables of what was written before

Each program is first checked (`experiment.check`) and then trained (`experiment.train`) under `Plan.plain` with probes,
with its own optimizer, batch size, epochs and schedule. A program whose loop or schedule departs from the usual one is
trained by its own loop under `tw.watch`. What is refused at once is not detected.

An alarm is an error or warning that is more than a suspicion. Detection counts programs that failed by outcome; a false
alarm is one on a healthy program that is fine by outcome, or its refusal. Intervals are Wilson's, of 95 %.
"""

import argparse
import io
import json
import math
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch
from doctor_tables import tables
from healthy_programs import LIST, load_programs, train_plain

import thalweg as tw
from thalweg.errors import ThalwegError
from thalweg.events import Event, StageEnded
from thalweg.findings import Finding

ROOT = Path(__file__).resolve().parent.parent
CASES = ROOT.parent / "shared" / "cases"
OPTIMIZERS = {
    "sgd": tw.optimizers.SGD,
    "adam": tw.optimizers.Adam,
    "adamw": tw.optimizers.AdamW,
    "nadam": tw.optimizers.NAdam,
    "rmsprop": tw.optimizers.RMSprop,
    "adagrad": tw.optimizers.Adagrad,
    "lion": tw.optimizers.Lion,
}
SCHEDULES: dict[str | None, tw.schedules.Schedule] = {
    None: tw.schedules.Constant(),
    "cosine": tw.schedules.WarmupCosine(warmup=0.0),
    "warmup_cosine": tw.schedules.WarmupCosine(warmup=0.1),
    "linear": tw.schedules.Linear(),
    "one_cycle": tw.schedules.OneCycle(),
}


def plan_of(program: Any) -> tw.Plan | None:
    """The program's own plan; None where it has a part that thalweg does not have."""
    options = {k: tuple(v) if isinstance(v, list) else v for k, v in program.optimizer.items() if k != "name"}
    kind = OPTIMIZERS.get(program.optimizer["name"])
    if kind is None or program.schedule not in SCHEDULES or program.loop:
        return None
    per_epoch = math.ceil(len(program.train[1]) / program.batch_size)
    return tw.Plan.plain(
        optimizer=kind(**options),
        epochs=max(1, min(program.epochs, round(program.max_steps / per_epoch))),
        batch_size=program.batch_size,
        schedule=SCHEDULES[program.schedule],
        probes=True,
        seed=0,
    )


def experiment_of(program: Any, directory: str, seed: int) -> tw.Experiment:
    """The program as an experiment without test rows."""
    return tw.Experiment(
        program.build_model,
        train=program.train,
        validation=program.validation,
        test=False,
        loss=program.loss,
        task=program.task,
        metrics=[],
        directory=directory,
        seed=seed,
    )


def examined(program: Any, plan: tw.Plan, directory: str, seed: int) -> dict[str, Any]:
    """Checks and trains; the findings are those of the run."""
    experiment = experiment_of(program, directory, seed)
    plan = plan.replace(seed=seed)
    started, cpu = time.perf_counter(), time.process_time()
    check = experiment.check(plan)
    check_seconds, check_cpu = time.perf_counter() - started, time.process_time() - cpu
    before: list[dict[str, Any]] = []

    def listen(event: Event) -> None:  # what is told while there is no step yet
        if isinstance(event, StageEnded) and event.stage in ("check", "probe"):
            before.extend(told(f) for f in event.findings if f.counts)

    started = time.perf_counter()
    run = experiment.train(plan, listeners=(listen,))
    whole = time.perf_counter() - started
    spent = {name: run.store.get(name, {}).get("seconds", 0.0) for name in ("check", "probe")}
    diagnosis = run.store.get("diagnosis_seconds", 0.0)
    return {
        **sorted_findings(list(run.findings)),
        "checked": [told(f) for f in check.findings if f.counts],
        "told_before": before,
        "verdict": run.verdict,
        "check_seconds": check_seconds,
        "check_cpu_seconds": check_cpu,
        "race_seconds": spent["probe"],
        "diagnosis_seconds": diagnosis,
        "train_seconds": whole - sum(spent.values()) - diagnosis,
    }


def watched(program: Any, loop: Any, seed: int) -> dict[str, Any]:
    """Trains by the program's own loop under `tw.watch`."""
    if not hasattr(tw, "watch"):
        return {"status": "not judged"}
    seen: list[Any] = []

    def watch(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> Any:
        seen.append(tw.watch(model, optimizer))
        return seen[-1]

    started = time.perf_counter()
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        loop(program, watch, seed=seed)
    return {**sorted_findings(list(seen[0].findings)), "train_seconds": time.perf_counter() - started}


def sorted_findings(findings: list[Finding]) -> dict[str, Any]:
    """Alarms, suspicions and notes apart, each in the order of the diagnosis."""
    alarms = [f for f in findings if f.counts]
    notes = [f for f in findings if f.severity == "note"]
    doubts = [f for f in findings if f not in alarms and f not in notes]
    parts = {"alarms": alarms, "suspicions": doubts, "notes": notes}
    return {"status": "judged"} | {name: [told(f) for f in found] for name, found in parts.items()}


def told(finding: Finding) -> dict[str, Any]:
    """What is counted of a finding, and its text to read."""
    names = ("code", "cause", "severity", "standing", "step", "place", "title")
    return {name: getattr(finding, name) for name in names} | {"text": str(finding)}


def examine(program: Any, loop: Any, seed: int, *, watch: bool = False) -> dict[str, Any]:
    """One program; what is raised is part of the result."""
    started, plan = time.perf_counter(), None if watch else plan_of(program)
    try:
        with tempfile.TemporaryDirectory() as directory:
            found = watched(program, loop, seed) if plan is None else examined(program, plan, directory, seed)
    except ThalwegError as error:
        found = {"status": "refused", "error": str(error)}
    except Exception as error:  # one program must not end the table; the error is listed below it
        found = {"status": "broken", "error": f"{error!r}\n{traceback.format_exc()}"}
    families = list(program.fault_families)
    known = {"id": program.id, "source": program.source, "group": program.group, "kind": program.kind}
    way = "watch" if plan is None else "experiment"
    return {**known, "families": families, "way": way, **found, "seconds": time.perf_counter() - started}


def programs_of(options: argparse.Namespace) -> Iterator[tuple[Any, str, Any]]:
    """Each chosen program, its outcome, and what runs its own loop."""
    if options.generated:
        chosen = [p for p in load_programs(LIST, options.data) if not options.only or p.id in options.only]
        yield from ((program, "fine", train_plain) for program in chosen[options.part :: options.of])
        return
    sys.path.insert(0, str(options.cases))
    from programs import custom_loop, make_program, specs  # type: ignore[import-not-found]

    truths = map(json.loads, options.file.with_suffix(".truth.jsonl").read_text().splitlines())
    states = {truth["id"]: truth["state"] for truth in truths}
    chosen = [
        spec
        for spec in specs(options.file)
        if (not options.only or spec["id"] in options.only)
        and options.kind in (None, spec["kind"])
        and options.source in (None, spec["source"])
    ]
    for spec in chosen[options.part :: options.of]:
        yield make_program(spec, options.data), states[spec["id"]], custom_loop


def line_of(record: dict[str, Any]) -> str:
    """The row of one program."""
    named = ", ".join(f"{f['code']} {f['cause']}" for f in record.get("alarms", ())) or "none"
    if record["status"] != "judged":
        named = " ".join([record["status"], record.get("error", "")[:80]]).strip().replace("\n", " ")
    doubts = ", ".join(sorted({f["code"] for f in record.get("suspicions", ())}))
    outcome = f"{record['kind']}, {record['state']}"
    return f"| {record['id']} | {outcome} | {named} | {doubts} | {record['seconds']:.1f} |"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=CASES, help="the folder of programs.py")
    parser.add_argument("--file", type=Path, help="programs; their outcomes lie beside it as *.truth.jsonl")
    parser.add_argument("--data", type=Path, help="the folder of the data files; by default ../data beside the file")
    parser.add_argument("--generated", action="store_true", help="the healthy programs of this folder instead")
    parser.add_argument("--watch", action="store_true", help="all by a bare loop under tw.watch")
    parser.add_argument("--only", nargs="+", help="ids; their findings are printed")
    parser.add_argument("--kind", choices=["faulty", "healthy"])
    parser.add_argument("--source")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="appends one line per program; those that it has are left out")
    parser.add_argument("--summarize", nargs="+", type=Path, help="only the tables, of such files")
    options = parser.parse_args()
    options.file = options.file or options.cases / "open.jsonl"
    options.data = options.data or options.file.resolve().parent.parent / "data"
    return options


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def main() -> None:
    options = parse()
    if options.summarize:
        print(tables([record for path in options.summarize for record in read(path)]))
        return
    if not options.generated and not options.file.is_file():
        print(f"skipped: {options.file} is not there")
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    records = read(options.json) if options.json else []
    done = {record["id"] for record in records}
    print("| program | outcome | alarms | suspicions | seconds |\n|---|---|---|---|---|", flush=True)
    for program, state, loop in programs_of(options):
        if program.id in done:
            continue
        record = {"state": state, **examine(program, loop, options.seed, watch=options.watch)}
        records.append(record)
        print(line_of(record), flush=True)
        if options.only:
            print("\n\n".join(f["text"] for name in ("alarms", "suspicions", "notes") for f in record.get(name, ())))
            print(record.get("error", record.get("verdict", "")))
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(record) + "\n")
    print("\n" + tables(records))


if __name__ == "__main__":
    main()

"""Repair of training programs whose outcome is known: what `experiment.fix` reaches, its cost, random search beside it.

    python benchmarks/repair.py [--file ../shared/cases/open.jsonl] [--only ID ...] [--json out.jsonl] [--part 0 --of 2]
    python benchmarks/repair.py --summarize out*.jsonl

Each faulty program that failed or was impaired is trained as it is, then fixed, then trained by the fix with all its
steps on `--seeds` seeds; the gap is the share of the way from a constant answer to the program's reference (the
repaired program's median) at the last step. Programs whose fault lies where no plan and no model reaches it (their own
loop, labels, the split) are tabulated apart. Random search draws whole plans (optimizer, rate, batch size,
preprocessing, initialization, activation, clipping), trains each with all steps for as long as the fix took, at least
one, and keeps the best by its score on the validation rows if that is above the program's own.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import traceback
import warnings
from pathlib import Path
from typing import Any

import torch

import thalweg as tw
from doctor import CASES, experiment_of, plan_of, read
from thalweg.errors import ThalwegError

BY_HAND = {  # families that neither plan nor model mends: the data, the split, the loop, the measure of the loss
    *("label_corruption", "split_leak", "split_shift", "unshuffled", "gradient_accumulated", "class_imbalance"),
}
REPAIRED = 0.8  # of the gap


def outcome(program: Any, run: Any, loss: str | None) -> float:
    """The program's own metric on its validation rows, of the last weights."""
    inputs, target = program.honest or program.validation
    model = run.model.eval()
    with torch.no_grad():
        output = torch.cat([model(part) for part in inputs.split(500)])
    if loss is not None:  # the program cuts a single output where its own loss has the middle
        output = output.softmax(1) if output.shape[1] > 1 else output.sigmoid()
    return float(program.metric(output, target))


def trained(program: Any, experiment: tw.Experiment, plan: tw.Plan, loss: str | None, seeds: range) -> list[float]:
    found = []
    for seed in seeds:
        run = experiment.train(plan.replace(seed=seed, probes=False), listeners=())
        value = outcome(program, run, loss) if run.status == "completed" else float("nan")
        found.append(value)
    return found


def random_plan(plan: tw.Plan, task: str, draw: random.Random) -> tw.Plan:
    """A plan as a search over plans would draw it."""
    rate = 10 ** draw.uniform(-5, 0)
    optimizer: Any = draw.choice(
        [
            tw.optimizers.SGD(lr=rate, momentum=0.9),
            tw.optimizers.SGD(lr=rate),
            tw.optimizers.Adam(lr=rate),
            tw.optimizers.AdamW(lr=rate, weight_decay=0.01),
            tw.optimizers.RMSprop(lr=rate),
        ]
    )
    changes: dict[str, Any] = {
        "optimizer": optimizer,
        "batch_size": draw.choice([plan.batch_size, 32, 64, 128]),
        "preprocessing": draw.choice([plan.preprocessing, "standardize"]),
        "initialization": draw.choice([None, tw.initializers.He(), tw.initializers.LSUV()]),
        "activation": draw.choice([None, None, tw.activations.LeakyReLU(), tw.activations.ELU()]),
        "clip_norm": draw.choice([None, 1.0]),
    }
    if task == "regression":
        changes["target_scaling"] = draw.choice(["none", "standardize"])
    return plan.replace(**changes)


def searched(program: Any, experiment: tw.Experiment, plan: tw.Plan, own: float, seconds: float) -> tw.Plan:
    """The best of as many random plans as the time allows, at least one; the program's own if none is better."""
    draw = random.Random(f"{program.id}")
    best, best_value, until, count = plan, own, time.thread_time() + seconds, 0
    while not count or time.thread_time() < until:
        count += 1
        chosen = random_plan(plan, program.task, draw)
        try:
            run = experiment.train(chosen.replace(seed=0, probes=False), listeners=())
            value = outcome(program, run, None) if run.status == "completed" else float("nan")
        except ThalwegError:  # such as an activation that the network has none of
            continue
        if value > best_value or (best_value != best_value and value == value):
            best, best_value = chosen, value
    return best


def repaired(program: Any, plan: tw.Plan, truth: dict[str, Any], seeds: range, *, search: bool) -> dict[str, Any]:
    def gap(values: list[float]) -> float:
        value = statistics.median(-1e9 if v != v else v for v in values)
        return max((value - truth["baseline"]) / (truth["reference"] - truth["baseline"]), -1.0)

    with tempfile.TemporaryDirectory() as directory:
        experiment = experiment_of(program, directory, 0)
        run = experiment.train(plan, listeners=())
        own = outcome(program, run, None) if run.status == "completed" else float("nan")
        bare = trained(program, experiment, plan, None, seeds)
        fix = experiment.fix(run)
        fixed = trained(program, fix.experiment, fix.plan, fix.loss, seeds) if fix.accepted else bare
        # A training that was lost at once is no measure of time: the repaired one stands for it.
        chosen = (fix.experiment, fix.plan) if run.status == "failed" else (experiment, plan)
        started = time.thread_time()
        chosen[0].train(chosen[1].replace(probes=False), listeners=())
        training = time.thread_time() - started
        record = {
            "accepted": [each.change.text for each in fix.accepted],
            "effect": None if fix.effect is None else str(fix.effect),
            "manual": [each.code for each in fix.manual],
            "gap_before": gap(bare),
            "gap": gap(fixed),
            "seconds": fix.cost.seconds,
            "trainings": fix.cost.seconds / training,
            "steps": fix.cost.steps,
            "text": str(fix),
        }
        if search:
            chosen = searched(program, experiment, plan, own, fix.cost.seconds)
            record["gap_random"] = (
                gap(trained(program, experiment, chosen, None, seeds)) if chosen != plan else gap(bare)
            )
    return record


def is_by_hand(program: Any) -> bool:
    return bool(program.loop) or any(family in BY_HAND for family in program.fault_families[:1])


def table(records: list[dict[str, Any]]) -> str:
    lines = []
    for title, chosen in (
        ("by plan or model", [r for r in records if not r["by_hand"]]),
        ("by hand", [r for r in records if r["by_hand"]]),
    ):
        beside = any("gap_random" in r for r in chosen)
        heads = ["program", "gap before", "after", *(["random"] if beside else []), "accepted", "cost (trainings)", "s"]
        lines += [f"\n### Repairs {title}\n", row(heads), "|" + "---|" * len(heads)]
        for r in chosen:
            if "gap" not in r:
                lines.append(row([r["id"], *[""] * (len(heads) - 4), r["error"][:60], "", ""]))
                continue
            said = "; ".join(r["accepted"]) or ("by hand: " + ", ".join(r["manual"]) if r["manual"] else "nothing")
            gaps = [r["gap_before"], r["gap"], *([r.get("gap_random", float("nan"))] if beside else [])]
            cells = [f"{gap:.2f}" for gap in gaps]
            lines.append(row([r["id"], *cells, said, f"{r['trainings']:.2f}", f"{r['seconds']:.1f}"]))
        known = [r for r in chosen if "gap" in r]
        if known:
            lines += ["", summary(known, len(chosen), beside)]
    return "\n".join(lines)


def row(cells: list[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def summary(known: list[dict[str, Any]], count: int, beside: bool) -> str:
    """How many of `count` were repaired, at what cost, and what was accepted and is worse at the full horizon."""
    good = sum(r["gap"] >= REPAIRED for r in known)
    luck = sum(r.get("gap_random", -1.0) >= REPAIRED for r in known)
    worse = [r["id"] for r in known if r["accepted"] and r["gap"] < r["gap_before"] - 0.02]
    costs = [r["trainings"] for r in known]
    low, median, high = statistics.quantiles(costs, n=4) if len(costs) > 1 else costs * 3
    return (
        f"{good}/{count} = {good / count:.0%} reach {REPAIRED} of the gap"
        + (f"; random search at equal cost {luck}/{count}" if beside else "")
        + f". Median cost {median:.2f} trainings (quartiles {low:.2f} and {high:.2f})."
        + f" Accepted and worse: {', '.join(worse) or 'none'}."
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=CASES, help="the folder of programs.py")
    parser.add_argument("--file", type=Path, help="programs; their outcomes lie beside it as *.truth.jsonl")
    parser.add_argument("--data", type=Path)
    parser.add_argument("--only", nargs="+")
    parser.add_argument("--part", type=int, default=0)
    parser.add_argument("--of", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--no-random", action="store_true", help="without random search beside it")
    parser.add_argument("--json", type=Path, help="appends one line per program; those that it has are left out")
    parser.add_argument("--summarize", nargs="+", type=Path)
    options = parser.parse_args()
    options.file = options.file or options.cases / "open.jsonl"
    options.data = options.data or options.file.resolve().parent.parent / "data"
    return options


def main() -> None:
    options = parse()
    if options.summarize:
        print(table([record for path in options.summarize for record in read(path)]))
        return
    if not options.file.is_file():
        print(f"skipped: {options.file} is not there")
        return
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    sys.path.insert(0, str(options.cases))
    from programs import make_program, specs  # type: ignore[import-not-found]

    truths = {t["id"]: t for t in map(json.loads, options.file.with_suffix(".truth.jsonl").read_text().splitlines())}
    chosen = [
        spec
        for spec in specs(options.file)
        if spec["kind"] == "faulty"
        and truths[spec["id"]]["state"] in ("failed", "impaired")
        and (not options.only or spec["id"] in options.only)
    ]
    records = read(options.json) if options.json else []
    done = {record["id"] for record in records}
    for spec in chosen[options.part :: options.of]:
        if spec["id"] in done:
            continue
        program = make_program(spec, options.data)
        plan, truth = plan_of(program), truths[program.id]
        record: dict[str, Any] = {"id": program.id, "families": program.fault_families, "by_hand": is_by_hand(program)}
        if plan is None:
            record |= {"by_hand": True, "error": "its own loop: thalweg.watch says what to change"}
        else:
            try:
                record |= repaired(program, plan, truth, range(1, 1 + options.seeds), search=not options.no_random)
            except ThalwegError as error:
                record["error"] = str(error)
            except Exception as error:  # one program must not end the table
                record["error"] = f"{error!r} {traceback.format_exc()}"
        records.append(record)
        said = record.get("error", "")[-300:] or f"{record['gap_before']:.2f} -> {record['gap']:.2f}"
        cost = f"{record.get('trainings', 0):.2f} trainings"
        print(record["id"], said, f"random {record.get('gap_random', float('nan')):.2f}", record.get("accepted"), cost,
              flush=True)  # fmt: skip
        if options.only:
            print(record.get("text"))
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(record) + "\n")
    print(table(records))


if __name__ == "__main__":
    main()

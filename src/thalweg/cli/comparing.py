"""`thalweg compare`: plans of a file on paired seeds, or stored runs on the rows they share."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.cli.arguments import INTERRUPTED, OK
from thalweg.cli.commands import folder_of, load, reopen, speaking, write_document
from thalweg.cli.source import split_name
from thalweg.errors import UsageError
from thalweg.show.comparison import strip_lines
from thalweg.show.lines import hang, styled
from thalweg.show.printer import Printer

if TYPE_CHECKING:
    from thalweg.evaluate.comparison import Comparison
    from thalweg.plan import Plan


def compare(options: argparse.Namespace) -> int:
    """One file, or several runs."""
    files = [text for text in options.what if Path(split_name(text)[0]).is_file()]
    if files and len(options.what) > 1:
        raise UsageError(
            f"compare takes one file, or runs; received {len(options.what)} arguments, among them the file {files[0]}. "
            f"Values to compare come by --set: thalweg compare {files[0]} --set activation=relu,gelu."
        )
    return compare_plans(options) if files or looks_like_file(options) else compare_stored(options)


def looks_like_file(options: argparse.Namespace) -> bool:
    """Whether one argument names a Python file, also one that is not there, which `load` then says."""
    return len(options.what) == 1 and Path(split_name(options.what[0])[0]).suffix == ".py"


def compare_plans(options: argparse.Namespace) -> int:
    """Trains the file's experiment under each value, and prints what differs."""
    with speaking(options) as terminal:
        source = load(options.what[0])
        if options.directory:
            source.experiment.directory = Path(options.directory)
        try:
            found = source.experiment.compare(
                *arms(source.plan, options),
                seeds=options.seeds,
                splits=options.splits,
                tuned=options.tuned,
                budget=budget(options.budget),
                measure=options.measure,
                listeners=() if options.quiet else None,
            )
        except KeyboardInterrupt:
            print("\nInterrupted before a training of the comparison was complete.", file=sys.stderr)
            return INTERRUPTED
        folder = source.experiment.directory / found.folder
        show(found, terminal.out)
        terminal.saved("picture", str(folder / "comparison.svg"))
    status = INTERRUPTED if any(note.startswith("Interrupted") for note in found.notes) else OK
    write_document(options, lambda: {"command": "compare", **found.to_json(), "exit_status": status})
    return status


def show(found: "Comparison", printer: Printer) -> None:
    """Each arm on a common axis, the table, and what differs."""
    title, *rest = str(found).splitlines()
    table, told = rest[: len(found.arms) + 1], rest[len(found.arms) + 1 :]
    printer.print([styled(""), styled((title, "bold")), *strip_lines(found, width=printer.width), styled("")])
    printer.print([*map(styled, table), styled("")])
    for line in told:
        printer.print(hang(styled("- "), styled(line), width=printer.width))


def arms(plan: "Plan | None", options: argparse.Namespace) -> "list[Plan]":
    """One plan for each value of the one field that has several.

    Raises:
        UsageError: for none or several such fields, or one that is given twice.
    """
    from thalweg.plan import Plan

    given: dict[str, list[Any]] = {}
    for name, values in options.settings:
        if name in given:
            raise UsageError(f"--set {name} is given twice. Give its values with commas: --set {name}=A,B.")
        given[name] = values
    varied = [name for name, values in given.items() if len(values) > 1]
    if len(varied) != 1:
        told = f"{len(varied)} have: {', '.join(varied)}" if varied else "none has"
        raise UsageError(
            f"compare varies one field, which --set gives several values; {told}. For example: --set "
            "activation=relu,gelu --set epochs=20. Whole plans are compared in Python: experiment.compare(a, b)."
        )
    settings = {name: values[0] for name, values in sorted(given.items(), key=lambda item: item[0].count("."))}
    return [(plan or Plan()).replace(**settings | {varied[0]: value}) for value in given[varied[0]]]


def budget(text: str | None) -> float | str | None:
    """Seconds where it is a number.

    >>> budget("90"), budget("10min"), budget(None)
    (90.0, '10min', None)
    """
    try:
        return None if text is None else float(text)
    except ValueError:
        return text


def compare_stored(options: argparse.Namespace) -> int:
    """Compares stored runs on their validation rows, without a training."""
    options.directory = options.directory or "runs"
    refuse_training_words(options)
    if len(options.what) < 2:
        options.run = options.what[0]
        folder_of(options)  # that there is such a run
        raise UsageError(f"compare got one run, {options.run}. Give two: thalweg compare {options.run} OTHER.")
    with speaking(options) as terminal:
        from thalweg.compare.stored import compare_runs
        from thalweg.run import Run

        options.run = options.what[0]
        first, experiment = reopen(options)
        others = []
        for name in options.what[1:]:
            options.run = name
            others.append(Run.open(folder_of(options), experiment=experiment))
        found = compare_runs(experiment, [first, *others])
        for line in str(found).splitlines():
            terminal.print(*hang(styled(""), styled(line), width=terminal.out.width, indent=2))
        file = Path((first.store.get("source") or {}).get("file", "FILE")).name
        more = f"`thalweg compare {file} --set FIELD=A,B` trains several; in Python experiment.compare(run_a, run_b)."
        terminal.print(*hang(styled(""), styled(more), width=terminal.out.width))
    write_document(options, lambda: {"command": "compare", **found.to_json(), "exit_status": OK})
    return OK


def refuse_training_words(options: argparse.Namespace) -> None:
    """Raises `UsageError` for options that are about trainings, of which stored runs need none."""
    given = {
        "--set": options.settings,
        "--tuned": options.tuned,
        "--budget": options.budget,
        "--measure": options.measure,
        "--same-split": options.splits is False,
    }
    for word, value in given.items():
        if value:
            raise UsageError(
                f"{word} is about trainings; `thalweg compare RUN RUN` looks at runs that are trained. To train, name "
                f"the file: thalweg compare FILE --set FIELD=A,B."
            )

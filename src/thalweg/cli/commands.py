"""The commands of the command line: each a few lines over the public face."""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thalweg.cli.arguments import FOUND, INTERRUPTED, OK, settings_of
from thalweg.doctor.diagnosis import ignored_lines
from thalweg.errors import ThalwegError, UsageError, did_you_mean
from thalweg.events import StageEnded
from thalweg.show.diagnosis import labeled_lines
from thalweg.show.document import run_document, to_json
from thalweg.show.findings import at_or_above
from thalweg.show.lines import hang, styled
from thalweg.show.printer import Printer
from thalweg.show.terminal import Terminal, nearby, summary
from thalweg.store import FILE, Store

if TYPE_CHECKING:
    from thalweg.cli.source import Source
    from thalweg.evaluate.result import Result
    from thalweg.experiment import Experiment
    from thalweg.run import Run

# ---------------------------------------------------------------------- commands on a file


def check(options: argparse.Namespace) -> int:
    """`thalweg check FILE`."""
    with speaking(options) as terminal:
        source = load(options.file)
        found = source.experiment.check(
            plan_of(source, options), select=options.select or (), ignore=options.ignore or ()
        )
        terminal(StageEnded("check", len(found.passed), tuple(found.facts), tuple(found.findings), found.seconds))
        terminal.print(*labeled_lines("ignored", ignored_lines(found.ignored, found.unused), width=terminal.out.width))
        terminal.print(*summary(list(found.findings), width=terminal.out.width))
    status = FOUND if at_or_above(found.findings, options.fail_on) else OK
    write_document(
        options,
        lambda: {
            "command": "check",
            "passed": found.passed,
            "not_judged": found.not_judged,
            "facts": found.facts,
            "findings": [finding.to_json() for finding in found.findings],
            "ignored": [asdict(each) for each in found.ignored],
            "unused": found.unused,
            "seconds": found.seconds,
            "exit_status": status,
        },
    )
    return status


def preview(options: argparse.Namespace) -> int:
    """`thalweg preview FILE`."""
    with speaking(options) as terminal:
        source = load(options.file)
        found = source.experiment.preview(plan_of(source, options), images=options.images)
        path = found.save(options.output)
        terminal.saved("picture", str(path))
    drawn = found.drawn.splitlines()
    write_document(options, lambda: {"command": "preview", "picture": str(path), "drawn": drawn, "exit_status": OK})
    return OK


def train(options: argparse.Namespace) -> int:
    """`thalweg train FILE`: train, evaluate, report."""
    with speaking(options) as terminal:
        source = load(options.file)
        plan = plan_of(source, options)
        plan = plan.replace(fix=True) if options.fix else plan
        if options.directory:
            source.experiment.directory = Path(options.directory)
        select, ignore = options.select or (), options.ignore or ()
        run = source.experiment.train(plan, listeners=(terminal,), select=select, ignore=ignore)
        conclude(run, source.experiment, terminal, evaluate_too=not options.no_evaluate)
    return finish(run, options)


# ---------------------------------------------------------------------- commands on a run


def resume(options: argparse.Namespace) -> int:
    """`thalweg resume RUN`: from the last checkpoint to the end, then as `train`."""
    settings = settings_of(options)
    if other := [name for name in settings if name != "epochs"]:
        raise UsageError(
            f"A resumed run keeps its plan; --set {other[0]} cannot change it. Only epochs=N can be set, to go on for "
            "longer. Train a new run with the other value: thalweg train FILE --set ..."
        )
    if options.epochs is not None and settings:
        raise UsageError(f"--epochs {options.epochs} and --set epochs={settings['epochs']}: give one of them.")
    with speaking(options) as terminal:
        run, experiment = reopen(options)
        epochs = settings.get("epochs", options.epochs)
        run = experiment.resume(run, epochs=epochs, listeners=(terminal,))
        conclude(run, experiment, terminal, evaluate_too=not options.no_evaluate)
    return finish(run, options)


def diagnose(options: argparse.Namespace) -> int:
    """`thalweg diagnose RUN`."""
    with speaking(options) as terminal:
        run, experiment = reopen(options)
        found = experiment.diagnose(run, seconds=options.seconds, select=options.select, ignore=options.ignore)
        terminal.diagnosed(found)
        terminal.saved("report", str(run.report()))
    status = FOUND if at_or_above(found.findings, options.fail_on) else OK
    write_document(options, lambda: {"command": "diagnose", **found.to_json(), "exit_status": status})
    return status


def compare(options: argparse.Namespace) -> int:
    """`thalweg compare FILE --set FIELD=VALUES` or `thalweg compare RUN RUN`."""
    from thalweg.cli import comparing

    return comparing.compare(options)


def fix(options: argparse.Namespace) -> int:
    """`thalweg fix RUN [CODE]`."""
    from thalweg.cli import fixing

    return fixing.fix(options)


def evaluate(options: argparse.Namespace) -> int:
    """`thalweg evaluate RUN`."""
    with speaking(options) as terminal:
        run, experiment = reopen(options)
        show_result(experiment.evaluate(run, views=options.views), run, terminal)
        terminal.saved("report", str(run.report()))
    write_document(options, lambda: {"command": "evaluate", **run_document(run.directory), "exit_status": OK})
    return OK


def report(options: argparse.Namespace) -> int:
    """`thalweg report RUN`."""
    from thalweg.show.report import write_report

    folder = folder_of(options)
    path = Path(options.output) if options.output else folder / "report.html"
    write_report(folder, path)
    if options.format == "text":
        sys.stdout.write(f"{nearby(str(path))}\n")
    write_document(options, lambda: {"command": "report", "run": folder.name, "report": str(path)})
    return OK


def runs(options: argparse.Namespace) -> int:
    """`thalweg runs`."""
    from thalweg.show.runs import list_runs, runs_table

    lines = list_runs(Path(options.directory))
    write_document(options, lambda: [line.to_json() for line in lines])
    if options.format == "text":
        printer = Printer(sys.stdout)
        none = f"No runs in {options.directory}. `thalweg train FILE` makes one; --directory looks elsewhere."
        empty = hang(styled("  "), styled(none), width=printer.width)
        printer.print(runs_table(lines, width=printer.width) if lines else empty)
    return OK


def explain(options: argparse.Namespace) -> int:
    """`thalweg explain [CODE]`."""
    from thalweg.rules import all_rules, page, rule
    from thalweg.show.manual import print_page, rule_list

    printer = Printer(sys.stdout)
    if options.code is None:
        rules = all_rules()
        write_document(options, lambda: [{"code": r.code, "name": r.name, "summary": r.summary} for r in rules])
        if options.format == "text":
            printer.print(rule_list([(each.code, each.name) for each in rules], width=printer.width))
        return OK
    found = rule(options.code)
    write_document(options, lambda: {"code": found.code, "name": found.name, "page": found.page})
    if options.format == "text":
        print_page(printer, page(found.code))
    return OK


# ---------------------------------------------------------------------- parts of commands


@contextmanager
def speaking(options: argparse.Namespace) -> Iterator[Terminal]:
    """A terminal for people: on stdout, or on stderr where stdout is for one JSON document."""
    as_json = options.format == "json"
    terminal = Terminal(sys.stderr if as_json else sys.stdout, sys.stderr, quiet=options.quiet)
    try:
        with redirect_stdout(sys.stderr) if as_json else nullcontext():  # a model that prints must not break the JSON
            yield terminal
    finally:
        terminal.close()


def load(text: str) -> "Source":
    from thalweg.cli.source import load_source

    return load_source(text)


def plan_of(source: "Source", options: argparse.Namespace) -> Any:
    """The file's plan, or the automatic one, with what `--set` changes."""
    from thalweg.plan import Plan

    return (source.plan or Plan()).replace(**settings_of(options))


def conclude(run: "Run", experiment: "Experiment", terminal: Terminal, *, evaluate_too: bool) -> None:
    """Measures a completed run on the sealed rows, and writes the report of any run."""
    if run.status == "completed" and evaluate_too and experiment.data.test is not None:
        show_result(experiment.evaluate(run), run, terminal)
    terminal.saved("report", str(run.report()))
    if run.status == "interrupted":
        resume = f"thalweg resume {run.name}"
        if run.directory.parent != Path("runs"):
            resume = f"thalweg resume {nearby(str(run.directory))}"
        terminal.print(*hang(styled("  resume  "), styled((resume, "bold")), width=terminal.out.width))


def show_result(result: "Result", run: "Run", terminal: Terminal) -> None:
    from thalweg.show.measures import result_lines

    terminal.print(*result_lines(result, run.store.get("seal") or {}, width=terminal.out.width))


def finish(run: "Run", options: argparse.Namespace) -> int:
    """The exit status of a training, and its JSON document."""
    found = bool(at_or_above(run.findings, options.fail_on)) or run.status == "failed"
    status = INTERRUPTED if run.status == "interrupted" else FOUND if found else OK
    document = {"command": options.command, "report": str(run.directory / "report.html"), "exit_status": status}
    write_document(options, lambda: {**document, "metrics": run.metrics, **run_document(run.directory)})
    return status


def folder_of(options: argparse.Namespace) -> Path:
    """The folder of RUN: a path, or a name under `--directory`."""
    directory = Path(options.directory)
    for folder in (Path(options.run), directory / options.run):
        if (folder / FILE).is_file():
            return folder
    known = [path.parent.name for path in directory.glob(f"*/{FILE}")]
    raise UsageError(
        f"There is no run {options.run!r} in {directory}.{did_you_mean(options.run, known)} "
        "`thalweg runs` lists the runs; --directory looks in another folder."
    )


def reopen(options: argparse.Namespace) -> "tuple[Run, Experiment]":
    """A run with the experiment it was started from, found again by the file it stored, or in the one that is given."""
    folder = folder_of(options)
    stored = Store(folder / FILE).get("source") or {}
    loaded = load(options.file or source_of(stored, folder, options.command))
    if stored and loaded.facts["sha256"] != stored["sha256"]:
        text = (
            f"{nearby(loaded.facts['file'])} has changed since {folder.name} was started and is used as it is now. "
            "Where the change concerns the network, the loss or the data, this is not the same training."
        )
        printer = Printer(sys.stderr)
        printer.print(hang(styled(("note: ", "bold yellow")), styled(text), width=printer.width))
    from thalweg.run import Run

    return Run.open(folder, experiment=loaded.experiment), loaded.experiment


def source_of(stored: dict[str, str], folder: Path, command: str) -> str:
    """`FILE:NAME` of the experiment of a run: where it was, or, for a run that was moved, of that name here."""
    if not stored:
        raise UsageError(
            f"The run {folder.name} was started from Python, not with `thalweg train FILE`, so the command line does "
            f"not know its experiment. In Python: run = experiment.open({folder.name!r}), then "
            f"experiment.{command}(run). Or name a file that defines it: --file FILE[:NAME]."
        )
    for file in (Path(stored["file"]), Path(Path(stored["file"]).name)):
        if file.is_file():
            return f"{file}:{stored['name']}"
    raise UsageError(
        f"The run {folder.name} was started from {stored['file']}, which is gone. Say where the file is now: "
        f"thalweg {command} {folder} --file FILE. Without it, in Python: Run.open({str(folder)!r}, network=...)."
    )


def write_document(options: argparse.Namespace, document: Callable[[], Any]) -> None:
    """The JSON document on stdout, where it is asked for."""
    if options.format == "json":
        sys.stdout.write(to_json(document()) + "\n")


def print_error(error: ThalwegError, *, as_json: bool) -> None:
    """One clear message on stderr; the same as a document on stdout for machines."""
    notes = getattr(error, "__notes__", [])
    printer = Printer(sys.stderr)
    for k, text in enumerate([*str(error).splitlines(), *notes]):
        printer.print(hang(styled(("error: " if k == 0 else "  ", "bold red")), styled(text), width=printer.width))
    if as_json:
        message = "\n".join([str(error), *notes])
        sys.stdout.write(to_json({"error": {"kind": type(error).__name__, "message": message}}) + "\n")

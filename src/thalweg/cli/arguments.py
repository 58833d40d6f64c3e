"""Arguments, help and exit statuses; what a command does is in `commands`, which is imported when it is asked for."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from thalweg import __version__
from thalweg.errors import ThalwegError, UsageError

OK, FOUND, WRONG, INTERRUPTED = 0, 1, 2, 130

DESCRIPTION = """\
Takes a PyTorch network through the whole of being trained well: examines the
network and the data, finds the learning rate, trains, says what is wrong with
evidence and remedy, and measures once on a test set that stayed sealed."""

EPILOG = """\
FILE is a Python file that defines an experiment at module level:

    import thalweg as tw
    experiment = tw.Experiment(model, train=(x, y), loss="cross_entropy")
    plan = tw.Plan(epochs=20)         # optional; else everything is automatic

exit status: 0 clean; 1 findings at or above --fail-on (suspicions do not
count), or a training that failed; 2 wrong usage, data or model; 130 Ctrl-C.
environment: NO_COLOR, FORCE_COLOR, COLUMNS; THALWEG_DEBUG=1 shows tracebacks."""

EXAMPLES = {
    "check": "thalweg check train.py\n  thalweg check train.py --fail-on warning       # in CI\n"
    '  thalweg check train.py --select LOSS,INIT01 --ignore "DATA04: copies meant"',
    "preview": "thalweg preview train.py --set augmentation=trivial",
    "train": "thalweg train train.py\n  thalweg train train.py:small --set epochs=20\n"
    "  thalweg train train.py --set optimizer=SGD --set optimizer.lr=0.1\n"
    "  thalweg train train.py --format json > run.json",
    "diagnose": "thalweg diagnose amber-fjord-12\n  thalweg diagnose amber-fjord-12 --seconds 60\n"
    '  thalweg diagnose amber-fjord-12 --ignore "ACT03@block3*: wide on purpose"',
    "resume": "thalweg resume amber-fjord-12\n  thalweg resume amber-fjord-12 --epochs 40      # go on for longer\n"
    "  thalweg resume copied/amber-fjord-12 --file train.py",
    "compare": "thalweg compare train.py --set optimizer.lr=0.01,0.1\n"
    "  thalweg compare train.py --set dropout=0,0.2 --seeds auto --budget 10min\n"
    "  thalweg compare train.py --set optimizer=SGD,AdamW --tuned\n"
    "  thalweg compare amber-fjord-12 misty-cape-13   # two runs, row by row",
    "fix": "thalweg fix amber-fjord-12\n  thalweg fix amber-fjord-12 LR01 --train         # a new run by it\n"
    "  thalweg fix amber-fjord-12 --back               # forgets it",
    "evaluate": "thalweg evaluate amber-fjord-12\n  thalweg evaluate amber-fjord-12 --views 8       # averaged over 8",
    "report": "thalweg report amber-fjord-12\n  thalweg report runs/amber-fjord-12 --output digits.html",
    "runs": "thalweg runs\n  thalweg runs --format json | jq '.[].name'",
    "explain": "thalweg explain LOSS01\n  thalweg explain                                # all rules",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit status; every error on purpose is one clear message on stderr."""
    options = parser().parse_args(arguments)
    if not options.command:
        parser().print_help()
        return OK
    try:
        from thalweg.cli import commands

        status = int(getattr(commands, options.command)(options))
        sys.stdout.flush()
    except ThalwegError as error:
        return fail(error, options)
    except KeyboardInterrupt:
        print("\nInterrupted; nothing was being trained.", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        from thalweg.events import GONE
        from thalweg.show.printer import silence

        if error.errno not in GONE:
            raise
        silence(sys.stdout)  # the reader has left (`| head`); Python would complain again when it flushes at exit
        return OK
    return status


def fail(error: ThalwegError, options: argparse.Namespace) -> int:
    if os.environ.get("THALWEG_DEBUG"):
        raise error
    from thalweg.cli.commands import print_error

    print_error(error, as_json=getattr(options, "format", "text") == "json")
    return WRONG


# ---------------------------------------------------------------------- arguments


class Help(argparse.RawDescriptionHelpFormatter):
    """Keeps examples as they are written, and lines short."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=26, width=80)


class Parser(argparse.ArgumentParser):
    """Says where help is, after what was wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message}\n`{self.prog} --help` shows how it is used.\n")


def parser() -> argparse.ArgumentParser:
    whole = Parser(prog="thalweg", description=DESCRIPTION, epilog=EPILOG, formatter_class=Help)
    whole.add_argument("--version", action="version", version=f"thalweg {__version__}")
    commands = whole.add_subparsers(dest="command", metavar="COMMAND", title="commands", parser_class=Parser)

    check = add(commands, "check", "examine network, data, loss and start, before the first step", file=True)
    add_settings(check)
    add_wishes(check)
    add_output(check, progress=True, fail_on=True)

    preview = add(commands, "preview", "a picture of training images under the plan's augmentation", file=True)
    add_settings(preview)
    preview.add_argument("--images", type=int, default=8, metavar="N", help="how many images (default: 8)")
    preview.add_argument("--output", metavar="PATH", default="augmentation.html", help="default: augmentation.html")
    add_output(preview, progress=True)

    train = add(commands, "train", "check, find the rate, train, measure on the sealed test set, report", file=True)
    add_settings(train)
    add_wishes(train)
    train.add_argument("--no-evaluate", action="store_true", help="leave the test set sealed")
    train.add_argument("--fix", action="store_true", help="apply safe remedies as findings arise: --set fix=true")
    add_directory(train, "folder for the run (default: the experiment's, 'runs')", default=None)
    add_output(train, progress=True, fail_on=True)

    resume = add(commands, "resume", "go on with an interrupted run, bit-identical; or train one for longer", run=True)
    resume.add_argument("--epochs", metavar="N", type=int, help="go on to this many epochs; also a complete run")
    add_settings(resume, "only epochs=N, as --epochs")
    add_file(resume)
    resume.add_argument("--no-evaluate", action="store_true", help="leave the test set sealed")
    add_directory(resume)
    add_output(resume, progress=True, fail_on=True)

    diagnose = add(commands, "diagnose", "examine a run again: what it left out, or with more time", run=True)
    diagnose.add_argument("--seconds", metavar="S", type=float, help="time for the experiments after the training")
    add_wishes(diagnose, default="as the run was trained with")
    add_file(diagnose)
    add_directory(diagnose)
    add_output(diagnose, progress=True, fail_on=True)

    fix = add(commands, "fix", "try the remedies of a run on paired trainings; show what beats it", run=True)
    fix.add_argument("code", metavar="CODE", nargs="*", help="findings to mend (default: all)")
    fix.add_argument(
        "--seconds", metavar="S", type=float, help="time for the trials (default: 3 trainings, 30 s at least)"
    )
    fix.add_argument("--train", action="store_true", help="train by what was accepted, as a new run")
    fix.add_argument("--back", action="store_true", help="forget the fix: plan and findings as they were")
    add_file(fix)
    add_directory(fix)
    add_output(fix, progress=True, fail_on=True)

    add_comparison(commands)
    add_readers(commands)
    return whole


def add_readers(commands: Any) -> None:
    """The commands that train nothing."""
    evaluate = add(commands, "evaluate", "open the seal: measures on the test set with 95 %% intervals", run=True)
    evaluate.add_argument(
        "--views", type=int, default=1, metavar="N", help="average over N views of each row, by the run's augmentation"
    )
    add_file(evaluate)
    add_directory(evaluate)
    add_output(evaluate, progress=True)

    report = add(commands, "report", "write the report of a run, one HTML file", run=True)
    report.add_argument("--output", metavar="PATH", help="where to write it (default: report.html in the run's folder)")
    add_directory(report)
    add_output(report)

    runs = add(commands, "runs", "list the runs of a directory")
    add_directory(runs)
    add_output(runs)

    explain = add(commands, "explain", "print the manual page of a rule, or list all rules by family")
    explain.add_argument("code", metavar="CODE", nargs="?", help="a finding's code, such as LOSS01; none lists all")
    add_output(explain)


def add(commands: Any, name: str, summary: str, *, file: bool = False, run: bool = False) -> argparse.ArgumentParser:
    description = summary[0].upper() + summary[1:].replace("%%", "%") + "."
    epilog = f"examples:\n  {EXAMPLES[name]}"
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=summary, description=description, epilog=epilog, formatter_class=Help
    )
    if file:
        command.add_argument("file", metavar="FILE[:NAME]", help="Python file, and which of its experiments")
    if run:
        command.add_argument("run", metavar="RUN", help="name of a run, or the path of its folder")
    return command


def add_settings(command: argparse.ArgumentParser, text: str = "") -> None:
    command.add_argument(
        "--set", metavar="FIELD=VALUE", action="append", default=[], dest="settings", type=setting,
        help=text or "change a plan field, dotted for a part of it: optimizer.lr=0.1; may be repeated",
    )  # fmt: skip


def add_comparison(commands: Any) -> None:
    command = add(commands, "compare", "which of several plans is better on paired seeds, or which of several runs")
    text = "Python file, and which of its experiments; or runs"
    command.add_argument("what", metavar="FILE[:NAME] | RUN", nargs="+", help=text)
    command.add_argument(
        "--set", metavar="FIELD=VALUES", action="append", default=[], dest="settings", type=several,
        help="values of a plan field, with commas between them: optimizer.lr=0.01,0.1; one value holds for all arms",
    )  # fmt: skip
    text = "how many, which (0,1,2), or auto: until it is decided (default: 5)"
    command.add_argument("--seeds", metavar="N", default=5, type=seeds, help=text)
    text = "keep the validation rows under every seed"
    command.add_argument("--same-split", action="store_const", const=False, default="auto", dest="splits", help=text)
    command.add_argument("--tuned", action="store_true", help="tune each arm's rate before, at equal cost")
    command.add_argument("--budget", metavar="TIME", help="no seed is begun that would not fit: 90s, 10min, 2h")
    command.add_argument("--measure", metavar="NAME", help="on the validation rows (default: the plan's selection)")
    add_file(command)
    add_directory(command, "folder for the runs, or of them (default: the experiment's, 'runs')", default=None)
    add_output(command, progress=True)


def add_wishes(command: argparse.ArgumentParser, default: str = "all") -> None:
    command.add_argument(
        "--select",
        metavar="CODES",
        action="append",
        help=f"judge these rules or families only: ACT,LR01 (default: {default})",
    )
    command.add_argument(
        "--ignore", metavar="TEXT", action="append",
        help='leave out a finding, with the reason: "ACT03: known", "ACT03@block*: known"; may be repeated',
    )  # fmt: skip


def add_directory(command: argparse.ArgumentParser, text: str = "folder of the runs (default: runs)",
                  default: str | None = "runs") -> None:  # fmt: skip
    command.add_argument("--directory", metavar="PATH", default=default, help=text)


def add_file(command: argparse.ArgumentParser) -> None:
    text = "where the run's experiment is now (default: where it was, or the file of that name here)"
    command.add_argument("--file", metavar="FILE[:NAME]", help=text)


def add_output(command: argparse.ArgumentParser, *, progress: bool = False, fail_on: bool = False) -> None:
    what = "one document on stdout, progress on stderr" if progress else "one document on stdout"
    command.add_argument("--format", choices=("text", "json"), default="text", help=f"json: {what}")
    if progress:
        command.add_argument("--quiet", action="store_true", help="no progress: findings, measures and paths only")
    if fail_on:
        words = ("error", "warning", "note", "never")
        text = "exit with 1 on findings of this severity or graver (default: error)"
        command.add_argument("--fail-on", choices=words, default="error", help=text)


def setting(text: str) -> tuple[str, Any]:
    """`FIELD=VALUE`; the value is read as JSON, else as a Python literal, else as text.

    >>> [setting(s)[1] for s in ("a=1e-3", "a=None", "a=null", "a=(0.9, 0.99)", "a=SGD", 'a={"name": "SGD"}')]
    [0.001, None, None, (0.9, 0.99), 'SGD', {'name': 'SGD'}]
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is no FIELD=VALUE, such as epochs=20 or optimizer.lr=0.1")
    return name.strip(), read(value)


def read(value: str) -> Any:
    """JSON, else a Python literal, else the text."""
    import ast
    import json

    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError):
            pass
    return value.strip()


def several(text: str) -> tuple[str, list[Any]]:
    """`FIELD=VALUE,VALUE`: values as `setting` reads one, split at the commas that stand in no bracket or quote.

    >>> several("optimizer.lr=0.01,0.1"), several("activation=relu,None"), several("optimizer.betas=(0.9, 0.99)")
    (('optimizer.lr', [0.01, 0.1]), ('activation', ['relu', None]), ('optimizer.betas', [(0.9, 0.99)]))
    >>> several('schedule=Cosine,{"name": "Warmup", "steps": [1, 2]}')[1]
    ['Cosine', {'name': 'Warmup', 'steps': [1, 2]}]
    """
    import re

    name, _ = setting(text)
    value = text.partition("=")[2]
    parts, depth, last = [], 0, 0
    for found in re.finditer(r""""(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|[\[({\])},]""", value):
        depth += (found[0] in "[({") - (found[0] in "])}")
        if found[0] == "," and depth == 0:
            parts.append(value[last : found.start()])
            last = found.end()
    return name, [read(part) for part in [*parts, value[last:]]]


def seeds(text: str) -> int | list[int] | str:
    """
    >>> seeds("5"), seeds("0,3"), seeds("auto")
    (5, [0, 3], 'auto')
    """
    if text == "auto":
        return text
    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number, numbers such as 0,1,2, nor auto") from None
    return numbers if "," in text else numbers[0]


def settings_of(options: argparse.Namespace) -> dict[str, Any]:
    """The `--set` values by field, a part before its fields; a field given twice is an error rather than a guess."""
    given: dict[str, Any] = {}
    for name, value in options.settings:
        if name in given:
            raise UsageError(f"--set {name} is given twice: {given[name]!r} and {value!r}. Give one.")
        given[name] = value
    return dict(sorted(given.items(), key=lambda item: item[0].count(".")))

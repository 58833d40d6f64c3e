"""`thalweg fix`: the remedies of a run, tried; what was accepted as a diff; what is left to be done by hand."""

import argparse
from typing import TYPE_CHECKING

from rich.text import Text

from thalweg.cli.arguments import OK
from thalweg.cli.commands import conclude, finish, folder_of, reopen, speaking, write_document
from thalweg.errors import UsageError
from thalweg.show.diagnosis import labeled_lines
from thalweg.show.lines import hang, styled
from thalweg.show.terminal import Terminal

if TYPE_CHECKING:
    from thalweg.fix.result import Fix

COLORS = {"-": "red", "+": "green", "~": "cyan"}


def fix(options: argparse.Namespace) -> int:
    """Tries and prints; `--train` trains by it, `--back` forgets it."""
    if options.back:
        return back(options)
    with speaking(options) as terminal:
        run, experiment = reopen(options)
        found = experiment.fix(
            run,
            options.code,
            seconds=options.seconds,
            listeners=lambda line: terminal.print(
                *hang(styled("  "), styled(line), width=terminal.out.width, indent=4)
            ),
        )
        terminal.print(*fix_lines(found, width=terminal.out.width))
        terminal.saved("report", str(run.report()))
        if found.accepted and not options.train:
            terminal.print(*next_lines(run.name, terminal))
        trained = found.train(listeners=(terminal,)) if options.train and found.accepted else None
        if trained is not None:
            conclude(trained, found.experiment, terminal, evaluate_too=False)
    if trained is not None:
        return finish(trained, options)
    write_document(options, lambda: {"command": "fix", **found.to_json(), "exit_status": OK})
    return OK


def back(options: argparse.Namespace) -> int:
    from thalweg.fix.mend import go_back

    folder = folder_of(options)
    if not go_back(folder):
        raise UsageError(f"The run {folder.name} has no fix to go back from; thalweg fix {folder.name} tries one.")
    with speaking(options) as terminal:
        terminal.print(styled(f"  The fix of {folder.name} is forgotten; its plan and findings are as they were."))
    write_document(options, lambda: {"command": "fix", "run": folder.name, "forgotten": True, "exit_status": OK})
    return OK


def fix_lines(found: "Fix", *, width: int) -> list[Text]:
    """The fix in lines of at most `width` columns."""
    lines: list[Text] = [Text()]
    said = "no change beats the training without it" if found.tried else "there is nothing to try"
    lines += labeled_lines("fix", [str(found.effect or said)], width=width)
    for line in found.diff.splitlines():
        color = COLORS.get(line[:1], "dim")
        lines += hang(styled("    "), styled((line, color)), width=width, indent=6)
    lines += labeled_lines("accepted", list(found.evidence) if len(found.accepted) > 1 else [], width=width)
    lines += labeled_lines("not accepted", found.rejected, width=width)
    for each in found.manual:
        lines += labeled_lines("by hand", [f"{each.code}: {each.text}", *each.lines], width=width)
    lines += labeled_lines("cost", [str(found.cost)], width=width)
    return [*lines, *labeled_lines("note", list(found.notes), width=width), Text()]


def next_lines(name: str, terminal: Terminal) -> list[Text]:
    """What to do with it."""
    words = (
        (f"thalweg fix {name} --train", "trains by it as a new run"),
        (f"thalweg fix {name} --back", "forgets it"),
    )
    return [line for command, what in words for line in hang(
        styled("  "), styled((command, "bold"), f"  {what}"), width=terminal.out.width)]  # fmt: skip

"""A diagnosis as a person sees it: in the report, in a terminal, in a notebook."""

import io
from pathlib import Path

from sample_runs import CONSTANT, DEAD, GAP, write_run

from thalweg.doctor.diagnosis import CauseFound, Diagnosis, IgnoredFinding, NotJudged, RuledOut
from thalweg.show.printer import Printer
from thalweg.show.report import write_report
from thalweg.show.terminal import Terminal
from thalweg.store import FILE, Store


def diagnosed(folder: Path) -> Diagnosis:
    """A run with a diagnosis of two findings."""
    found = Diagnosis(
        findings=(DEAD, GAP),
        verdict="Learning, with one fault: 38 % of units are dead.",
        causes=(CauseFound("dead_units", "verified", (DEAD,), (CONSTANT,), "warning, verified, since step 404"),),
        excluded=(RuledOut("labels", "a plain learner reaches accuracy 0.82", "LR03"),),
        unknown=("suspicion FIT02: <b>",),
        not_judged=(NotJudged("SPEED01", "waiting for data", "its rows lie in memory"),),
        ignored=(IgnoredFinding("ACT01", "tanh", "on purpose"),),
        unused=("NUM01: never",),
    )
    Store(write_run(folder) / FILE).put_diagnosis(found.findings, found.to_json())
    return found


def test_a_diagnosis_stands_above_all_else_with_its_causes_first(tmp_path: Path) -> None:
    diagnosed(tmp_path)
    write_report(tmp_path, tmp_path / "report.html")
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    parts = ["of units are dead.", "Causes, in order", "dead units</b>", "explains", "ACT03</code>",
             "Excluded", "a plain learner reaches", "Unknown", "&lt;b&gt;", "Not judged", "SPEED01",
             "1 finding ignored: ACT01@tanh: on purpose", "NUM01: never"]  # fmt: skip
    places, at = [], 0
    for part in parts:
        at = text.index(part, at)
        places.append(at)
    assert places == sorted(places)
    assert 'href="#diagnosis"' in text
    assert 'href="#findings"' not in text


def test_a_diagnosis_in_the_terminal_and_in_a_notebook(tmp_path: Path) -> None:
    found = diagnosed(tmp_path)
    for width in (80, 40):
        stream = io.StringIO()
        terminal = Terminal(stream, io.StringIO())
        terminal.out = Printer(stream, width=width)
        terminal.diagnosed(found)
        text = " ".join(stream.getvalue().split())
        assert max(map(len, stream.getvalue().splitlines())) <= width
        parts = ["38 % of units are dead.", "warning[ACT03]", "causes", "explains DATA02", "labels: a plain", "unknown",
                 "not judged", "ignored", "thalweg explain ACT03"]  # fmt: skip
        positions = [text.index(part) for part in parts]
        assert positions == sorted(positions)
    page = found._repr_html_()
    assert page.index("Causes, in order") < page.index("ACT03") < page.index("Not judged")

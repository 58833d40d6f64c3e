"""The terminal, seen as a person sees it: in real ptys, drawn by a small emulator, and as bytes in pipes."""

import io
import re
from dataclasses import replace
from pathlib import Path

import pytest
from play_training import play
from sample_runs import CONSTANT, DEAD, GAP
from screens import Screen, run_in_terminal

from thalweg.events import Decided, EpochEnded, FindingRaised, Progress, RunEnded, StageEnded
from thalweg.show.epochs import EpochTable
from thalweg.show.terminal import Terminal

SCRIPT = Path(__file__).with_name("play_training.py")
LONG = [
    "ConvolutionalNetworkWithAnExtremelyLongNameThatNobodyWouldEverChooseButSomebodyWill 38.3k params",
    "/srv/" + "x" * 120,
]
ROWS = re.compile(r"^[★* ]\s+(\d+)\s+\d", re.MULTILINE)


def played() -> str:
    """What a pipe gets, as text."""
    stream = io.StringIO()
    play(Terminal(stream, io.StringIO()))
    return stream.getvalue()


def epoch(number: int, of: int, *, best: bool = False, loss: float = 1.0) -> EpochEnded:
    return EpochEnded(number, of, number * 10, loss, loss, "accuracy", 0.5, 0.1, 1.0, 1e-3, 100.0, 0.1, best)


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("arguments", [[], LONG])
def test_one_terminal_for_both_streams_shows_clean_rows(width: int, arguments: list[str]) -> None:
    text, _, status = run_in_terminal([str(SCRIPT), *arguments], width=width)
    screen = Screen(width).feed(text)
    assert status == 0
    assert screen.wrapped == 0
    assert screen.widest <= width
    shown = "\n".join(screen.shown())
    assert "━" in text  # the bar was there, and is gone
    assert "━" not in shown
    rows = [int(n) for n in ROWS.findall(shown)]
    assert rows == [1, *range(2, 31, 2), 27]
    assert "a print of the user's own" in screen.shown()
    assert "\x1b[?25l" not in text  # the cursor stays


def test_the_bar_is_on_stderr_and_stdout_is_plain_in_a_pipe() -> None:
    out, err, _ = run_in_terminal(SCRIPT, stdout="pipe")
    assert "\x1b" not in out
    assert "epoch 30/30" in err
    assert " left" in err
    assert "It learned" not in err
    assert max(map(len, out.splitlines())) <= 80
    assert [line for line in Screen(80).feed(err).shown() if line] == ["a warning of torch's"]


def test_pipes_get_no_control_codes_and_no_bar() -> None:
    out, err, _ = run_in_terminal(SCRIPT, stdout="pipe", stderr="pipe", CI="true")
    assert "\x1b" not in out + err
    assert "━" not in out + err
    assert "\r" not in out.replace("\r\n", "")


def test_no_color_prints_no_style_and_keeps_the_bar() -> None:
    out, _, _ = run_in_terminal(SCRIPT, stdout="tty", stderr="tty", NO_COLOR="1")
    assert "m" not in {m.group(2) for m in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z])", out)}
    assert "━" in out


def test_a_dumb_terminal_gets_nothing_but_text() -> None:
    out, _, _ = run_in_terminal(SCRIPT, TERM="dumb")
    assert "\x1b" not in out
    assert "\r" not in out.replace("\r\n", "")


def test_force_color_colors_a_pipe_but_draws_no_bar() -> None:
    out, err, _ = run_in_terminal(SCRIPT, stdout="pipe", stderr="pipe", FORCE_COLOR="1")
    assert "\x1b[1;33m" in out
    assert "━" not in err


def test_a_stream_that_knows_ascii_only_gets_ascii_lines_that_fit() -> None:
    out, _, status = run_in_terminal(SCRIPT, stdout="pipe", PYTHONIOENCODING="ascii", PYTHONUTF8="0", LC_ALL="C")
    assert status == 0
    assert out.isascii()
    assert "2.31 (ln 10 = 2.30)" in out
    assert "12 % -> 38 %" in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_closed_pipe_ends_no_training() -> None:
    code = f"import subprocess, sys; p = subprocess.Popen([sys.executable, {str(SCRIPT)!r}], stdout=subprocess.PIPE); "
    code += "p.stdout.readline(); p.stdout.close(); sys.exit(p.wait())"
    _, err, status = run_in_terminal(["-c", code], stdout="pipe", stderr="pipe")
    assert status == 0
    assert "Traceback" not in err
    assert "BrokenPipe" not in err


def test_the_stream_in_order() -> None:
    text = played()
    parts = ["thalweg 0.1.0 run amber-fjord-12", "plan    batch_size", "check   ✓ 11 passed  ! 1 note", "note[DATA02]",
             "probe   ✓ 4 passed", "epoch train loss  val loss  accuracy", "! warning[ACT03]", "loss  █", "It learned",
             "warning[ACT03]: 38 % of units are dead", "suspicion[FIT02]",
             "1 warning, 1 note; 1 suspicion. thalweg explain ACT03 says more.", "report  runs/amber"]  # fmt: skip
    positions = [text.index(part) for part in parts]
    assert positions == sorted(positions)


def test_each_choice_is_printed_with_its_reason() -> None:
    text = re.sub(r"\s+", " ", played())
    assert "batch_size 32 about 32 batches per epoch of 1,149 rows, 16 to 256" in text
    assert "optimizer.lr 3.2e-03 race of 9 constant rates; as good: 1.8e-03 to 5.6e-03" in text


def test_evidence_is_aligned() -> None:
    lines = [line for line in played().splitlines() if line.startswith("     | ")]
    first, second = lines[1].index("195 / 512"), lines[2].index("12 % →")
    assert first == second


@pytest.mark.parametrize(("of", "expected"), [(5, 5), (20, 20), (30, 16), (100, 21), (1000, 21)])
def test_a_long_training_prints_about_twenty_rows_and_always_the_best(of: int, expected: int) -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    for number in range(1, of + 1):
        terminal(epoch(number, of, best=number <= of - 3))
    terminal(RunEnded("r", "completed", "Learned.", of - 3, 1.0))
    rows = [int(n.replace(",", "")) for n in re.findall(r"^[★ ]\s+([\d,]+) ", stream.getvalue(), re.MULTILINE)]
    assert rows[0] == 1
    assert {of, of - 3} <= set(rows)
    assert len(rows) - (rows[-1] == of - 3) == expected


def test_an_interrupted_training_shows_its_last_epoch() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    for number in range(1, 8):
        terminal(epoch(number, 100, best=number == 3))
    terminal(RunEnded("r", "interrupted", "Stopped.", 3, 1.0))
    rows = re.findall(r"^([★ ])\s+(\d+) ", stream.getvalue(), re.MULTILINE)
    assert [int(n) for _, n in rows] == [1, 5, 3, 7]
    assert rows[2][0] == "★"
    assert "interrupted · best epoch 3" in stream.getvalue()


def test_a_loss_that_is_not_finite_is_shown_as_such() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    for number, loss in enumerate([2.0, 5.0, float("nan"), float("inf")], start=1):
        terminal(epoch(number, 4, loss=loss))
    terminal(RunEnded("r", "failed", "The loss is not finite.", None, 1.0))
    text = stream.getvalue()
    assert "NaN" in text
    assert "∞" in text
    assert "loss  ▁█xx" in text
    assert "failed · 1.0 s" in text


def test_a_finding_is_shown_once() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    terminal(StageEnded("check", 3, (), (CONSTANT,), 1.0))
    terminal(FindingRaised(CONSTANT))
    terminal(FindingRaised(DEAD))
    terminal(RunEnded("r", "completed", "Learned.", 1, 1.0))
    assert stream.getvalue().count("note[DATA02]") == 1
    assert stream.getvalue().count("warning[ACT03]") == 1


def test_quiet_leaves_findings_verdict_and_paths() -> None:
    stream = io.StringIO()
    play(Terminal(stream, io.StringIO(), quiet=True))
    text = stream.getvalue()
    assert "epoch train" not in text
    assert "plan " not in text
    assert "thalweg 0.1.0" not in text
    for part in ("note[DATA02]", "warning[ACT03]", "suspicion[FIT02]", "It learned", "report.html"):
        assert part in text


def test_text_from_outside_cannot_move_the_cursor() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    evil = GAP.__class__(**{**{f: getattr(GAP, f) for f in GAP.__dataclass_fields__}, "place": "col\x1b[2J\r\nmore"})
    terminal(FindingRaised(evil))
    terminal(RunEnded("r\x07", "completed", "v\x1b]0;x\x07", 1, 1.0))
    assert not set(stream.getvalue()) & set("\x1b\r\x07")
    assert "col\\x1b[2J" in stream.getvalue()


def test_rows_keep_their_columns_without_a_validation_loss() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, io.StringIO())
    terminal(EpochEnded(1, 1, 10, 2.0, None, "", None, 0.1, None, None, 100.0, 0.1, False))
    header, row = [line for line in stream.getvalue().splitlines() if line.strip()]
    assert "val loss" not in header
    assert len(header) == len(row)
    assert row.split() == ["1", "2.000", "0.1", "–", "–", "100", "100", "ms"]


def test_progress_alone_prints_nothing_in_a_pipe() -> None:
    out, err = io.StringIO(), io.StringIO()
    Terminal(out, err)(Progress(1, 10, 1, 1, 0.5))
    assert out.getvalue() + err.getvalue() == ""


def test_a_penalty_has_a_column_only_where_there_is_one() -> None:
    def shown(event: EpochEnded, width: int) -> str:
        return EpochTable().add(event, width=width)[1].plain

    penalized = replace(epoch(1, 3), penalty=0.0245)
    assert "penalty" in shown(penalized, 80)
    assert len(shown(penalized, 80)) <= 80
    assert "penalty" not in shown(epoch(1, 3), 200)


def test_a_long_field_is_told_apart_from_its_value() -> None:
    stream = io.StringIO()
    Terminal(stream, io.StringIO())(Decided("label_smoothing", "0.1", "asked for"))
    assert "label_smoothing = 0.1" in stream.getvalue()

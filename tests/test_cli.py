"""The command line: help, errors, exit statuses and documents, as a person and a machine meet them."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from thalweg.cli import main
from thalweg.cli.arguments import EXAMPLES
from thalweg.store import FILE, Store

sys.path.insert(0, str(Path(__file__).parent / "show"))
from sample_runs import add_result, ten_classes, write_run

SMALL = """
import torch
from torch import nn
import thalweg as tw

generator = torch.Generator().manual_seed(0)
x = torch.randn(240, 4, generator=generator)
y = (x[:, 0] + x[:, 1] > 0).long()
print("a print of the file's own")
model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
experiment = tw.Experiment(model, train=(x, y), loss="cross_entropy")
plan = tw.Plan(optimizer=tw.optimizers.SGD(lr=0.1), epochs=2, batch_size=32, probes=False)
if __name__ == "__main__":
    raise SystemExit("this must not run")
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes a Python file into the working directory, under a name of its own, and returns that name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write_file(text: str) -> str:
        name = f"file_{abs(hash(tmp_path))}_{len(list(tmp_path.glob('*.py')))}.py"
        Path(name).write_text(text, encoding="utf-8")
        return name

    return write_file


def strict_json(text: str) -> Any:
    """A document as the JSON standard has it: neither NaN nor Infinity."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    return json.loads(text, parse_constant=refuse)


# ---------------------------------------------------------------------- help


@pytest.mark.parametrize("command", [[], *([name] for name in EXAMPLES)], ids=["thalweg", *EXAMPLES])
def test_help_fits_and_has_examples(command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*command, "--help"])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert ("examples:" in out) == bool(command)
    assert ("exit status" in out) != bool(command)


def test_help_imports_nothing_heavy() -> None:
    code = "import sys\nfrom thalweg.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\n"
    code += "print([m for m in ('torch', 'numpy', 'rich', 'pandas', 'sqlite3') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_commands_that_only_read_do_not_import_torch(write: Write, tmp_path: Path) -> None:
    write_run(tmp_path / "runs" / "amber-fjord-12")
    code = "import sys\nfrom thalweg.cli import main\n"
    code += "assert main(['runs']) == main(['report', 'amber-fjord-12']) == main(['explain']) == 0\n"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


# ---------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["tran"], "invalid choice: 'tran'"),
        (["train"], "FILE[:NAME]"),
        (["train", "x.py", "--set", "epochs"], "'epochs' is no FIELD=VALUE"),
        (["check", "x.py", "--fail-on", "fatal"], "invalid choice: 'fatal'"),
    ],
)
def test_wrong_arguments_say_where_help_is(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    err = capsys.readouterr().err
    assert said in err
    assert "--help" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = 1", ["defines no Experiment", "Write one at module level", "tw.Experiment("]),
        ("x = (", ["line 1", "no valid Python"]),
        ("def f():\n    return 1 / 0\nf()", ["ZeroDivisionError", "line 2", "while it was imported"]),
        ("import sys\nsys.exit(3)", ["SystemExit: 3"]),
        ("from thalweg.errors import DataError\n\nraise DataError('rows differ')", ["error: rows differ", "line 3"]),
        (
            SMALL + "small = tw.Experiment(model, train=(x, y), loss='cross_entropy')",
            ["2 experiments", ":small"],
        ),
        (SMALL.replace("epochs=2", "epoch=2"), ["epoch"]),
    ],
    ids=["none", "syntax", "exception", "exit", "thalweg", "several", "plan"],
)
def test_a_file_that_cannot_be_used(
    text: str, said: list[str], write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", write(text)]) == 2
    err = capsys.readouterr().err
    assert err.startswith("error: ")
    assert "Traceback" not in err
    for part in said:
        assert part in " ".join(err.split()), err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train", "absent.py"], "absent.py does not exist"),
        (["train", "."], ". is a folder"),
        (["resume", "amber-fjord-13"], "Did you mean 'amber-fjord-12'?"),
        (["evaluate", "amber-fjord-12"], "is gone"),
        (["resume", "amber-fjord-12", "--set", "batch_size=3"], "--set batch_size cannot change it"),
        (["report", "amber-fjord-12", "--directory", "elsewhere"], "There is no run"),
        (["explain", "LOSS1"], "Did you mean 'LOSS01'?"),
    ],
)
def test_errors_name_the_next_step(
    arguments: list[str], said: str, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "runs" / "amber-fjord-12")
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert said in " ".join(captured.err.split())
    assert captured.out == ""


def test_a_run_from_python_says_how_to_go_on(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Store(write_run(tmp_path / "runs" / "amber-fjord-12") / FILE).put({"source": {}})
    assert main(["resume", "amber-fjord-12"]) == 2
    assert "experiment.resume(run)" in capsys.readouterr().err


def test_an_error_is_a_document_for_a_machine(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "absent.py", "--format", "json"]) == 2
    captured = capsys.readouterr()
    assert strict_json(captured.out)["error"]["kind"] == "UsageError"
    assert "absent.py does not exist" in captured.err


def test_a_setting_given_twice_is_an_error(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", write(SMALL), "--set", "epochs=3", "--set", "epochs=4"]) == 2
    assert "given twice: 3 and 4" in capsys.readouterr().err


def test_tracebacks_on_request(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    from thalweg.errors import UsageError

    monkeypatch.setenv("THALWEG_DEBUG", "1")
    with pytest.raises(UsageError):
        main(["train", "absent.py"])


# ---------------------------------------------------------------------- commands that read


def test_runs_as_a_table_and_as_a_document(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    add_result(write_run(tmp_path / "runs" / "amber-fjord-12"), ten_classes())
    Store(tmp_path / "runs" / "broken-run-2" / FILE, create=True)
    (tmp_path / "runs" / "broken-run-2" / FILE).write_bytes(b"no database" * 100)
    assert main(["runs"]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    flat = " ".join(out.split())
    for part in (
        "amber-fjord-12",
        "completed",
        "2026-11-23 01:30",
        "98.61 %",
        "1 warning",
        "unreadable",
    ):
        assert part in flat, flat
    assert main(["runs", "--format", "json"]) == 0
    listed = {run["name"]: run for run in strict_json(capsys.readouterr().out)}
    assert listed["amber-fjord-12"]["measures"][0]["name"] == "accuracy"
    assert listed["amber-fjord-12"]["best"]["epoch"] == 28
    assert "cannot be read" in listed["broken-run-2"]["problem"]


def test_no_runs_says_how_to_make_one(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["runs"]) == 0
    assert "thalweg train FILE" in capsys.readouterr().out


def test_report_by_name_and_by_path(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_run(tmp_path / "runs" / "amber-fjord-12")
    assert main(["report", "amber-fjord-12"]) == 0
    assert capsys.readouterr().out == "runs/amber-fjord-12/report.html\n"
    assert main(["report", str(folder), "--output", "here/digits.html", "--format", "json"]) == 0
    assert strict_json(capsys.readouterr().out)["report"] == "here/digits.html"
    assert (tmp_path / "here" / "digits.html").read_text() == (folder / "report.html").read_text()


def test_explain_prints_the_page_and_lists_the_rules(capsys: pytest.CaptureFixture[str]) -> None:
    from thalweg.rules import all_rules, page

    assert main(["explain", "loss01"]) == 0
    assert capsys.readouterr().out.rstrip() == page("LOSS01").rstrip()
    assert main(["explain"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("    ")] == [rule.code for rule in all_rules()]
    assert lines[0] == "  Activations"  # the family's name stands above its rules
    assert main(["explain", "LOSS01", "--format", "json"]) == 0
    assert strict_json(capsys.readouterr().out)["code"] == "LOSS01"
    assert main(["explain", "--format", "json"]) == 0
    listed = {each["code"]: each["summary"] for each in strict_json(capsys.readouterr().out)}
    assert listed["DATA03"] == "Compares all targets with the first one."


def test_a_closed_pipe_is_no_traceback(write: Write, tmp_path: Path) -> None:
    for k in range(40):
        Store(tmp_path / "runs" / f"run-{k}" / FILE, create=True).put({"status": "completed"})
    code = "import sys, thalweg.cli; sys.exit(thalweg.cli.main(sys.argv[1:]))"
    for arguments in (["runs"], ["runs", "--format", "json"], ["explain", "LOSS01"]):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], stdout=writer, stderr=subprocess.PIPE, text=True
        )
        os.close(writer)
        assert done.returncode == 0
        assert done.stderr == ""


# ---------------------------------------------------------------------- commands that train


def test_check_examines_and_trains_nothing(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = write(SMALL)
    assert main(["check", name]) == 0
    assert "check " in capsys.readouterr().out
    assert not list((tmp_path / "runs").glob(f"*/{FILE}"))
    assert main(["check", name, "--format", "json"]) == 0
    document = strict_json(capsys.readouterr().out)
    assert document["exit_status"] == 0
    assert document["findings"] == []


def test_train_measures_and_reports(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", write(SMALL), "--set", "epochs=3"]) == 0
    captured = capsys.readouterr()
    (folder,) = (path.parent for path in (tmp_path / "runs").glob(f"*/{FILE}"))
    assert max(map(len, captured.out.splitlines())) <= 80
    for part in ("epoch train loss", "95 % interval", "opened 1 time", f"report  runs/{folder.name}/report.html"):
        assert part in captured.out
    assert (folder / "report.html").is_file()
    store = Store(folder / FILE)
    assert store.get("num_epochs") == 3
    assert Path(store.get("source")["file"]).is_file()
    assert main(["evaluate", folder.name]) == 0
    assert "opened 2 times" in capsys.readouterr().out


def test_train_as_one_document(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["train", write(SMALL), "--format", "json", "--no-evaluate", "--directory", "other"]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    document = strict_json(captured.out)
    assert "a print of the file's own" in captured.err
    assert document["status"] == "completed"
    assert document["result"] is None
    assert document["plan"]["epochs"] == 2
    assert len(document["history"]["validation.loss"]) == 2
    assert (tmp_path / "other" / document["name"] / "report.html").is_file()


def test_fail_on_decides_the_exit_status(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    name = write(SMALL.replace("nn.Linear(8, 2))", "nn.Linear(8, 2), nn.Softmax(1))"))  # softmax before cross-entropy
    statuses = {word: main(["check", name, "--fail-on", word]) for word in ("error", "warning", "note", "never")}
    assert "warning[LOSS02]" in capsys.readouterr().out
    assert statuses == {"error": 0, "warning": 1, "note": 1, "never": 0}
    assert main(["check", name, "--fail-on", "warning", "--format", "json"]) == 1
    document = strict_json(capsys.readouterr().out)
    assert document["exit_status"] == 1
    assert [f["code"] for f in document["findings"]] == ["LOSS02"]


def test_findings_are_selected_and_ignored(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    name = write(SMALL.replace("nn.Linear(8, 2))", "nn.Linear(8, 2), nn.Softmax(1))"))
    check = ["check", name, "--fail-on", "warning"]
    assert main([*check, "--ignore", "LOSS02: a comparison", "--ignore", "INIT01: never"]) == 0
    text = capsys.readouterr().out
    assert "LOSS02]" not in text
    assert "1 finding ignored: LOSS02: a comparison" in " ".join(text.split())
    assert "'INIT01: never' matches no finding" in " ".join(text.split())
    assert main([*check, "--select", "INIT,DATA01"]) == 0
    assert main([*check, "--select", "LOSS"]) == 1
    capsys.readouterr()
    assert main([*check, "--select", "LOSSES"]) == 2
    assert "Did you mean 'LOSS'" in " ".join(capsys.readouterr().err.split())
    assert main([*check, "--ignore", "LOSS02"]) == 2
    assert "the reason" in capsys.readouterr().err
    assert main([*check, "--ignore", "LOSS02: a comparison", "--format", "json"]) == 0
    document = strict_json(capsys.readouterr().out)
    assert document["ignored"] == [{"code": "LOSS02", "place": "", "reason": "a comparison"}]


def test_a_run_without_probes_is_diagnosed_later(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = write(SMALL.replace("nn.Linear(8, 2))", "nn.Linear(8, 2), nn.Softmax(1))"))
    assert main(["train", name, "--no-evaluate", "--quiet"]) == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").glob(f"*/{FILE}"))
    capsys.readouterr()
    assert main(["diagnose", folder.name, "--fail-on", "warning"]) == 1
    text = capsys.readouterr().out
    assert "[LOSS02]" in text
    assert text.index("[LOSS02]") < text.index("  causes ") < text.index("  not judged ") < text.index("  report ")
    assert max(map(len, text.splitlines())) <= 80
    assert main(["diagnose", folder.name, "--ignore", "LOSS: a comparison", "--seconds", "0", "--format", "json"]) == 0
    document = strict_json(capsys.readouterr().out)
    assert "loss_head_mismatch" not in {each["cause"] for each in document["causes"]}
    assert document["ignored"][0]["reason"] == "a comparison"
    assert "a comparison" in (folder / "report.html").read_text(encoding="utf-8")
    assert main(["report", folder.name, "--format", "json"]) == 0


def test_ctrl_c_saves_and_resume_goes_on(write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    name = write(SMALL)
    command = [sys.executable, "-m", "thalweg.cli", "train", name, "--set", "epochs=100000"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("  epoch train loss"):
            break
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    (folder,) = (path.parent for path in (tmp_path / "runs").glob(f"*/{FILE}"))
    assert f"thalweg resume {folder.name}" in out
    store = Store(folder / FILE)
    assert store.get("status") == "interrupted"
    done = store.get("step") // 5 + 2  # 240 rows less the split are 5 batches of 32
    assert main(["resume", folder.name, "--epochs", str(done), "--set", f"epochs={done}"]) == 2
    assert "give one of them" in capsys.readouterr().err
    assert main(["resume", folder.name, "--epochs", str(done)]) == 0
    assert Store(folder / FILE).get("status") == "completed"
    assert "opened 1 time" in capsys.readouterr().out


def test_a_run_is_resumed_where_it_and_its_file_were_moved_to(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file is found under its name in the working folder, or where `--file` says; a change of it is noted."""
    name = write(SMALL)
    assert main(["train", name, "--no-evaluate", "--quiet"]) == 0
    (folder,) = (path.parent for path in (tmp_path / "runs").glob(f"*/{FILE}"))
    epochs = Store(folder / FILE).get("num_epochs")
    moved = tmp_path / "moved" / "renamed"
    moved.parent.mkdir()
    folder.rename(moved)
    source = Path(Store(moved / FILE).get("source")["file"])
    other = source.rename(tmp_path / "moved" / "other.py")
    assert main(["resume", str(moved), "--epochs", str(epochs + 1)]) == 2
    assert "is gone. Say where the file is now" in " ".join(capsys.readouterr().err.split())
    command = ["resume", str(moved), "--no-evaluate", "--quiet"]
    assert main([*command, "--file", str(other), "--epochs", str(epochs + 1)]) == 0
    assert "has changed" not in capsys.readouterr().err
    other.write_text(other.read_text() + "\n# a comment\n")
    assert main([*command, "--file", str(other), "--epochs", str(epochs + 2)]) == 0
    assert "has changed since renamed was started" in " ".join(capsys.readouterr().err.split())
    assert Store(moved / FILE).get("num_epochs") == epochs + 2

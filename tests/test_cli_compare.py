"""`thalweg compare`: values of a field on paired seeds, and stored runs on the rows they share."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from thalweg.cli import main

FILE = """
import torch
from torch import nn
import thalweg as tw

x = torch.randn(240, 4, generator=torch.Generator().manual_seed(0))
y = (x[:, 0] + x[:, 1] > 0).long()


def build():
    print("a print of the builder's own")
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


experiment = tw.Experiment(build, train=(x, y), loss="cross_entropy")
plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.1), epochs=2, batch_size=32)
"""


@pytest.fixture
def name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A file with an experiment, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = f"compared_{abs(hash(tmp_path))}.py"
    Path(file).write_text(FILE, encoding="utf-8")
    return file


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


def test_values_of_a_field(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["compare", name, "--set", "optimizer.lr=0.1,1e-6", "--set", "epochs=3", "--seeds", "0,3"])
    out = capsys.readouterr().out
    assert status == 0
    assert "1/4  SGD(lr=0.1)  seed 0  loss" in out
    assert "loss on the validation rows, lower is better" in out
    assert out.count("●") == 2
    assert "SGD(lr=0.1) is better than SGD(lr=1e-06)" in out or "SGD(lr=0.1) against SGD(lr=1e-06)" in out
    (folder,) = Path("runs").glob("compare-optimizer-*")
    assert f"{folder}/comparison.svg" in out
    stored = json.loads((folder / "comparison.json").read_text())
    assert stored["seeds"] == [0, 3]
    assert [plan["epochs"] for plan in stored["plans"].values()] == [3, 3]
    assert max(map(len, out.splitlines())) <= 80


def test_one_document_for_a_machine(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "activation=relu,None", "--seeds", "2", "--directory", "elsewhere", "--format", "json"]
    assert main(["compare", name, *arguments]) == 0
    found = document(capsys)
    assert {arm["name"] for arm in found["arms"]} == {"ReLU", "none"}
    assert (found["command"], found["exit_status"], len(found["differences"])) == ("compare", 0, 1)
    assert Path("elsewhere", found["folder"], "comparison.svg").is_file()


def test_parts_take_their_fields(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The rate holds for each optimizer, though it is set before there is one to have it."""
    arguments = ["--set", "optimizer.lr=0.02", "--set", 'optimizer=SGD,{"name": "Adam"}', "--seeds", "2", "--quiet"]
    assert main(["compare", name, *arguments, "--format", "json"]) == 0
    assert {arm["name"] for arm in document(capsys)["arms"]} == {"SGD(lr=0.02)", "Adam(lr=0.02)"}


def test_until_decided_tuned_and_within_a_budget(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--set", "optimizer=SGD,Adam", "--set", "optimizer.lr=0.05", "--tuned", "--seeds", "auto"]
    arguments += ["--budget", "2min", "--measure", "accuracy", "--same-split", "--quiet", "--format", "json"]
    assert main(["compare", name, *arguments]) == 0
    found = document(capsys)
    assert (found["measure"], found["test"]) == ("accuracy", "anytime")
    assert {arm["name"] for arm in found["arms"]} == {"SGD", "Adam"}
    assert "splits=False" in " ".join(found["notes"])
    assert "tuned before" in " ".join(found["notes"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "which --set gives several values; none has"),
        (["--set", "epochs=3"], "none has"),
        (["--set", "epochs=1,2", "--set", "batch_size=8,16"], "2 have: epochs, batch_size"),
        (["--set", "epochs=1", "--set", "epochs=2"], "--set epochs=A,B"),
        (["--set", "epochs=1,2", "--seeds", "1"], "compare got seeds=1"),
        (["--set", "epochs=1,2", "--budget", "soon"], "budget got 'soon'"),
        (["--set", "epochs=1,2", "--measure", "acc"], "measure='acc'; this experiment measures loss, accuracy"),
        (["--set", "epoch=1,2"], "no field 'epoch'"),
    ],
)
def test_wrong_comparisons_say_what_to_do(
    name: str, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", name, *arguments]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not list(Path().glob("runs/compare-*"))


def test_stored_runs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", name, "--no-evaluate", "--quiet"]) == 0
    assert main(["train", name, "--no-evaluate", "--quiet", "--set", "optimizer.lr=1e-6"]) == 0
    first, second = sorted(
        (folder.name for folder in Path("runs").iterdir() if folder.is_dir()), key=lambda run: int(run.split("-")[-1])
    )
    capsys.readouterr()
    assert main(["compare", second, str(Path("runs", first))]) == 0
    out = capsys.readouterr().out
    assert "log_loss on the 36 validation rows of the runs, lower is better" in out
    assert f"{first} is better than {second}" in " ".join(out.split())
    assert "One run of each cannot tell" in out
    assert f"`thalweg compare {name} --set" in " ".join(out.split())
    assert main(["compare", first, second, "--format", "json"]) == 0
    found = document(capsys)
    assert list(found["values"]) == [first, second]
    for arguments, said in (
        ([first], "compare got one run"),
        ([first, first], "no two different runs"),
        ([first, "absent-run-7"], "There is no run 'absent-run-7'"),
        ([name, first], "compare takes one file, or runs"),
        ([first, second, "--tuned"], "--tuned is about trainings"),
        ([first, second, "--set", "epochs=1,2"], "--set is about trainings"),
        (["absent.py"], "absent.py does not exist"),
    ):
        assert main(["compare", *arguments]) == 2
        assert said in " ".join(capsys.readouterr().err.split())


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_what_is_complete(name: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "thalweg.cli", "compare", name, "--set", "optimizer.lr=0.1,0.2", "--seeds", "500"]
    process = subprocess.Popen(
        [*command, "--quiet", "--format", "json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and len(list(tmp_path.glob("runs/compare-*/*/run.sqlite"))) < 6:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    found = json.loads(out)
    assert any(note.startswith("Interrupted: ") for note in found["notes"])
    assert len(found["arms"][0]["values"]) >= 2

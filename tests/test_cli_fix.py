"""`thalweg fix`: tried, shown as a diff, trained by as a new run, and forgotten."""

import json
import sys
from pathlib import Path

import pytest

from thalweg.cli import main
from thalweg.run import Run

FILE = """
import torch
from sklearn.datasets import load_digits
from torch import nn
import thalweg as tw

x, y = load_digits(return_X_y=True)


def build():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))


experiment = tw.Experiment(build, train=(torch.tensor(x / 16).float(), torch.tensor(y)), loss="cross_entropy")
plan = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=1e-5, momentum=0.9), epochs=8, batch_size=64, probes=True)
"""


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """A run at a rate that is far too low, in the working directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = f"fixed_{abs(hash(tmp_path))}.py"
    Path(file).write_text(FILE, encoding="utf-8")
    main(["train", file, "--no-evaluate", "--quiet"])
    capsys.readouterr()
    (folder,) = Path("runs").glob("*/")
    return Run.open(folder)


def test_what_is_accepted_is_shown_and_kept(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", run.name]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.splitlines())) <= 80
    assert "- optimizer = SGD(lr=1e-05" in " ".join(out.split())
    assert f"thalweg fix {run.name} --train" in out
    assert "trials" in out or "changes tried" in out
    assert any(finding.verified for finding in run.findings)
    assert "Verified" in (run.directory / "report.html").read_text(encoding="utf-8")
    assert main(["fix", run.name, "--back"]) == 0
    assert "forgotten" in capsys.readouterr().out
    assert not any(finding.verified for finding in run.findings)
    assert main(["fix", run.name, "--back"]) == 2
    assert "has no fix" in capsys.readouterr().err


def test_it_is_trained_by_as_a_new_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["fix", run.name, "--train", "--format", "json"])
    document = json.loads(capsys.readouterr().out)
    assert status in (0, 1)
    folders = list(Path("runs").glob("*/thalweg.sqlite")) or list(Path("runs").glob("*/"))
    assert len(folders) == 2
    assert document["metrics"]["accuracy"] > run.metrics["accuracy"] + 0.3


def test_as_one_document(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", run.name, "--format", "json", "--seconds", "0.01"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["effect"] is None
    assert document["plan"] == document["before"]
    assert any("no time was left" in each["reason"] for each in document["tried"])


def test_a_code_that_the_run_does_not_have(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fix", run.name, "LR99"]) == 2
    assert "has no finding 'LR99'" in capsys.readouterr().err


def test_fix_while_training(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    file = next(Path().glob("fixed_*.py"))
    wide = file.read_text().replace("x / 16", "x * 1000").replace("lr=1e-5", "lr=0.01")
    file.write_text(wide)
    main(["train", str(file), "--no-evaluate", "--fix"])
    out = capsys.readouterr().out
    assert "remedy of" in " ".join(out.split())

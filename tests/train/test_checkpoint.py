"""Checkpoints: whole or not at all, verified, never lost by a save that fails."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from thalweg.errors import StoreError
from thalweg.train import checkpoint
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint

TENSORS = {
    "weight": torch.arange(12.0).reshape(3, 4).T,  # not contiguous
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "empty": torch.zeros(0, 3),
    "flag": torch.tensor([True, False]),
}


def test_tensors_and_facts_come_back_bit_for_bit(tmp_path: Path) -> None:
    shared = torch.arange(4.0)
    save_checkpoint(tmp_path, "last", TENSORS | {"a": shared, "b": shared[1:]}, {"step": 3, "value": 0.1 + 0.2})
    tensors, facts = load_checkpoint(tmp_path, "last")
    assert facts == {"step": 3, "value": 0.1 + 0.2}
    for name, value in TENSORS.items():
        assert tensors[name].dtype == value.dtype
        assert torch.equal(tensors[name], value)
    assert torch.equal(tensors["b"], shared[1:])


def test_only_the_newest_file_is_kept(tmp_path: Path) -> None:
    for step in range(4):
        save_checkpoint(tmp_path, "last", TENSORS, {"step": step})
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last-4.safetensors", "last.json"]
    assert load_checkpoint(tmp_path, "last")[1] == {"step": 3}


def test_damage_is_named(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, {})
    file = tmp_path / "last-1.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(StoreError, match=r"last-1\.safetensors is damaged"):
        load_checkpoint(tmp_path, "last")
    file.write_bytes(content[:20])
    with pytest.raises(StoreError, match="damaged"):
        load_checkpoint(tmp_path, "last")
    file.unlink()
    with pytest.raises(StoreError, match="cannot be read"):
        load_checkpoint(tmp_path, "last")
    (tmp_path / "last.json").write_text("{")
    with pytest.raises(StoreError, match="manifest"):
        load_checkpoint(tmp_path, "last")
    with pytest.raises(StoreError, match="no checkpoint 'best'"):
        load_checkpoint(tmp_path, "best")


def test_a_manifest_of_another_version_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, {})
    manifest = tmp_path / "last.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"format": 99}))
    with pytest.raises(StoreError, match="another version"):
        load_checkpoint(tmp_path, "last")


@pytest.mark.parametrize("failing", ["tensors", "manifest"])
def test_a_save_that_fails_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, {"step": 1})
    real = os.fsync
    calls = iter([failing == "tensors", True])

    def full(descriptor: int) -> None:
        if next(calls):
            raise OSError(28, "No space left on device")
        real(descriptor)

    monkeypatch.setattr(checkpoint.os, "fsync", full)
    with pytest.raises(StoreError, match=r"No space left.*before it is intact"):
        save_checkpoint(tmp_path, "last", TENSORS, {"step": 2})
    monkeypatch.undo()
    assert load_checkpoint(tmp_path, "last")[1] == {"step": 1}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["last-1.safetensors", "last.json"]


def test_a_process_killed_while_saving_leaves_a_whole_checkpoint(tmp_path: Path) -> None:
    script = (
        "import sys, torch; from pathlib import Path; from thalweg.train.checkpoint import save_checkpoint\n"
        "for step in range(10**9):\n"
        "    save_checkpoint(Path(sys.argv[1]), 'last', {'w': torch.full((200_000,), float(step))}, {'step': step})"
    )
    for attempt in range(4):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
        while not (folder / "last.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.05 + 0.037 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        tensors, facts = load_checkpoint(folder, "last")
        assert bool((tensors["w"] == facts["step"]).all())

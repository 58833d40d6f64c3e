"""Checkpoints: whole or not at all, verified, never lost by a save that fails."""

import hashlib
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

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


def every_kind() -> dict[str, Tensor]:
    """What a network and its optimizer may hold, in every type, form and layout."""
    generator = torch.Generator().manual_seed(0)
    floats = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64]
    integers = [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8]
    base = torch.randn(4, 6, generator=generator)
    kinds = {str(d): torch.randn(5, 3, generator=generator).to(d) for d in floats}
    kinds |= {str(d): torch.randint(0, 100, (3, 2), generator=generator).to(d) for d in integers}
    special = torch.tensor([math.nan, -math.nan, math.inf, -0.0, 5e-324])
    return kinds | {
        "eighth": torch.randn(7, generator=generator).to(torch.float8_e4m3fn),
        "flag": torch.tensor([True, False, True]),
        "scalar": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "special": special,
        "transposed": base.T,
        "strided": base[::2, 1::2],
        "expanded": base[:1].expand(3, 6),
        "channels last": torch.randn(2, 3, 4, 5, generator=generator).to(memory_format=torch.channels_last),
        "shared": base,
        "view": base[1:],
        "parameter": nn.Parameter(base),
        "conjugate": torch.randn(3, dtype=torch.complex64, generator=generator).conj(),
        "größe": base,
    }


def bits(value: Tensor) -> bytes:
    """The values in row-major order, by way of Python's numbers where torch cannot show the bytes."""
    plain = torch.empty(value.shape, dtype=value.dtype).copy_(value)
    return bytes(plain.reshape(-1).view(torch.uint8).tolist())


def test_the_library_reads_what_is_written(tmp_path: Path) -> None:
    tensors = every_kind()
    save_checkpoint(tmp_path, "last", tensors, {})
    file = tmp_path / "last-1.safetensors"
    with safe_open(file, framework="pt") as reader:
        assert set(reader.keys()) == tensors.keys()
        for name, value in tensors.items():
            found = reader.get_tensor(name)
            assert found.dtype == value.dtype
            assert found.shape == value.shape
            assert bits(found) == bits(value), name
    own, _ = load_checkpoint(tmp_path, "last")
    assert {name: bits(value) for name, value in own.items()} == {name: bits(v) for name, v in tensors.items()}
    assert json.loads((tmp_path / "last.json").read_text())["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()


def test_a_tensor_that_has_no_place_in_the_format_is_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"'w' is torch\.complex128.*Keep it in one of these"):
        save_checkpoint(tmp_path, "last", {"w": torch.zeros(2, dtype=torch.complex128)}, {})
    with pytest.raises(StoreError, match=r"'w' is torch\.float32, torch\.sparse"):
        save_checkpoint(tmp_path, "last", {"w": torch.eye(3).to_sparse()}, {})


MEMORY = """
import sys, threading
from pathlib import Path
import torch
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint

def anonymous():
    line = next(l for l in Path("/proc/self/status").read_text().splitlines() if l.startswith("RssAnon"))
    return int(line.split()[1]) / 1000

def peak(act):
    before, seen, done = anonymous(), [0.0], threading.Event()
    def look():
        while not done.wait(0.001):
            seen.append(anonymous() - before)
    thread = threading.Thread(target=look)
    thread.start()
    act()
    done.set()
    thread.join()
    return max(seen)

def restore():
    for name, value in load_checkpoint(folder, "last")[0].items():
        state[name].copy_(value)

folder = Path(sys.argv[1])
state = {str(i): torch.full((2_500_000,), float(i)) for i in range(12)}  # 120 MB
save_checkpoint(folder / "warm", "last", {"w": torch.zeros(9)}, {})
print(peak(lambda: save_checkpoint(folder, "last", state, {})), peak(restore))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory as Linux tells it")
def test_saving_and_restoring_take_no_memory(tmp_path: Path) -> None:
    """Of 120 MB no copy is made: not when saving, and not when copying a mapped file into the live tensors."""
    done = subprocess.run([sys.executable, "-c", MEMORY, str(tmp_path)], capture_output=True, text=True, check=True)
    saving, restoring = map(float, done.stdout.split())
    assert saving < 12
    assert restoring < 12


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system of its own needs the right to mount one")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_in_the_middle_of_a_save(small_disk: Path) -> None:
    folder = small_disk / "checkpoints"
    former = {"w": torch.arange(150_000.0), "v": torch.ones(3)}
    save_checkpoint(folder, "last", former, {"step": 1})
    with pytest.raises(StoreError, match=r"No space left.*needs 1\.8 MB, 1\.\d MB are free.*before it is intact"):
        save_checkpoint(folder, "last", {"v": torch.ones(3), "w": torch.zeros(450_000)}, {"step": 2})
    assert sorted(p.name for p in folder.iterdir()) == ["last-1.safetensors", "last.json"]
    tensors, facts = load_checkpoint(folder, "last")
    assert facts == {"step": 1}
    assert torch.equal(tensors["w"], former["w"])
    save_checkpoint(folder, "last", {"w": torch.zeros(150_000)}, {"step": 3})
    assert load_checkpoint(folder, "last")[1] == {"step": 3}


def test_what_a_killed_save_has_left_is_removed(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, "last", TENSORS, {"step": 1})
    save_checkpoint(tmp_path, "best", TENSORS, {"step": 1})
    for name in (".last-2.safetensors.part", "last-2.safetensors", ".last.json.part"):
        (tmp_path / name).write_bytes(b"half")
    assert load_checkpoint(tmp_path, "last")[1] == {"step": 1}
    save_checkpoint(tmp_path, "last", TENSORS, {"step": 2})
    names = ["best-1.safetensors", "best.json", "last-2.safetensors", "last.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    assert load_checkpoint(tmp_path, "last")[1] == {"step": 2}


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
    for attempt in range(2):
        folder = tmp_path / str(attempt)
        process = subprocess.Popen([sys.executable, "-c", script, str(folder)])
        while not (folder / "last.json").exists():
            assert process.poll() is None
            time.sleep(0.01)
        time.sleep(0.05 + 0.07 * attempt)
        process.send_signal(signal.SIGKILL)
        process.wait()
        tensors, facts = load_checkpoint(folder, "last")
        assert bool((tensors["w"] == facts["step"]).all())


def test_a_single_number_of_any_stride_is_written(tmp_path: Path) -> None:
    column = torch.arange(3.0).reshape(1, 3).T[2]  # shape [1], stride 3, which torch calls contiguous
    save_checkpoint(tmp_path, "one", {"x": column}, {})
    assert load_checkpoint(tmp_path, "one")[0]["x"].tolist() == [2.0]

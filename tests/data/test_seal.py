import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from thalweg.data import seal_log
from thalweg.data.rows import DatasetRows, Inputs, Part, Rows, map_inputs, take
from thalweg.data.seal import Seal, digest_of, require_training
from thalweg.errors import DataError, StoreError

CHILD = """
import sys
from pathlib import Path
from thalweg.data import seal_log
for k in range(10):
    seal_log.append(Path(sys.argv[1]), digest="d", run=sys.argv[2], reason=f"opening {k}")
"""


def make_rows(inputs: Inputs | None = None, part: Part = "test") -> Rows:
    generator = torch.Generator().manual_seed(0)
    if inputs is None:
        inputs = torch.randn(20, 3, generator=generator)
    return Rows(inputs, torch.arange(20) % 3, torch.arange(100, 120), part)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "seal.jsonl"


@pytest.fixture
def written(log: Path) -> Path:
    for run in "abcde":
        seal_log.append(log, digest=f"digest of {run}", run=run, reason="evaluate")
    return log


def test_rows_come_out_once_the_opening_is_on_disk(log: Path) -> None:
    rows = make_rows()
    seal = Seal(rows, log=log)
    assert (len(seal), seal.count()) == (20, 0)
    assert not log.exists()
    assert seal.open("amber-fjord-12") is rows
    assert seal.open("amber-fjord-12", "report") is rows
    assert seal.count() == 2
    first, second = map(json.loads, log.read_text().splitlines())
    assert set(first) == {"digest", "run", "reason", "time", "number", "previous", "hash"}
    assert (first["digest"], first["run"], first["reason"]) == (seal.digest, "amber-fjord-12", "evaluate")
    assert second["reason"] == "report"
    assert second["previous"] == first["hash"]
    assert (first["number"], second["number"]) == (1, 2)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", first["time"])


def test_rows_stay_sealed_where_nothing_can_be_written(tmp_path: Path) -> None:
    log = tmp_path / "seal.jsonl"
    log.mkdir()
    with pytest.raises(StoreError, match=r"cannot be used .* stay sealed"):
        Seal(make_rows(), log=log).open("run")


def test_each_test_set_has_its_own_count_in_one_log(log: Path) -> None:
    one, other = Seal(make_rows(), log=log), Seal(make_rows(torch.zeros(20, 3)), log=log)
    one.open("a")
    other.open("b")
    one.open("c")
    assert (one.count(), other.count()) == (2, 1)


def test_its_text_shows_no_data(log: Path) -> None:
    seal = Seal(make_rows(torch.full((20, 3), 123.5)), log=log)
    assert str(seal) == repr(seal) == f"Seal(20 rows, digest {seal.digest[:12]})"


def test_the_digest_is_a_function_of_the_content_whatever_the_order() -> None:
    rows = make_rows()
    order = torch.randperm(20, generator=torch.Generator().manual_seed(1))
    shuffled = Rows(take(rows.inputs, order), rows.target[order], rows.ids[order], "test")
    assert digest_of(shuffled) == digest_of(rows)


@pytest.mark.parametrize(
    "change",
    [
        lambda x: torch.cat([x[:-1], x[-1:] + 1e-6]),
        lambda x: x.double(),
        lambda x: x.reshape(20, 3, 1),
        lambda x: (x,) * 2,
        lambda x: {"x": x, "y": x},
        lambda x: {"x": x, "z": x},
        lambda x: torch.cat([x[1:2], x[:1], x[2:]]),  # inputs swapped against their targets
    ],
)
def test_the_digest_tells_changed_content(change: Callable[[Tensor], Inputs]) -> None:
    rows = make_rows()
    assert isinstance(rows.inputs, Tensor)
    changed = digest_of(make_rows(change(rows.inputs)))
    assert changed != digest_of(rows)
    assert changed == digest_of(make_rows(map_inputs(torch.clone, change(rows.inputs))))
    assert digest_of(make_rows({"x": rows.inputs, "y": rows.inputs})) != digest_of(
        make_rows({"x": rows.inputs, "z": rows.inputs})
    )


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.bfloat16, torch.float16, torch.int64])
def test_the_digest_takes_any_dtype(dtype: torch.dtype) -> None:
    x = (torch.arange(60) % 2).reshape(20, 3)
    assert digest_of(make_rows(x.to(dtype))) != digest_of(make_rows((1 - x).to(dtype)))


def test_the_digest_of_a_dataset_reads_no_item() -> None:
    class Untouchable(torch.utils.data.Dataset[tuple[object, object]]):
        def __getitem__(self, index: int) -> tuple[object, object]:
            raise AssertionError("read")

    def rows(ids: Tensor) -> DatasetRows:
        return DatasetRows(Untouchable(), torch.arange(5.0), ids, "test")

    assert digest_of(rows(torch.arange(5))) != digest_of(rows(torch.arange(1, 6)))


def test_a_whole_log_verifies(written: Path) -> None:
    assert [entry["run"] for entry in seal_log.verify(written)] == list("abcde")
    assert seal_log.verify(written.with_name("none.jsonl")) == []


def rehash(line: str, **changes: object) -> str:
    entry = json.loads(line) | changes
    return json.dumps(entry | {"hash": seal_log._hash(entry)})


def following(line: str) -> str:
    """A forged entry that continues the chain."""
    entry = json.loads(line)
    return rehash(line, number=entry["number"] + 1, previous=entry["hash"])


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (lambda a, b, c, d, e: [a, b.replace('"b"', '"x"'), c, d, e], "entry 2 was changed"),
        (lambda a, b, c, d, e: [a, b, c, d, e.replace("evaluate", "nothing")], "entry 5 was changed"),
        (lambda a, b, c, d, e: [a, rehash(b, run="x"), c, d, e], "entry 2 was changed"),
        (lambda a, b, c, d, e: [a, b, c, d, rehash(e, run="x")], "entry 5 was changed"),
        (lambda a, b, c, d, e: [a, b, "not json", d, e], "entry 3 was changed"),
        (lambda a, b, c, d, e: [a, b[: len(b) // 2], c, d, e], "entry 2 was changed"),
        (lambda a, b, c, d, e: [a, b, d, e], "entry 3 was removed"),
        (lambda a, b, c, d, e: [b, c, d, e], "entry 1 was removed"),
        (lambda a, b, c, d, e: [a, b, c, d], "entry 5 was removed"),
        (lambda a, b, c, d, e: [], "entry 1 was removed"),
        (lambda a, b, c, d, e: [a, b, b, c, d, e], "entry 2 was added"),
        (lambda a, b, c, d, e: [a, b, c, rehash(d, run="x"), d, e], "entry 4 was added"),
        (lambda a, b, c, d, e: [a, b, c, d, e, following(e), following(following(e))], "entry 6 was added"),
        (lambda a, b, c, d, e: [a, c, b, d, e], "entry 2 was removed"),
    ],
)
def test_tampering_is_named(written: Path, tamper: Callable[..., list[str]], message: str) -> None:
    lines = tamper(*written.read_text().splitlines())
    written.write_text("".join(line + "\n" for line in lines))
    with pytest.raises(StoreError, match=message):
        seal_log.verify(written)
    seal = Seal(make_rows(), log=written)
    before = written.read_bytes()
    with pytest.raises(StoreError, match=r"stay sealed|begin a new count"):
        seal.open("f")
    assert written.read_bytes() == before


@pytest.mark.parametrize("change", ["gone", "nonsense", '{"number": 0, "hash": ""}', '{"number": 3, "hash": "0"}'])
def test_a_tampered_head_is_named(written: Path, change: str) -> None:
    head = written.with_name(written.name + ".head")
    if change == "gone":
        head.unlink()
    else:
        head.write_text(change)
    with pytest.raises(StoreError, match=r"head was (removed|changed)|entry 3 was changed"):
        seal_log.verify(written)


def test_a_removed_log_is_named(written: Path) -> None:
    written.unlink()
    for use in (seal_log.verify, lambda log: seal_log.append(log, digest="d", run="r", reason="x")):
        with pytest.raises(StoreError, match="entry 1 was removed"):
            use(written)


@pytest.mark.parametrize("cut", [1, 40])
def test_half_a_line_of_a_killed_process_loses_nothing(written: Path, cut: int) -> None:
    whole = written.read_bytes()
    half = (rehash(whole.splitlines()[-1].decode(), number=6) + "\n").encode()[:-cut]
    written.write_bytes(whole + half)
    assert len(seal_log.verify(written)) == 5
    seal_log.append(written, digest="d", run="f", reason="evaluate")
    assert [entry["run"] for entry in seal_log.verify(written)] == list("abcdef")


def test_a_completed_entry_that_is_cut_afterwards_is_tampering(written: Path) -> None:
    written.write_bytes(written.read_bytes()[:-30])
    with pytest.raises(StoreError, match="entry 5 was removed"):
        seal_log.verify(written)


@pytest.mark.parametrize("num_before", [0, 3])
def test_killed_between_log_and_head_the_opening_counts(
    log: Path, num_before: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(num_before):
        seal_log.append(log, digest="d", run="r", reason="evaluate")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(seal_log, "_write_head", killed)
        with pytest.raises(KeyboardInterrupt):
            seal_log.append(log, digest="d", run="killed", reason="evaluate")
    assert len(seal_log.verify(log)) == num_before + 1
    seal_log.append(log, digest="d", run="next", reason="evaluate")
    assert len(seal_log.verify(log)) == num_before + 2


def test_several_processes_write_one_chain(log: Path) -> None:
    processes = [subprocess.Popen([sys.executable, "-c", CHILD, str(log), name]) for name in ("one", "two", "three")]
    assert [process.wait() for process in processes] == [0, 0, 0]
    entries = seal_log.verify(log)
    assert sorted(entry["run"] for entry in entries) == ["one"] * 10 + ["three"] * 10 + ["two"] * 10


def test_only_training_rows_may_be_fitted_on() -> None:
    require_training(make_rows(part="train"), "Standardization")
    for part in ("validation", "test"):
        with pytest.raises(DataError, match=f"Standardization .* training rows only, and received 20 {part} rows"):
            require_training(make_rows(part=part), "Standardization")

"""The report as a file: complete, self-contained, escaped, and sensible where a run was cut short."""

import math
from html.parser import HTMLParser
from pathlib import Path
from typing import ClassVar

import pytest
from sample_runs import DEAD, add_result, facts, numbers, ten_classes, two_classes, write_run

from thalweg.errors import StoreError
from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.parts import schedules
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.show.document import run_document
from thalweg.show.report import write_report
from thalweg.show.report.decisions import plan_table
from thalweg.store import FILE, Store

EVIL = "<script>alert(1)</script>\"'&<b>"


class Document(HTMLParser):
    """A parsed page: its text, tags, attributes, and tags that were not closed in order."""

    VOID: ClassVar = {"meta", "link", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def report_of(folder: Path) -> tuple[str, Document]:
    write_report(folder, folder / "report.html")
    text = (folder / "report.html").read_text(encoding="utf-8")
    document = Document(text)
    assert document.open == []
    return text, document


@pytest.mark.parametrize(
    "result", [ten_classes(), two_classes(), numbers(), None], ids=["ten", "two", "numbers", "none"]
)
def test_the_file_is_whole_and_loads_nothing(tmp_path: Path, result: object) -> None:
    folder = write_run(tmp_path / "run")
    text, document = report_of(add_result(folder, result) if result else folder)
    assert text.startswith("<!doctype html>")
    policy = next(value for tag, name, value in document.attributes if tag == "meta" and name == "content")
    assert policy.startswith("default-src 'none'; style-src 'unsafe-inline'")
    assert "script" not in document.tags
    for tag, name, value in document.attributes:
        assert not name.startswith("on"), (tag, name)
        if name in ("src", "href", "xlink:href", "action"):
            assert value.startswith(("#", "data:,")), (tag, name, value)
    assert "url(" not in text
    assert "@import" not in text


def test_what_a_reader_needs_is_there(tmp_path: Path) -> None:
    _, document = report_of(add_result(write_run(tmp_path / "amber-fjord-12"), ten_classes()))
    for part in (
        "amber-fjord-12", "It learned: validation accuracy 98.3 %", "CNN 38.3k parameters", "98.61 %",
        "96.81 % to 99.51 %", "undefined: class 3 has no test row", "38 % of units are dead", "195 / 512 units",
        "limit 10 %", "--set clip_norm=1.0", "the gradient norm at conv1 is 0.31", "they do not count",
        "1 warning, 1 note; 1 suspicion", "AdamW(lr=0.0032", "about 32 batches per epoch of 1,149 rows",
        "stratified by class", "opened 1 time", "9f2c4e1a77b0", "2.13.0", "INIT01", "DATA03", "32,832", "conv1",
    ):  # fmt: skip
        assert part in document.text, part


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    finding = Finding(EVIL, EVIL, "error", "proven", "overfitting", EVIL, EVIL, 3, (Evidence(EVIL, EVIL, EVIL),),
                      (Excluded(EVIL, EVIL),), (Remedy(EVIL, "safe", {"optimizer": EVIL}),))  # fmt: skip
    folder = write_run(tmp_path / "run", findings=(finding,))
    store = Store(folder / FILE)
    told = facts("x", 3)
    evil_result = ten_classes().to_json()
    evil_result["classes"] = [EVIL] * 10
    for row in [*evil_result["per_class"], *evil_result["measures"]]:
        row["name"] = EVIL
    for curve in evil_result["curves"]:
        curve |= {"label": EVIL, "x_label": EVIL, "y_label": EVIL}
    store.put({
        **told, "name": EVIL, "verdict": EVIL, "status": EVIL, "result": evil_result,
        "data": {"description": EVIL, "columns": [EVIL]}, "task": {"kind": EVIL, "classes": [EVIL]},
        "layers": [{"place": EVIL, "kind": EVIL, "out": EVIL, "parameters": 1}], "split": {EVIL: EVIL},
        "decisions": [{"field": "epochs", "value": EVIL, "reason": EVIL}], "environment": {EVIL: EVIL},
        "model": {"name": EVIL, "num_parameters": 3, "num_trainable": 3},
        "check": {"passed": [EVIL], "not_judged": [EVIL], "facts": [EVIL], "seconds": 1.0},
        "source": {"file": EVIL, "name": EVIL, "sha256": EVIL}, "best": {"selection": EVIL, "epoch": 1, "value": 0.1},
    })  # fmt: skip
    store.add_readings([Reading(f"validation.{EVIL}", 0.5, step=1), Reading("gradient.rms", 0.5, place=EVIL, step=1)])
    text, document = report_of(folder)
    assert "<script" not in text
    assert document.text.count("<script>alert(1)</script>") > 20
    assert {tag for tag in document.tags if tag not in KNOWN_TAGS} == set()


KNOWN_TAGS = set(
    "html head meta link title style body header h1 h2 h3 span div p small code nav a main section article table thead "
    "tbody tr th td b ul li dl dt dd details summary footer figure figcaption "
    "svg g path line text circle rect polyline polygon title desc defs clippath lineargradient stop tspan use".split()
)


def test_a_run_cut_short_before_anything_was_measured(tmp_path: Path) -> None:
    store = Store(tmp_path / "early" / FILE, create=True)
    store.put({"name": "early", "status": "interrupted"})
    _, document = report_of(tmp_path / "early")
    assert "thalweg resume early" in document.text
    assert "Nothing was judged" in document.text


def test_a_store_without_any_fact_still_gives_a_page(tmp_path: Path) -> None:
    Store(tmp_path / "bare" / FILE, create=True)
    _, document = report_of(tmp_path / "bare")
    assert "bare" in document.text


def test_a_failed_run_with_losses_that_are_not_finite(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", epochs=3)
    store = Store(folder / FILE)
    store.put({"status": "failed", "verdict": "The loss is not finite from step 130 on.", "best": {}})
    for name in ("train.loss", "validation.loss", "gradient.norm", "train.batch_loss"):
        store.add_readings([Reading(name, v, step=130 + k) for k, v in enumerate((math.nan, math.inf, -math.inf))])
    text, document = report_of(folder)
    assert "The loss is not finite from step 130 on." in document.text
    assert 'class="verdict error"' in text
    places = [value.lower() for _, name, value in document.attributes if name in ("d", "x", "y", "cx", "cy", "width")]
    assert len(places) > 20
    assert not [place for place in places if "nan" in place or "inf" in place]


def test_no_test_rows_is_said(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    Store(folder / FILE).put({"seal": {}})
    assert "There are no test rows" in report_of(folder)[1].text


def test_a_second_opening_is_not_hidden(tmp_path: Path) -> None:
    _, document = report_of(add_result(write_run(tmp_path / "run"), two_classes(), openings=3))
    assert "opened 3 times" in document.text
    assert "flatters" in document.text


@pytest.mark.parametrize(("findings", "tone"), [((), "ok"), ((DEAD,), "warning")])
def test_the_tone_follows_the_findings(tmp_path: Path, findings: tuple[Finding, ...], tone: str) -> None:
    assert f'class="verdict {tone}"' in report_of(write_run(tmp_path / "run", findings=findings))[0]


def test_control_characters_do_not_reach_the_page(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    Store(folder / FILE).put({"verdict": "a\x1b[31mb\x00c"})
    text, document = report_of(folder)
    assert "\x1b" not in text
    assert "\x00" not in text
    assert "a␛[31mb␀c" in document.text


def test_no_run_is_a_clear_error(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no run at"):
        write_report(tmp_path, tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_report_replaces_the_last_one_as_a_whole(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run")
    write_report(folder, tmp_path / "new" / "report.html")
    write_report(folder, tmp_path / "new" / "report.html")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["report.html"]


def test_the_penalty_on_the_weights_is_drawn_where_there_is_one(tmp_path: Path) -> None:
    folder = write_run(tmp_path)
    assert "Penalty on the weights" not in report_of(folder)[1].text
    store = Store(folder / FILE)
    store.add_readings([Reading("regularizer.penalty", 0.0, step=step) for step in (36, 72)])  # of a limit
    assert "Penalty on the weights" not in report_of(folder)[1].text
    store.add_readings([Reading("regularizer.penalty", 0.02, step=108)])
    assert "Penalty on the weights" in report_of(folder)[1].text
    assert len(run_document(folder)["history"]["regularizer.penalty"]) == 3


def test_the_plan_says_who_decided_and_writes_parts_inside_parts(tmp_path: Path) -> None:
    schedule = schedules.Sequential(parts=(schedules.Cosine(over=1.0), schedules.Cosine(over=1)), at=(0.5,))
    asked = Plan(schedule=schedule, dropout=0.3)
    plan = asked.replace(memory_format="contiguous", workers=0)
    reasons = [{"field": "dropout", "value": "0.3", "reason": "asked for; changed at 3"}]
    shown = Document(str(plan_table(plan.to_json(), reasons, asked=asked.to_json()))).text
    assert "Sequential(parts=(Cosine(final=0.0, over=1.0), Cosine(final=0.0, over=1)), at=(0.5,)) you" in shown
    assert "dropout 0.3 you asked for" in shown
    assert "memory_format contiguous automatic" in shown
    assert "workers 0 automatic" in shown
    assert "keep best default" in shown

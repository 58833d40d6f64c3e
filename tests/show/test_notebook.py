"""What a notebook shows: escaped, bounded, complete, and drawn where a training ends without saying so."""

import math
import subprocess
import sys
from dataclasses import dataclass, field, fields
from pathlib import Path
from types import ModuleType
from typing import Any
from xml.etree import ElementTree

import pytest
from play_training import play
from sample_runs import CONSTANT, DEAD, GAP, add_result, facts, numbers, ten_classes, two_classes, write_run

from thalweg.evaluate.result import Measure, Result
from thalweg.events import Decided, EpochEnded, Event, FindingRaised, Progress, RunEnded, RunStarted, Saved, StageEnded
from thalweg.findings import Evidence, Excluded, Finding, Findings, Remedy
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.run import Run
from thalweg.show.notebook import Notebook, in_notebook, live
from thalweg.show.notebook.frame import framed
from thalweg.show.notebook.picture import in_words, picture
from thalweg.show.notebook.told import POINTS, Told, Trace
from thalweg.store import FILE, Store

EVIL = "<script>alert(1)</script>\"'&<b>\x1b\x00"
EVIL_FINDING = Finding(EVIL, EVIL, "error", "proven", "overfitting", EVIL, EVIL, 3, (Evidence(EVIL, EVIL, EVIL),),
                       (Excluded(EVIL, EVIL),), (Remedy(EVIL, "safe", {"optimizer": EVIL}),))  # fmt: skip
STYLE = len(framed())


def parse(html: str) -> ElementTree.Element:
    """The HTML read as XML; it fails where something is not closed or not escaped."""
    root = ElementTree.fromstring(html)
    assert "script" not in {e.tag for e in root.iter()}
    return root


def text_of(html: str) -> str:
    root = parse(html)
    root.remove(root[0])  # the style
    return " ".join("".join(part + " " for part in root.itertext()).split())


def epoch(number: int, num_epochs: int, loss: float, *, best: bool = False, metric: str = "accuracy") -> EpochEnded:
    return EpochEnded(
        number, num_epochs, number * 10, loss, loss, metric, 1 - loss / 9, 0.1, 1.0, 1e-3, 5e3, 0.1, best, {}
    )


def told(*events: Event) -> Told:
    story = Told()
    for event in events:
        story.add(event)
    return story


# ---------------------------------------------------------------------- values


def test_a_run_shows_verdict_findings_curves_measures_and_plan(tmp_path: Path) -> None:
    run = Run.open(add_result(write_run(tmp_path / "amber-fjord-12"), ten_classes()))
    text = text_of(run._repr_html_())
    for part in ("amber-fjord-12", "It learned: validation accuracy 98.3 %",
                 "38 % of units are dead", "plan.replace(clip_norm=1.0)", "Suspicions", "Loss by step",
                 "Accuracy by step", "Test set opened 1 time", "The kept weights on each part", "Confusion matrix",
                 "Plan, with 4 automatic choices", "about 32 batches per epoch of 1,149 rows"):  # fmt: skip
        assert part in text, part


def test_a_run_that_was_cut_short_is_still_shown(tmp_path: Path) -> None:
    Store(tmp_path / "bare" / FILE, create=True)
    assert "The run ended without a verdict." in text_of(Run.open(tmp_path / "bare")._repr_html_())
    store = Store(tmp_path / "early" / FILE, create=True)
    store.put({"name": "early", "status": "interrupted"})
    assert "experiment.resume(run) goes on" in text_of(Run.open(tmp_path / "early")._repr_html_())


def test_curves_without_a_finite_value(tmp_path: Path) -> None:
    store = Store(tmp_path / "lost" / FILE, create=True)
    store.put({**facts("lost", 3), "status": "failed", "best": {}})
    for name in ("train.loss", "validation.loss", "validation.accuracy"):
        store.add_readings([Reading(name, v, step=k) for k, v in enumerate((math.nan, math.inf, -math.inf))])
    assert text_of(Run.open(tmp_path / "lost")._repr_html_()).count("no finite values") >= 2


@pytest.mark.parametrize("result", [ten_classes(), two_classes(), numbers(), Result("regression", 0, ())])
def test_results_draw_their_measures(result: Result) -> None:
    text = text_of(result._repr_html_())
    assert f"Measures on {result.count} test rows" in text
    assert all(curve.x_label in text for curve in result.curves)


def test_findings_are_cards_and_print_as_text() -> None:
    found = Findings((CONSTANT, GAP, DEAD))
    text = text_of(found._repr_html_())
    assert "Findings: 1 warning, 1 note; 1 suspicion" in text
    assert text.index("ACT03") < text.index("DATA02") < text.index("FIT02")
    assert repr(found) == "\n\n".join(map(str, (CONSTANT, GAP, DEAD)))
    assert text_of(Findings()._repr_html_()) == "No findings"
    assert repr(Findings()) == "no findings"
    assert text_of(DEAD._repr_html_()) in text


def test_a_plan_says_what_was_set() -> None:
    rows = {row[0].findtext("span"): row for row in parse(Plan(epochs=20)._repr_html_()).iter("tr") if len(row) == 3}
    assert set(rows) >= {f.name for f in fields(Plan)}
    assert {name for name, row in rows.items() if row[2].findtext("span") == "you"} == {"epochs"}


def test_everything_from_outside_is_escaped(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", findings=(EVIL_FINDING,))
    Store(folder / FILE).put({
        **facts("x", 3), "name": EVIL, "verdict": EVIL, "status": EVIL, "data": {"description": EVIL, "columns": []},
        "model": {"name": EVIL, "num_parameters": 3, "num_trainable": 3}, "environment": {"device": EVIL},
        "decisions": [{"field": "epochs", "value": EVIL, "reason": EVIL}], "best": {"selection": EVIL, "epoch": 1},
    })  # fmt: skip
    Store(folder / FILE).add_readings([Reading(f"validation.{EVIL}", 0.5, step=1)])
    measured = Result("multiclass", 3, (Measure(EVIL, 0.5, 0.4, 0.6, EVIL, 3, EVIL),), classes=(EVIL, EVIL),
                      confusion=((1, 2), (3, 4)))  # fmt: skip
    training = told(
        RunStarted(EVIL, EVIL, EVIL, EVIL), Decided(EVIL, EVIL, EVIL), StageEnded(EVIL, 1, (EVIL,), (), 1.0),
        epoch(1, 1, 0.5, metric=EVIL), FindingRaised(EVIL_FINDING), RunEnded(EVIL, EVIL, EVIL, 1, 1.0),
    )  # fmt: skip
    for html in (
        Run.open(folder)._repr_html_(), EVIL_FINDING._repr_html_(), Findings([EVIL_FINDING])._repr_html_(),
        measured._repr_html_(), picture(training),
    ):  # fmt: skip
        assert "<script" not in html
        assert "<script>alert(1)</script>" in text_of(html)


# ---------------------------------------------------------------------- the picture of a training


def test_few_epochs_have_a_row_each_and_the_best_a_star() -> None:
    root = parse(picture(told(RunStarted("r", "", "", ""), *(epoch(k, 7, 1 / k, best=k == 5) for k in range(1, 8)))))
    (table,) = [t for t in root.iter("table") if t.get("class") == "epochs"]
    names = ["".join(row[0].itertext()) for row in table.findall("tbody/tr")]
    assert names == ["1", "2", "3", "4", "5 ★", "6", "7"]


@pytest.mark.parametrize("num_epochs", [500, 10_000])
def test_a_long_training_stays_small(num_epochs: int) -> None:
    story = told(RunStarted("r", "", "", ""))
    for k in range(1, num_epochs + 1):
        story.add(Progress(k * 10, num_epochs * 10, k, num_epochs, 1 / k))
        story.add(epoch(k, num_epochs, 50.0 if k == 77 else 1 / k, best=k == 133))
        assert len(story.rows) <= 21
    assert [e.epoch for e in story.table if e.epoch in (1, 133, num_epochs)] == [1, 133, num_epochs]
    assert max(story.train.y) == 50.0
    assert all(len(t.x) <= POINTS for t in (story.train, story.validation, story.metric, story.batches))
    assert len(picture(story)) - STYLE < 40_000


def test_thinning_keeps_spikes_and_gaps() -> None:
    trace = Trace("loss")
    for k in range(5000):
        trace.add(k, {1234: 9.0, 4321: -9.0, 2000: math.nan}.get(k, math.sin(k)))
    assert {9.0, -9.0} <= set(trace.y)
    assert any(map(math.isnan, trace.y))
    steps = [x for x in trace.x if x == x]
    assert steps == sorted(steps)
    assert (steps[0], steps[-1]) == (0, 4999)


def test_losses_that_are_not_finite_are_seen() -> None:
    html = picture(told(RunStarted("r", "", "", ""), epoch(1, 2, math.nan), epoch(2, 2, math.inf)))
    assert "no finite values" in text_of(html)
    assert '<span class="bad">NaN</span>' in html


def test_what_was_not_measured_has_no_column() -> None:
    event = EpochEnded(1, 1, 10, 2.0, None, "", None, 0.1, None, None, 100.0, 0.1, False)
    text = text_of(picture(told(RunStarted("r", "", "", ""), event)))
    assert "val loss" not in text
    assert text.count("by step") == 1
    assert "Loss training" in text


def test_batches_are_drawn_while_epochs_are_long() -> None:
    looks = [Progress(k, 1000, 1, 1, 1 / k) for k in range(1, 9)]
    assert "Loss by step" in text_of(picture(told(RunStarted("r", "", "", ""), *looks)))
    assert "batches" not in text_of(picture(told(RunStarted("r", "", "", ""), looks[0], epoch(1, 1, 0.5))))


def test_decisions_are_told_in_full_before_the_first_step() -> None:
    before = told(RunStarted("r", "", "", ""), Decided("epochs", "9", "because"))
    assert parse(picture(before)).find(".//details") is None
    before.add(Progress(1, 10, 1, 1))
    assert parse(picture(before)).findtext(".//summary") == "1 automatic choice"


# ---------------------------------------------------------------------- the listener


@dataclass
class Screen:
    """Takes the place of IPython's DisplayHandle, and of the clock."""

    shown: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    now: float = 0.0

    def display(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(("new", bundle))

    def update(self, bundle: dict[str, str], *, raw: bool) -> None:
        assert raw
        self.shown.append(("update", bundle))

    def clock(self) -> float:
        return self.now


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    screen = Screen()
    module: Any = ModuleType("IPython.display")
    module.DisplayHandle = lambda: screen
    monkeypatch.setitem(sys.modules, "IPython", ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr(live.time, "monotonic", screen.clock)
    monkeypatch.setattr(live.time, "thread_time", screen.clock)
    return screen


def test_one_output_shows_the_whole_training(screen: Screen) -> None:
    play(Notebook())
    assert [kind for kind, _ in screen.shown] == ["new", "update"]  # the clock stood still: first and last alone
    last = screen.shown[-1][1]
    text = text_of(last["text/html"])
    for part in ("amber-fjord-12", "It learned, with one fault", "11 passed", "overfits 64 rows", "3 automatic choices",
                 "ACT03", "Suspicions", "Loss by step", "27 ★", "completed"):  # fmt: skip
        assert part in text, part
    assert last["text/plain"].startswith("amber-fjord-12: It learned, with one fault: 38 % of units died.\nwarning[ACT")


def test_pictures_are_half_a_second_apart(screen: Screen) -> None:
    notebook = Notebook()
    notebook(RunStarted("r", "", "", ""))
    for step in range(1, 101):
        screen.now += 0.1
        notebook(Progress(step, 100, 1, 1, 0.5))
    assert 18 <= len(screen.shown) <= 21  # in ten seconds


def test_dear_pictures_are_rarer(screen: Screen, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(story: Told) -> str:
        screen.now += 0.05
        return "<div/>"

    monkeypatch.setattr(live, "picture", slow)
    notebook = Notebook()
    notebook(RunStarted("r", "", "", ""))
    for step in range(1, 1001):
        screen.now += 0.1
        notebook(Progress(step, 1000, 1, 1, 0.5))
    assert 0.05 * len(screen.shown) <= 0.011 * screen.now


@pytest.mark.parametrize("events", [[], [Progress(3, 10, 1, 2, 0.5)], [Progress(3, 10, 1, 2, 0.5), epoch(1, 2, 0.5)]])
def test_a_training_that_breaks_off_leaves_its_last_state(screen: Screen, events: list[Event]) -> None:
    notebook = Notebook()
    for event in (RunStarted("r", "", "", ""), *events):
        notebook(event)
    notebook.close()
    last = screen.shown[-1][1]
    assert "<progress" not in last["text/html"]
    assert "stopped before its end" in text_of(last["text/html"])
    assert last["text/plain"] == "r: stopped before its end"


def test_an_ended_training_is_not_drawn_again_and_the_next_has_its_own_output(screen: Screen) -> None:
    notebook = Notebook()
    for name in ("first", "second"):
        notebook(RunStarted(name, "", "", ""))
        notebook(RunEnded(name, "completed", "Learned.", 1, 1.0))
        count = len(screen.shown)
        notebook.close()
        notebook(Saved("report", "here"))
        assert len(screen.shown) == count
    assert [kind for kind, _ in screen.shown] == ["new", "update"] * 2
    assert "first" not in text_of(screen.shown[-1][1]["text/html"])


def test_nothing_is_shown_where_nothing_began(screen: Screen) -> None:
    Notebook().close()
    assert screen.shown == []


def test_words_for_what_shows_no_html() -> None:
    story = told(RunStarted("r", "", "", ""))
    assert in_words(story) == "r: preparing"
    story.add(Progress(3, 10, 1, 2, 0.5))
    assert in_words(story) == "r: epoch 1 of 2"
    story.add(FindingRaised(DEAD))
    story.add(RunEnded("r", "completed", "Learned.", 1, 1.0))
    assert in_words(story) == f"r: Learned.\n{DEAD}"


@pytest.mark.parametrize(
    ("shell", "expected"), [("ZMQInteractiveShell", True), ("TerminalInteractiveShell", False), (None, False)]
)
def test_only_a_kernel_is_a_notebook(monkeypatch: pytest.MonkeyPatch, shell: str | None, expected: bool) -> None:
    ipython: Any = ModuleType("IPython")
    kind = type(shell or "none", (), {})
    colab = type("Shell", (kind,), {})
    ipython.get_ipython = lambda: colab() if shell else None
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    assert in_notebook() is expected


def test_drawing_needs_neither_ipython_nor_torch() -> None:
    code = (
        "import sys; sys.modules['IPython'] = None; sys.modules['torch'] = None\n"
        "from thalweg.plan import Plan; from thalweg.show.notebook import in_notebook\n"
        "assert Plan()._repr_html_() and not in_notebook()"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)

"""A training in a real kernel: one output that is redrawn, also when the cell is interrupted or fails."""

import re
from collections.abc import Callable, Iterator
from xml.etree import ElementTree

import pytest
from kernels import Message, Notebook, notebook

START = """
import signal, time, warnings
warnings.simplefilter("error")
import torch
from sklearn.datasets import load_digits
import thalweg as tw
torch.set_num_threads(1)
digits = load_digits()
x, y = torch.tensor(digits.data, dtype=torch.float32), torch.tensor(digits.target)
def build():
    return torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.ReLU(), torch.nn.Linear(32, 10))
experiment = tw.Experiment(build, train=(x, y), loss="cross_entropy")
plain = tw.Plan.plain(optimizer=tw.optimizers.SGD(lr=0.05), epochs=6, batch_size=64)
"""

SLOW = """
class Slow(torch.nn.Linear):
    pause = 0.03
    def forward(self, x):
        time.sleep(self.pause)
        return super().forward(x)
lazy = tw.Experiment(lambda: Slow(64, 10), train=(x, y), loss="cross_entropy")
"""
BROKEN = """
class Broken(torch.nn.Linear):
    calls = 0
    def forward(self, x):
        Broken.calls += 1
        if Broken.calls > 60:
            raise RuntimeError("the cable is out")
        return super().forward(x)
broken = tw.Experiment(lambda: Broken(64, 10), train=(x, y), loss="cross_entropy")
"""


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    with notebook(str(tmp_path_factory.mktemp("notebook"))) as client:
        assert client.run(START).outputs == []
        yield client


def check_html(html: str) -> None:
    """Well-formed, drawn, and still: no script, nothing loaded."""
    root = ElementTree.fromstring(html)
    assert root.get("class") == "thalweg"
    tags = {element.tag.split("}")[-1] for element in root.iter()}
    assert not tags & {"script", "link", "iframe", "img", "object", "foreignObject"}
    names = {name for element in root.iter() for name in element.attrib}
    assert not [name for name in names if name.startswith("on") or name in ("src", "href")]
    assert "url(" not in html
    assert "@import" not in html


def epochs_in(html: str) -> list[int]:
    root = ElementTree.fromstring(html)
    (table,) = [t for t in root.iter("table") if t.get("class") == "epochs"]
    return [int(re.sub(r"\D", "", "".join(row.find("th").itertext()))) for row in table.find("tbody").iter("tr")]


def interrupt_at(kernel: Notebook, text: str) -> Callable[[Message], None]:
    """Presses stop, once, when this is shown."""
    pressed = []

    def watch(message: Message) -> None:
        if not pressed and text in message["content"]["data"]["text/plain"]:
            pressed.append(kernel.interrupt())

    return watch


def test_a_training_is_one_output_that_ends_complete(kernel: Notebook) -> None:
    cell = kernel.run("run = experiment.train(plain)")
    assert len(cell.displays) == 1
    assert set(cell.updates) == set(cell.displays)
    assert cell.text == ""
    check_html(cell.html)
    assert epochs_in(cell.html) == [1, 2, 3, 4, 5, 6]
    assert cell.html.count("<svg") == 2
    assert "<progress" not in cell.html
    assert "completed" in cell.html
    assert kernel.run("print(run.verdict)").text.strip() in cell.html


def test_it_is_redrawn_at_most_twice_a_second(kernel: Notebook) -> None:
    cell = kernel.run(
        "begun = time.monotonic()\nexperiment.train(plain.replace(epochs=150))\nprint(time.monotonic() - begun)"
    )
    assert 2 <= len(cell.updates) <= 2 * float(cell.text) + 2
    assert all(len(m["content"]["data"]["text/html"]) < 60_000 for m in cell.drawn)


@pytest.mark.parametrize(
    "source", ["run", "run.findings", "run.plan", "experiment.check(plain)", "experiment.evaluate(run)"]
)
def test_values_draw_themselves(kernel: Notebook, source: str) -> None:
    check_html(kernel.run(source).html)


def test_an_interrupted_cell_returns_the_run_which_goes_on(kernel: Notebook) -> None:
    kernel.run(SLOW)
    cell = kernel.run("stopped = lazy.train(plain.replace(epochs=40))", interrupt_at(kernel, "epoch 2 of"))
    assert len(cell.displays) == 1
    check_html(cell.html)
    assert "experiment.resume(run)" in cell.html
    assert "<progress" not in cell.html
    assert epochs_in(cell.html)[0] == 1
    told = kernel.run("print(stopped.status, signal.getsignal(signal.SIGINT) is signal.default_int_handler)").text
    assert told.split() == ["interrupted", "True"]
    done = kernel.run(
        "Slow.pause = 0\nresumed = lazy.resume(stopped)\nprint(resumed.status, len(resumed.history['step']))"
    )
    assert done.text.split() == ["completed", "40"]
    check_html(done.html)


def test_an_interrupt_before_the_first_step_returns_the_run_too(kernel: Notebook) -> None:
    kernel.run("Slow.pause = 0.03")
    cell = kernel.run("early = lazy.train(plain.replace(probes=True))", interrupt_at(kernel, "preparing"))
    check_html(cell.html)
    assert "interrupted before the first step" in cell.html
    assert kernel.run("print(early.status)").text.strip() == "interrupted"
    assert kernel.run("Slow.pause = 0\nprint(lazy.resume(early).status)").text.strip() == "completed"


def test_a_failure_leaves_no_half_drawn_output(kernel: Notebook) -> None:
    kernel.run(BROKEN)
    cell = kernel.run("try:\n    broken.train(plain)\nexcept Exception as error:\n    print(error)")
    assert "the cable is out" in cell.text
    check_html(cell.html)
    assert "stopped before its end" in cell.html
    assert "<progress" not in cell.html

"""The measures in a terminal, and a run as one document."""

import json
import math
from pathlib import Path

import pytest
from sample_runs import add_result, numbers, ten_classes, two_classes, write_run

from thalweg.evaluate.result import Result
from thalweg.readings import Reading
from thalweg.show.document import run_document, to_json
from thalweg.show.measures import result_lines
from thalweg.store import FILE, Store


@pytest.mark.parametrize("width", [80, 40])
@pytest.mark.parametrize("result", [ten_classes(), two_classes(), numbers()], ids=["ten", "two", "numbers"])
def test_lines_fit_and_name_every_measure(result: Result, width: int) -> None:
    lines = [line.plain for line in result_lines(result, {"openings": 1}, width=width)]
    assert max(map(len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    assert f"{result.count} rows" in text
    assert "opened 1 time" in text
    assert text.count(" to ") == sum(m.low is not None for m in result.measures)


def test_an_undefined_measure_says_why() -> None:
    text = "\n".join(line.plain for line in result_lines(ten_classes(), {}, width=80))
    assert "NaN" in text
    assert "undefined: class 3 has no test row" in text


def test_the_threshold_and_where_it_was_chosen() -> None:
    text = " ".join(line.plain for line in result_lines(two_classes(), {}, width=80))
    assert "yes above probability 0.4013, chosen on 288 validation rows for F1" in text


def test_a_document_holds_the_run_and_is_json(tmp_path: Path) -> None:
    folder = add_result(write_run(tmp_path / "amber-fjord-12", epochs=3), ten_classes())
    Store(folder / FILE).add_readings([Reading("train.loss", math.nan, step=200)])
    text = to_json(run_document(folder))

    def refuse(word: str) -> None:
        raise AssertionError(word)

    document = json.loads(text, parse_constant=refuse)
    assert document["name"] == "amber-fjord-12"
    assert document["plan"]["optimizer"]["lr"] == 0.0032
    assert [f["code"] for f in document["findings"]] == ["ACT03", "DATA02", "FIT02"]
    assert document["history"]["train.loss"][-1] == {"step": 200, "value": "NaN"}
    assert document["result"]["measures"][0]["name"] == "accuracy"
    assert [p["step"] for p in document["history"]["update.ratio"]] == [36, 72, 108]  # of the whole network alone

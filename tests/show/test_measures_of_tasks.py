"""The measures of labels and of several targets, in the terminal and in the report."""

import pytest
import torch

from thalweg.evaluate.measures import evaluate_outputs
from thalweg.evaluate.result import Result
from thalweg.show.measures import result_lines
from thalweg.show.report.measures import result_cards

G = torch.Generator().manual_seed(0)
FLAGS = (torch.rand(120, 3, generator=G) < 0.3).long()
FLAGS[:, 2] = 0
NAMES = ("rain", "<b>snow</b>", "a very long name of a label that goes on")
LABELS = evaluate_outputs(
    torch.randn(120, 3, generator=G) + 2 * FLAGS, FLAGS, kind="multilabel", classes=NAMES, replicates=99
)
NUMBERS = torch.randn(120, 2, generator=G)
TARGETS = evaluate_outputs(NUMBERS + 0.5, NUMBERS, kind="regression", classes=("price", "weight"), replicates=99)


def lines(result: Result, width: int = 80) -> list[str]:
    return [line.plain for line in result_lines(result, {"openings": 1}, width=width)]


@pytest.mark.parametrize("result", [LABELS, TARGETS], ids=["labels", "targets"])
def test_lines_fit_a_terminal(result: Result) -> None:
    assert max(map(len, lines(result))) <= 80


def test_each_label_has_a_line_and_what_is_undefined_is_nan_and_no_zero() -> None:
    shown = lines(LABELS)
    (rain,) = [line for line in shown if line.split()[:1] == ["rain"]]
    row = LABELS.per_class[0]
    assert rain.split()[1:3] == [str(row.support), f"{row.precision.value:.3f}"]
    (last,) = [line for line in shown if "a very" in line]
    assert last.split()[-3:] == ["NaN", "NaN", "NaN"]
    assert any("each label above probability 0.5" in line for line in shown)


def test_each_target_has_a_line() -> None:
    (price,) = [line for line in lines(TARGETS) if line.split()[:1] == ["price"]]
    assert price.split()[2] == "0.5000"


def test_the_report_has_a_table_of_labels_with_intervals_and_reasons() -> None:
    page = str(result_cards(LABELS, {}))
    assert "&lt;b&gt;snow&lt;/b&gt;" in page
    assert 'title="undefined: no row has this label"' in page
    assert "each label above probability" in page


def test_the_report_draws_each_target_in_a_square_of_its_own() -> None:
    page = str(result_cards(TARGETS, {}))
    assert "Predicted and true values: price" in page
    assert "Predicted and true values: weight" in page
    assert "each in its own unit" in page

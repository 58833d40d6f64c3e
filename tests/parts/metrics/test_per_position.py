"""Measures of a class per position, against torch's cross-entropy and counting."""

import math

import pytest
import torch
from torch.nn import functional as F

from thalweg.errors import DataError
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.forms import IGNORED, class_dim, positions

G = torch.Generator().manual_seed(0)
LOGITS = 2 * torch.randn(30, 12, 7, generator=G)
TARGET = torch.randint(0, 7, (30, 12), generator=G)
TARGET[:, 9:] = torch.where(torch.rand(30, 3, generator=G) < 0.7, IGNORED, TARGET[:, 9:])
COUNTED = TARGET != IGNORED


def value(name: str, output: torch.Tensor = LOGITS, target: torch.Tensor = TARGET) -> float:
    return metric(name, "per_position")(output, target)


@pytest.mark.parametrize("output", [LOGITS, LOGITS.transpose(1, 2)])
def test_ignored_positions_count_nowhere(output: torch.Tensor) -> None:
    loss = float(F.cross_entropy(LOGITS.double().transpose(1, 2), TARGET))
    hits = (LOGITS.argmax(-1) == TARGET)[COUNTED].double().mean()
    assert value("accuracy", output) == pytest.approx(float(hits), abs=1e-12)
    assert value("log_loss", output) == pytest.approx(loss, rel=1e-6)
    assert value("perplexity", output) == pytest.approx(math.exp(loss), rel=1e-6)


def test_pixels_of_masks() -> None:
    output, target = torch.randn(3, 4, 5, 6, generator=G), torch.randint(0, 4, (3, 5, 6), generator=G)
    assert value("log_loss", output, target) == pytest.approx(float(F.cross_entropy(output, target)), rel=1e-6)


@pytest.mark.parametrize("name", ["accuracy", "perplexity", "log_loss"])
def test_added_over_batches_it_is_the_whole_and_no_mean_of_batches(name: str) -> None:
    found = metric(name, "per_position")
    pairs = list(zip(LOGITS.split(11), TARGET.split(11), strict=True))
    whole = found(LOGITS, TARGET)
    assert found.merge(sum(found.partial(o, t) for o, t in pairs)) == pytest.approx(whole, rel=1e-12)
    assert sum(found(o, t) for o, t in pairs) / len(pairs) != pytest.approx(whole, rel=1e-6)


def test_without_a_counted_position_it_is_undefined() -> None:
    nothing = torch.full((2, 3), IGNORED)
    assert math.isnan(value("accuracy", torch.zeros(2, 3, 4), nothing))
    assert metric("accuracy", "per_position").why_undefined(torch.zeros(2, 3, 4), nothing) == "no position counts"


def test_the_class_dimension() -> None:
    labels = torch.zeros(5, 7, dtype=torch.long)
    assert class_dim(torch.zeros(5, 3, 7), labels) == 1
    assert class_dim(torch.zeros(5, 7, 3), labels) == 2
    assert class_dim(torch.zeros(5, 7, 7), labels) is None
    assert class_dim(torch.zeros(5, 3), torch.zeros(5)) is None
    assert class_dim(torch.zeros(5, 3), labels[:, 0]) == 1


def test_a_square_is_an_error_that_says_how_to_settle_it() -> None:
    with pytest.raises(DataError, match=r"all are 12\. Take windows of another length, or give the last layer one"):
        positions(torch.zeros(3, 12, 12), torch.zeros(3, 12, dtype=torch.long))


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        (torch.zeros(3, 5), torch.zeros(3, 5, dtype=torch.long), "needs outputs"),
        (torch.zeros(3, 5, 4), torch.full((3, 5), 4), "from 0 to 3"),
        (torch.full((3, 5, 4), torch.nan), torch.zeros(3, 5, dtype=torch.long), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(output: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        value("accuracy", output, target)

"""Measures of several labels per row, against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from sklearn import metrics as sk

from thalweg.errors import DataError
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.multilabel import counts, log_losses, macro_f1, micro_f1

G = torch.Generator().manual_seed(0)
TRUE = (torch.rand(300, 5, generator=G) < torch.tensor([0.5, 0.3, 0.2, 0.1, 0.05])).float()
LOGITS = (torch.randn(300, 5, generator=G) + 2 * TRUE - 1.5).double()
CALLED = (LOGITS > 0).numpy()


def value(name: str, output: torch.Tensor = LOGITS, target: torch.Tensor = TRUE) -> float:
    return metric(name, "multilabel")(output, target)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        *[
            (f"{average}_{name}", score(TRUE, CALLED, average=average))
            for average in ("micro", "macro", "weighted")
            for name, score in (
                ("f1", sk.f1_score),
                ("precision", sk.precision_score),
                ("recall", sk.recall_score),
                ("jaccard", sk.jaccard_score),
            )
        ],
        ("samples_f1", sk.f1_score(TRUE, CALLED, average="samples", zero_division=np.nan)),
        ("samples_precision", sk.precision_score(TRUE, CALLED, average="samples", zero_division=np.nan)),
        ("samples_recall", sk.recall_score(TRUE, CALLED, average="samples", zero_division=np.nan)),
        ("micro_f2", sk.fbeta_score(TRUE, CALLED, beta=2, average="micro")),
        ("samples_f0.5", sk.fbeta_score(TRUE, CALLED, beta=0.5, average="samples", zero_division=np.nan)),
        ("hamming_loss", sk.hamming_loss(TRUE, CALLED)),
        ("weighted_auc", sk.roc_auc_score(TRUE, LOGITS, average="weighted")),
        ("weighted_average_precision", sk.average_precision_score(TRUE, LOGITS, average="weighted")),
        ("subset_accuracy", sk.accuracy_score(TRUE, CALLED)),
        ("label_accuracy", 1 - sk.hamming_loss(TRUE, CALLED)),
        ("macro_average_precision", sk.average_precision_score(TRUE, LOGITS, average="macro")),
        ("macro_auc", sk.roc_auc_score(TRUE, LOGITS, average="macro")),
    ],
)
def test_as_scikit_learn(name: str, expected: float) -> None:
    assert value(name) == pytest.approx(expected, abs=1e-12)


def test_log_loss_is_the_mean_binary_cross_entropy() -> None:
    expected = torch.nn.functional.binary_cross_entropy_with_logits(LOGITS, TRUE.double())
    assert float(log_losses(LOGITS, TRUE).mean()) == pytest.approx(float(expected), rel=1e-12)
    shares = LOGITS.sigmoid()
    assert torch.allclose(log_losses(shares, TRUE, scores="probabilities"), log_losses(LOGITS, TRUE), atol=1e-9)


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "subset_accuracy", "label_accuracy"])
def test_added_over_batches_it_is_exactly_the_whole(name: str) -> None:
    found = metric(name, "multilabel")
    states = [found.partial(o, t) for o, t in zip(LOGITS.split(7), TRUE.split(7), strict=True)]
    assert found.merge(torch.stack(states).sum(0)) == found(LOGITS, TRUE)


def test_a_label_that_no_row_has_is_left_out_and_never_zero() -> None:
    target = TRUE.clone()
    target[:, 1] = 0
    kept = [0, 2, 3, 4]
    assert value("macro_f1", target=target) == pytest.approx(
        sk.f1_score(target[:, kept], CALLED[:, kept], average="macro"), abs=1e-12
    )
    expected = sk.average_precision_score(target[:, kept], LOGITS[:, kept], average="macro")
    assert value("macro_average_precision", target=target) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("name", ["micro_f1", "macro_f1", "macro_average_precision", "macro_auc"])
def test_without_any_label_it_is_undefined_with_a_reason(name: str) -> None:
    found = metric(name, "multilabel")
    nothing = torch.zeros(4, 2)
    assert math.isnan(found(torch.randn(4, 2, generator=G), nothing))
    assert found.why_undefined(torch.zeros(4, 2), nothing)
    assert not found.why_undefined(LOGITS, TRUE)


def test_a_label_never_called_has_f1_zero() -> None:
    state = counts(torch.full((4, 1), -1.0), torch.tensor([[1], [0], [1], [0]]))
    assert micro_f1(state) == macro_f1(state) == 0


@pytest.mark.parametrize(
    ("output", "target", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), "3 labels per row"),
        (torch.zeros(4, 3, 2), torch.zeros(4, 3), "task='per_position'"),
        (torch.zeros(4, 3), torch.full((4, 3), 2.0), "0 and 1 only"),
        (torch.full((4, 3), torch.nan), torch.zeros(4, 3), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused(output: torch.Tensor, target: torch.Tensor, message: str) -> None:
    with pytest.raises(DataError, match=message):
        value("micro_f1", output, target)


def test_a_row_of_0_by_0_is_left_out_of_the_samples_mean() -> None:
    output, target = torch.tensor([[1.0, 1.0], [-1.0, -1.0], [-1.0, 1.0]]), torch.tensor([[1, 0], [0, 0], [0, 0]])
    assert value("samples_jaccard", output, target) == (0.5 + 0) / 2  # as jaccard_score, which has no zero_division=nan
    assert value("samples_recall", output, target) == 1.0
    found = metric("samples_recall", "multilabel")
    assert found.why_undefined(output[1:], target[1:]) == "0/0 in every row"
    assert math.isnan(found(output[1:], target[1:]))

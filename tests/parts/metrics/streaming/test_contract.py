"""Every streaming metric through the same cases: in any split, order and merging it is the function on all rows."""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor
from torch.nn.functional import one_hot
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from thalweg.errors import DataError, UsageError
from thalweg.parts.metrics import (
    Calibration,
    Confusion,
    ExactRanking,
    LogLoss,
    Multilabel,
    Ranking,
    Regression,
    accuracy,
    average_precision,
    balanced_accuracy,
    brier_score,
    calibration_error,
    confusion_matrix,
    explained_variance,
    f1,
    kappa,
    log_loss,
    macro_average_precision,
    macro_roc_auc,
    mae,
    mcc,
    mse,
    multilabel,
    perplexity,
    precision,
    r2,
    recall,
    rmse,
    roc_auc,
    sample_share,
    specificity,
    streaming,
)
from thalweg.parts.metrics.forms import predictions

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
Rows = tuple[Tensor, Tensor]


def binary_rows(count: int, dtype: torch.dtype, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(2, (count,), generator=generator)
    return (torch.randn(count, generator=generator) * 3 + 2 * target - 1).round(decimals=1).to(dtype), target


def class_rows(count: int, dtype: torch.dtype, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randint(4, (count,), generator=generator)
    return (2 * torch.randn(count, 4, generator=generator) + 2 * one_hot(target, 4)).to(dtype), target


def label_rows(count: int, dtype: torch.dtype, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    target = (torch.rand(count, 3, generator=generator) < 0.4).long()
    return (torch.randn(count, 3, generator=generator) + 2 * target - 1).to(dtype), target


def number_rows(count: int, dtype: torch.dtype, seed: int) -> Rows:
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(count, 2, generator=generator)
    return (target + 0.5 * torch.randn(count, 2, generator=generator)).to(dtype), target.to(dtype)


def of_matrix(output: Tensor, target: Tensor, kind: Any) -> dict[str, float]:
    matrix = confusion_matrix(predictions(output, kind), target, num_classes=2 if kind == "binary" else 4)
    one = {"positive": 1} if kind == "binary" else {}
    ones = {name: f(matrix, **one) for name, f in (("f1", f1), ("precision", precision), ("recall", recall))}
    all_classes = {"accuracy": accuracy, "balanced_accuracy": balanced_accuracy, "mcc": mcc, "kappa": kappa}
    return {name: f(matrix) for name, f in all_classes.items()} | ones | {"specificity": specificity(matrix, **one)}


def of_labels(output: Tensor, target: Tensor) -> dict[str, float]:
    counts = multilabel.counts(output, target)
    found = {"subset_accuracy": multilabel.subset_accuracy(counts), "hamming_loss": multilabel.hamming_loss(counts)}
    for name, share in (("f1", "f_beta"), ("precision", "precision"), ("recall", "recall"), ("jaccard", "jaccard")):
        for average in ("micro", "macro", "weighted"):
            found[f"{average}_{name}"] = multilabel.label_share(counts, share, average=average)
        found[f"samples_{name}"] = sample_share(output, target, share)
    return found


def of_probabilities(output: Tensor, target: Tensor, kind: Any) -> dict[str, float]:
    return {
        "log_loss": log_loss(output, target, kind=kind),
        "perplexity": perplexity(output, target, kind=kind),
        "brier": brier_score(output, target, kind=kind),
    }


def of_calibration(output: Tensor, target: Tensor, kind: Any) -> dict[str, float]:
    one = partial(calibration_error, output, target, kind=kind, binning="width")
    return {"calibration_error": one(), "debiased_calibration_error": one(debiased=True)}


def of_ranking(output: Tensor, target: Tensor, kind: str) -> dict[str, float]:
    if kind == "binary":
        return {"auc": roc_auc(output, target), "average_precision": average_precision(output, target)}
    if kind == "multiclass":
        return {
            "auc": macro_roc_auc(output, target),
            "average_precision": macro_average_precision(output, target),
            "weighted_auc": macro_roc_auc(output, target, average="weighted"),
            "weighted_average_precision": macro_average_precision(output, target, average="weighted"),
        }
    both = {"auc": roc_auc, "average_precision": average_precision}
    return {
        f"{word}_{name}": multilabel.mean_over_labels(measure, output, target, weighted=word == "weighted")
        for name, measure in both.items()
        for word in ("macro", "weighted")
    }


def of_regression(output: Tensor, target: Tensor) -> dict[str, float]:
    functions = {"mse": mse, "rmse": rmse, "mae": mae, "r2": r2, "explained_variance": explained_variance}
    return {name: function(output, target) for name, function in functions.items()}


@dataclass(frozen=True)
class Case:
    make: Callable[[], Any]
    rows: Callable[[int, torch.dtype, int], Rows]
    whole: Callable[[Tensor, Tensor], dict[str, float]]

    def __str__(self) -> str:
        return repr(self.make())


CASES = [
    Case(lambda: Confusion(2), binary_rows, partial(of_matrix, kind="binary")),
    Case(lambda: Confusion(4), class_rows, partial(of_matrix, kind="multiclass")),
    Case(lambda: Ranking(), binary_rows, partial(of_ranking, kind="binary")),
    Case(lambda: Ranking("multiclass", 4, bits=14), class_rows, partial(of_ranking, kind="multiclass")),
    Case(lambda: Ranking("multilabel", 3, bits=14), label_rows, partial(of_ranking, kind="multilabel")),
    Case(lambda: ExactRanking(), binary_rows, partial(of_ranking, kind="binary")),
    Case(lambda: ExactRanking("multiclass", 4), class_rows, partial(of_ranking, kind="multiclass")),
    Case(lambda: ExactRanking("multilabel", 3), label_rows, partial(of_ranking, kind="multilabel")),
    Case(lambda: LogLoss(), binary_rows, partial(of_probabilities, kind="binary")),
    Case(lambda: LogLoss(), class_rows, partial(of_probabilities, kind="multiclass")),
    Case(lambda: Calibration(binning="width"), binary_rows, partial(of_calibration, kind="binary")),
    Case(lambda: Calibration(binning="width"), class_rows, partial(of_calibration, kind="multiclass")),
    Case(lambda: Multilabel(3), label_rows, of_labels),
    Case(lambda: Regression(2), number_rows, of_regression),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)


def agree(found: Any, expected: dict[str, float]) -> None:
    values = found.compute()
    assert set(values) == set(expected)
    for name, value in values.items():
        assert abs(value.value - expected[name]) <= value.error + 1e-12 * max(1.0, abs(expected[name])), (name, value)
        assert not value.reason


def test_the_cases_are_all_there_are() -> None:
    assert {type(case.make()).__name__ for case in CASES} == set(streaming.__all__)


@every_case
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_any_split_order_and_merging_is_the_whole(case: Case, dtype: torch.dtype) -> None:
    output, target = case.rows(120, dtype, 1)
    shuffled = random.Random(2)
    expected = case.whole(output, target)
    agree(case.make().update(output, target), expected)
    for _ in range(3):
        ends = sorted(shuffled.sample(range(121), 5))  # some parts of one row, some empty
        parts = [slice(a, b) for a, b in zip([0, *ends], [*ends, 120], strict=True)]
        metrics = [case.make().update(output[part], target[part]) for part in parts]
        shuffled.shuffle(metrics)
        while len(metrics) > 1:
            metrics.append(metrics.pop(0).merge(metrics.pop(0)))
        agree(metrics[0], expected)


@every_case
def test_batches_of_one_row_and_of_none(case: Case) -> None:
    output, target = case.rows(30, torch.float32, 3)
    metric = case.make()
    for k in range(30):
        metric.update(output[k : k + 1], target[k : k + 1]).update(output[:0], target[:0])
    agree(metric, case.whole(output, target))


@every_case
def test_without_rows_it_is_nan_with_a_reason(case: Case) -> None:
    output, target = case.rows(0, torch.float32, 0)
    for metric in (
        case.make(),
        case.make().update(output, target),
        case.make().update(*case.rows(5, torch.float32, 0)).reset(),
    ):
        for value in metric.compute().values():
            assert math.isnan(value.value)
            assert value.reason == "there are no rows"
            assert value.support == 0


class NoWaiting(TorchDispatchMode):
    """Refuses what waits for a device: reading a number, or an operation whose result's shape depends on values."""

    FORBIDDEN = ("_local_scalar_dense", "nonzero", "unique", "masked_select", "is_nonzero", "equal", "bincount", "item")

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.__name__.split(".")[0]
        assert not any(name == word or name.startswith(f"_{word}") for word in self.FORBIDDEN), name
        assert name != "index" or not any(t is not None and t.dtype == torch.bool for t in args[1]), "index by a mask"
        return func(*args, **(kwargs or {}))


class NoReading(TorchFunctionMode):
    FORBIDDEN = ("item", "tolist", "__bool__", "__float__", "__int__", "numpy", "__index__")

    def __torch_function__(self, func, types, args=(), kwargs=None):
        assert getattr(func, "__name__", "") not in self.FORBIDDEN, func
        return func(*args, **(kwargs or {}))


@every_case
def test_an_update_never_waits_for_the_device(case: Case) -> None:
    output, target = case.rows(20, torch.float32, 4)
    metric = case.make()
    with NoWaiting(), NoReading():
        metric.update(output, target).update(output, target, torch.ones(20))
    with pytest.raises(AssertionError), NoWaiting(), NoReading():  # the watch does see a synchronization
        float(output.sum())
    # Tensors without data: anything that reads a value fails.
    case.make().update(output.to("meta"), target.to("meta"))


@every_case
def test_a_nan_is_an_error_when_asked_and_not_before(case: Case) -> None:
    output, target = case.rows(20, torch.float32, 5)
    output.view(-1)[-1] = math.nan
    metric = case.make().update(output, target)
    with pytest.raises(DataError, match="NaN"):
        metric.compute()
    agree(metric.reset().update(output[:19], target[:19]), case.whole(output[:19], target[:19]))


@every_case
def test_a_label_out_of_range_is_an_error_when_asked(case: Case) -> None:
    if isinstance(case.make(), Regression):
        pytest.skip("a regression has no labels")
    output, target = case.rows(20, torch.float32, 5)
    for wrong in (-1, 7, 0.5, math.nan):
        broken = target.double() if isinstance(wrong, float) else target.clone()
        broken.view(-1)[3] = wrong
        metric = case.make().update(output, broken)
        with pytest.raises(DataError, match=r"whole number from 0 to|0 and 1 only"):
            metric.compute()


@every_case
def test_weights_repeat_rows_and_a_weight_of_0_leaves_a_row_out(case: Case) -> None:
    output, target = case.rows(60, torch.float32, 6)
    weight = torch.randint(0, 4, (60,), generator=torch.Generator().manual_seed(0))
    repeated = [t.repeat_interleave(weight, 0) for t in (output, target)]
    if isinstance(case.make(), Calibration):  # its debiased form depends on how many rows there are
        found = case.make().update(output, target, weight).compute()["calibration_error"].value
        assert found == pytest.approx(case.whole(*repeated)["calibration_error"], abs=1e-12)
        return
    agree(case.make().update(output, target, weight), case.whole(*repeated))
    metric = case.make().update(output[:25], target[:25], weight[:25])
    agree(metric.update(output[25:], target[25:], weight[25:].double()), case.whole(*repeated))


@every_case
def test_weights_that_are_none_are_refused(case: Case) -> None:
    output, target = case.rows(20, torch.float32, 6)
    with pytest.raises(DataError, match="one weight for each of 20 rows"):
        case.make().update(output, target, torch.ones(19))
    for wrong in (-1.0, math.nan, math.inf):
        metric = case.make().update(output, target, torch.full((20,), wrong))
        with pytest.raises(DataError, match="weight of a row is a finite number of at least 0"):
            metric.compute()


@every_case
def test_its_state_is_saved_and_goes_on(case: Case) -> None:
    output, target = case.rows(50, torch.float32, 7)
    first = case.make().update(output[:20], target[:20])
    loaded = case.make().load_state_dict(load(save(first.state_dict())))
    expected = case.whole(output, target)
    agree(loaded.update(output[20:], target[20:]), expected)
    agree(first.update(output[20:], target[20:]), expected)  # the copy took nothing away
    with pytest.raises(UsageError, match=r"state (of|is not one of)"):
        case.make().load_state_dict({"other": torch.zeros(3)})


@every_case
def test_only_its_like_merges(case: Case) -> None:
    with pytest.raises(UsageError, match="same settings"):
        case.make().merge(Confusion(9))


@every_case
def test_no_graph_is_kept_and_inputs_stay(case: Case) -> None:
    output, target = case.rows(20, torch.float32, 8)
    kept = output.clone(), target.clone()
    metric = case.make().update(output.requires_grad_(), target)
    assert not any(tensor.requires_grad for tensor in metric.state_dict().values())
    expected = case.whole(output.detach(), target)
    assert torch.equal(output, kept[0])
    assert torch.equal(target, kept[1])
    output.detach().zero_()  # the batch's memory may be used again
    agree(metric, expected)


@every_case
def test_rows_that_are_not_contiguous(case: Case) -> None:
    output, target = case.rows(40, torch.float32, 9)
    wide = torch.stack([output, output], -1)[..., 0]
    assert not wide.is_contiguous()
    agree(case.make().update(wide[::2], target[::2]), case.whole(output[::2], target[::2]))


@every_case
def test_rows_that_disagree_are_refused_at_once(case: Case) -> None:
    output, target = case.rows(20, torch.float32, 9)
    with pytest.raises(DataError):
        case.make().update(output, target[:19])


@every_case
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_on_a_device_without_synchronization(case: Case) -> None:
    output, target = case.rows(200, torch.float32, 10)
    metric = case.make()
    metric.update(output[:50].cuda(), target[:50].cuda())
    torch.cuda.set_sync_debug_mode("error")
    try:
        rest = output[50:].cuda(non_blocking=True), target[50:].cuda(non_blocking=True)
        metric.update(*rest)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    agree(metric, case.whole(output, target))

"""Every part through the same cases: what it is fitted on, how it is kept, what it takes."""

import json
from dataclasses import fields
from typing import Any

import pytest
import torch
from safetensors.torch import load, save
from torch import Tensor

from thalweg.data.rows import DatasetRows, Inputs, Part, Rows, tensors_of
from thalweg.errors import DataError, UsageError
from thalweg.parts import preprocessing
from thalweg.parts.preprocessing import (
    PCA,
    ZCA,
    Chain,
    Log,
    MinMax,
    Power,
    Preparation,
    Robust,
    Standardize,
    Table,
)
from thalweg.parts.preprocessing.modules.restore import restore
from thalweg.plan import Plan

CASES = [
    Standardize(),
    Standardize(per="column"),
    Standardize(per="tensor"),
    MinMax(),
    MinMax(low=-2, high=3, clip=True, per="column"),
    Robust(),
    Robust(quantiles=(0.05, 0.9), per="tensor"),
    PCA(),
    PCA(components=2, whiten=False),
    PCA(components=0.9),
    ZCA(),
    ZCA(floor=0),
    Log(skewness=0),
    Log(unit=0.01, per="column"),
    Power(),
    Power(skewness=0, per="column"),
    Chain(Power(), Standardize(), PCA(components=3)),
    Chain(Standardize(), Chain(ZCA(), MinMax())),
]
BY_ROW = Standardize(per="row")
SEPARATE = [part for part in CASES if not isinstance(part, Chain)]
SUBTRACTED = (Standardize, PCA, ZCA, Log)
every_part = pytest.mark.parametrize("part", CASES, ids=repr)


def skewed(rows: int = 400, columns: int = 5, seed: int = 0) -> Tensor:
    """Correlated columns, the first two exponential, of scales from 0.1 to 1,000, at offsets."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, columns, generator=generator)
    x = x + 0.5 * x[:, :1]
    x[:, :2] = x[:, :2].exp()
    return x * torch.logspace(-1, 3, columns) + torch.tensor([0.0, 1.0, -5.0, 100.0, 0.0])[:columns]


def make_rows(inputs: Inputs, part: Part = "train") -> Rows:
    count = len(tensors_of(inputs)[0])
    return Rows(inputs, torch.zeros(count), torch.arange(count), part)


def on_disk(inputs: Inputs) -> DatasetRows:
    """The same rows as items that are read one by one."""
    values = tensors_of(inputs)
    count = len(values[0])
    items = [((values[0][i] if len(values) == 1 else tuple(v[i] for v in values)), 0.0) for i in range(count)]
    return DatasetRows(items, torch.zeros(count), torch.arange(count), "train")


def close(found: Tensor, expected: Tensor, tolerance: float = 1e-6) -> None:
    """Equal to within a share of the largest value of each column."""
    scale = expected.double().abs().flatten(1).amax(0).clamp(min=1.0)
    error = (found.double() - expected.double()).abs().flatten(1)
    assert found.shape == expected.shape
    assert (error <= tolerance * scale).all(), float((error / scale).max())


def test_every_part_is_among_the_cases() -> None:
    assert {type(part).__name__ for part in CASES} | {"Table"} == set(preprocessing.__all__)


@every_part
@pytest.mark.parametrize("part_of", ["validation", "test"])
def test_only_training_rows_are_fitted_on(part: Preparation, part_of: Part) -> None:
    with pytest.raises(DataError, match=f"training rows only, and received 9 {part_of} rows"):
        part.fit(make_rows(skewed(9), part_of))


@every_part
def test_reading_row_by_row_gives_the_same(part: Preparation) -> None:
    x = skewed(700)  # three reads
    close(part.fit(on_disk(x))(x), part.fit(make_rows(x))(x))


@every_part
def test_state_and_form_restore_it_without_pickle(part: Preparation) -> None:
    x = skewed()
    fitted = part.fit(make_rows(x))
    again = restore(load(save(fitted.state_dict())), json.loads(json.dumps(fitted.form)))
    assert torch.equal(again(x), fitted(x))
    assert torch.equal(again.double()(x.double()), fitted.double()(x.double()))
    assert not list(fitted.parameters())


@every_part
def test_a_plan_keeps_it_as_json(part: Preparation) -> None:
    plan = Plan(preprocessing=part)
    assert Plan.from_json(json.dumps(plan.to_json())) == plan
    assert Plan.from_json(json.dumps(plan.to_json())).preprocessing == part


@every_part
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16, torch.uint8])
def test_dtypes(part: Preparation, dtype: torch.dtype) -> None:
    x = (skewed() - skewed().amin(0)).div(50).clamp(max=255).to(dtype)
    fitted = part.fit(make_rows(x))
    half = dtype in (torch.bfloat16, torch.float16)
    assert fitted(x).dtype == (dtype if half else torch.float32)
    exact = part.fit(make_rows(x.double())).double()(x.double())
    assert exact.dtype == torch.float64
    close(fitted(x), exact, tolerance=2 * torch.finfo(dtype).eps if half else 2e-5)


@every_part
def test_a_batch_of_one_row_and_of_none(part: Preparation) -> None:
    x = skewed()
    fitted = part.fit(make_rows(x))
    close(fitted(x[3:4]), fitted(x)[3:4])
    assert fitted(x[:0]).shape == fitted(x)[:0].shape
    assert fitted.inverse(fitted(x[:0])).shape == x[:0].shape


@every_part
def test_memory_layouts(part: Preparation) -> None:
    x = skewed()
    fitted = part.fit(make_rows(x))
    kept = x.clone()
    close(fitted(x.T.contiguous().T), fitted(x))
    assert torch.equal(x, kept)
    image = images()
    fitted = part.fit(make_rows(image))
    close(fitted(image.contiguous(memory_format=torch.channels_last)), fitted(image))


def images() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(80, 3, 4, 4, generator=generator)
    return (x + x.mean((2, 3), keepdim=True)).exp() * torch.tensor([1.0, 10.0, 0.1])[:, None, None]


@every_part
def test_images_keep_their_shape_or_become_components(part: Preparation) -> None:
    x = images()
    fitted = part.fit(make_rows(x))
    flat = "PCA" in repr(part)
    assert fitted(x).shape[:1] == x.shape[:1]
    assert fitted(x).ndim == (2 if flat else 4)
    if "components" not in repr(part) or part == PCA():
        close(fitted.double().inverse(fitted(x.double())), x, tolerance=1e-4)


@every_part
def test_the_inverse_gives_the_rows_back(part: Preparation) -> None:
    x = skewed().double()
    fitted = part.fit(make_rows(x)).double()
    if fitted(x).shape == x.shape:
        close(fitted.inverse(fitted(x)), x, tolerance=1e-5)
    else:  # what the left-out components held is gone, and nothing else
        once = fitted.inverse(fitted(x))
        close(fitted.inverse(fitted(once)), once, tolerance=1e-5)


@every_part
def test_each_tensor_by_itself_and_indices_pass(part: Preparation) -> None:
    a, tokens, image = skewed(80), torch.arange(80) % 7, images()
    for inputs in ((a, tokens, image), {"a": a, "b.c": tokens, "keys": image}):
        fitted = part.fit(make_rows(inputs))
        first, second, third = tensors_of(fitted(inputs))
        close(first, part.fit(make_rows(a))(a))
        assert second is tokens
        close(third, part.fit(make_rows(image))(image))
        again = restore(fitted.state_dict(), json.loads(json.dumps(fitted.form)))
        assert torch.equal(tensors_of(again(inputs))[2], third)
        assert torch.equal(tensors_of(fitted.inverse(fitted(inputs)))[1], tokens)
    close(tensors_of(part.fit(on_disk((a, tokens, image)))((a, tokens, image)))[2], third)


@every_part
def test_export_and_compile(part: Preparation) -> None:
    x = skewed() if "PCA" in repr(part) else images()
    fitted = part.fit(make_rows(x))
    exported = torch.export.export(fitted, (x[:5],), dynamic_shapes=({0: torch.export.Dim("rows")},)).module()
    for batch in (x[:1], x[:7]):
        close(exported(batch), fitted(batch))
    compiled = torch.compile(fitted, backend="eager", fullgraph=True)
    close(compiled(x), fitted(x))
    torch._dynamo.reset()


@every_part
def test_vmap_over_several_batches(part: Preparation) -> None:
    x = skewed()
    fitted = part.fit(make_rows(x))
    close(torch.func.vmap(fitted)(x.reshape(4, 100, 5)).flatten(0, 1), fitted(x))


@every_part
def test_gradients_pass(part: Preparation) -> None:
    x = skewed().requires_grad_()
    part.fit(make_rows(x.detach()))(x).sum().backward()
    assert x.grad is not None
    assert x.grad.isfinite().all()


@every_part
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_named_and_counted(part: Preparation, bad: float) -> None:
    x = skewed()
    x[3, 1], x[7, 1], x[9, 4] = bad, bad, bad
    kind = {True: "2 NaN, 0 infinite", False: "0 NaN, 2 infinite"}[bad != bad]
    for rows in (make_rows(x), on_disk(x)):
        with pytest.raises(DataError, match=rf"not finite: column 1 \({kind}\), column 4 \(.*\), of 400 rows"):
            part.fit(rows)
    with pytest.raises(DataError, match="Input 1 holds values that are not finite"):
        part.fit(make_rows((skewed(), x)))


@every_part
def test_indices_alone_are_no_quantities(part: Preparation) -> None:
    rows = make_rows(torch.arange(40).reshape(20, 2))
    if isinstance(part, Standardize) or (isinstance(part, Chain) and isinstance(part.parts[0], Standardize)):
        return
    with pytest.raises(DataError, match=r"torch\.int64, which holds indices.*x\.float\(\)"):
        part.fit(rows)


@pytest.mark.parametrize("part", SEPARATE, ids=repr)
def test_measurements_merge_in_any_order(part: Preparation) -> None:
    x = skewed()
    folds = [part.measure(make_rows(fold)) for fold in torch.tensor_split(x, 4)]
    whole = part.fit(make_rows(x))(x)
    for order in ([0, 1, 2, 3], [3, 1, 0, 2], [2, 3, 1, 0]):
        merged = folds[order[0]]
        for i in order[1:]:
            merged = merged.merge(folds[i])
        close(merged.build()(x), whole)
    pairs = folds[0].merge(folds[1]).merge(folds[2].merge(folds[3]))
    close(pairs.build()(x), whole)


@pytest.mark.parametrize("part", SEPARATE, ids=repr)
def test_a_fold_is_taken_out_or_the_others_are_merged(part: Preparation) -> None:
    x = skewed()
    folds = [part.measure(make_rows(fold)) for fold in torch.tensor_split(x, 4)]
    whole = folds[0].merge(folds[1]).merge(folds[2]).merge(folds[3])
    rest = part.fit(make_rows(x[100:]))(x)
    if isinstance(part, SUBTRACTED):
        close(whole.subtract(folds[0]).build()(x), rest, tolerance=1e-5)
    else:
        with pytest.raises(UsageError, match="merge the states of the other k − 1"):
            whole.subtract(folds[0])
        close(folds[1].merge(folds[2]).merge(folds[3]).build()(x), rest)


def test_measurements_of_other_parts_do_not_merge() -> None:
    one = Standardize().measure(make_rows(skewed()))
    with pytest.raises(UsageError, match="no common sum"):
        one.merge(MinMax().measure(make_rows(skewed())))
    with pytest.raises(UsageError, match=r"rows of \[\[5\]\] and .* rows of \[\[3\]\]"):
        one.merge(Standardize().measure(make_rows(skewed(columns=3))))
    with pytest.raises(UsageError, match="link by link"):
        Chain(Log(), PCA()).measure(make_rows(skewed()))


@every_part
def test_constant_columns_stay_finite(part: Preparation) -> None:
    x = skewed()
    x[:, 2], x[:, 4] = 0.1, 0.0
    if "components=3" not in repr(part):
        assert part.fit(make_rows(x))(x).isfinite().all()


@pytest.mark.parametrize("part", [p for p in CASES if "PCA" not in repr(p) and "ZCA" not in repr(p)], ids=repr)
def test_one_training_row(part: Preparation) -> None:
    x = skewed(1)
    assert part.fit(make_rows(x))(x).isfinite().all()


@pytest.mark.parametrize("part", [PCA(), ZCA()])
def test_whitening_needs_rows_that_vary(part: Preparation) -> None:
    with pytest.raises(DataError, match="found no direction in which the rows vary"):
        part.fit(make_rows(skewed(1)))


def test_each_row_by_itself() -> None:
    x = images()
    fitted = BY_ROW.fit(make_rows(x))
    assert not fitted.state_dict()
    y = fitted(x).double()
    assert y.mean((1, 2, 3)).abs().max() < 1e-6
    assert (y.var((1, 2, 3), correction=0) - 1).abs().max() < 1e-5
    assert (fitted(torch.full((2, 1, 3, 3), 0.1)) == 0).all()
    torch.testing.assert_close(restore({}, fitted.form)(x), fitted(x))
    exported = torch.export.export(fitted, (x[:5],), dynamic_shapes=({0: torch.export.Dim("rows")},)).module()
    torch.testing.assert_close(exported(x[:2]), fitted(x[:2]))
    with pytest.raises(UsageError, match="has no inverse"):
        fitted.inverse(y)


WRONG: list[tuple[type, dict[str, Any], str]] = [
    (Standardize, {"per": "pixel"}, "Standardize got per='pixel'; allowed: 'auto', 'column', 'tensor' or 'row'"),
    (MinMax, {"low": 1.0}, r"MinMax got high=1\.0; allowed: above low=1\.0"),
    (MinMax, {"clip": 1}, "clip=1; allowed: True or False"),
    (Robust, {"quantiles": (0.75, 0.25)}, "two rising shares"),
    (Robust, {"quantiles": (25, 75)}, "two rising shares"),
    (PCA, {"components": 0}, "PCA got components=0; allowed: None, an integer"),
    (PCA, {"components": 1.0}, r"components=1\.0"),
    (PCA, {"components": True}, "components=True"),
    (ZCA, {"floor": -1e-3}, "a share from 0 to 1"),
    (Log, {"unit": 0}, "Log got unit=0"),
    (Power, {"skewness": -1}, "a number of at least 0"),
    (Chain, {"parts": ()}, "parts of tw.preprocessing"),
    (Chain, {"parts": ("log",)}, "parts of tw.preprocessing"),
    (Table, {"categories": "one-hot"}, "'onehot', 'ordinal', 'frequency', 'index'"),
    (Table, {"numbers": Table()}, "other than Table"),
    (Table, {"missing": "mode"}, "'median', 'mean' or a number"),
    (Table, {"max_levels": 1}, "an integer from 2"),
]


@pytest.mark.parametrize(("part", "options", "message"), WRONG)
def test_what_is_not_allowed_is_named(part: type, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        part(**options)


def test_a_table_part_needs_a_table() -> None:
    for use in (Table().fit, Table().measure):
        with pytest.raises(UsageError, match="for a DataFrame"):
            use(make_rows(skewed()))


def test_parts_are_plain_data() -> None:
    assert Chain(Log(), Standardize()) == Chain(parts=[Log(), Standardize()])
    assert [f.name for f in fields(Chain(Log()))] == ["parts"]
    assert Plan(preprocessing=PCA()).replace(**{"preprocessing.components": 3}).preprocessing == PCA(components=3)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@every_part
def test_on_a_gpu(part: Preparation) -> None:
    x = skewed()
    fitted = part.fit(make_rows(x))
    expected = fitted(x)
    close(fitted.cuda()(x.cuda()).cpu(), expected, tolerance=1e-4)
    close(part.fit(make_rows(x.cuda())).cuda()(x.cuda()).cpu(), expected, tolerance=1e-4)

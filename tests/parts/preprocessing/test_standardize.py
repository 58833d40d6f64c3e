from collections.abc import Callable

import numpy as np
import pytest
import torch
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from thalweg.data.rows import Inputs, Part, Rows, tensors_of
from thalweg.errors import DataError
from thalweg.parts.preprocessing import Standardize
from thalweg.parts.preprocessing.modules.affine import Affine, TargetScale
from thalweg.parts.preprocessing.modules.each import Each
from thalweg.parts.preprocessing.modules.restore import restore


def make_rows(inputs: Inputs, target: Tensor | None = None, part: Part = "train") -> Rows:
    count = len(tensors_of(inputs)[0])
    return Rows(inputs, torch.zeros(count) if target is None else target, torch.arange(count), part)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def assert_standard(y: Tensor, dims: tuple[int, ...], tolerance: float = 1e-5) -> None:
    """Mean 0 and variance 1 over these dimensions, computed in float64."""
    exact = y.double()
    assert exact.mean(dims).abs().max() < tolerance
    assert (exact.var(dims, correction=0) - 1).abs().max() < tolerance


def test_columns_agree_with_scikit_learn() -> None:
    x = load_breast_cancer().data  # 30 columns, scales from 0.001 to 1,000
    standardize = Standardize().fit(make_rows(torch.as_tensor(x, dtype=torch.float32)))
    new = x[:50] * 1.1 + 0.3
    expected = StandardScaler().fit(x).transform(new)
    np.testing.assert_allclose(standardize(torch.as_tensor(new)).numpy(), expected, rtol=2e-6, atol=2e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_a_large_offset_comes_out_right(dtype: torch.dtype) -> None:
    x = (normal(5000, 3).double() * torch.tensor([1.0, 2.0, 0.5]) + torch.tensor([1e6, -3e6, 1e5])).to(dtype)
    exact = x.double().numpy()
    expected = (exact - exact.mean(0)) / exact.std(0)
    y = Standardize().fit(make_rows(x))(x)
    assert y.dtype == torch.float32
    np.testing.assert_allclose(y.numpy(), expected, rtol=1e-6, atol=1e-6)


def test_constant_columns_become_zero() -> None:
    x = normal(100, 6)
    x[:, 1], x[:, 2], x[:, 3] = 0.1, 0.0, -1e30
    standardize = Standardize().fit(make_rows(x))
    y = standardize(x)
    assert (y[:, 1:4] == 0).all()
    assert_standard(y[:, [0, 4, 5]], (0,))
    assert standardize(x + torch.tensor([0, 0.5, 0, 0, 0, 0]))[:, 1].allclose(torch.tensor(0.5))
    many = torch.full((10_007, 2), 0.1, dtype=torch.float64)
    assert Standardize().fit(make_rows(many))(many).abs().max() < 2**-48  # the mean has 48 bits


def test_one_row_becomes_zero() -> None:
    x = normal(1, 5)
    assert (Standardize().fit(make_rows(x))(x) == 0).all()


def pixels() -> Tensor:
    return torch.as_tensor(load_digits().data, dtype=torch.float32)  # 0..16; some border pixels never or once above 0


@pytest.mark.parametrize(
    "scale",
    [
        lambda x: x,
        lambda x: x / 16,
        lambda x: (x / 16 - 0.1307) / 0.3081,
        lambda x: x.double(),
        lambda x: (x * 15).to(torch.uint8),
    ],
)
def test_flattened_pictures_share_one_unit(scale: Callable[[Tensor], Tensor]) -> None:
    x = scale(pixels())
    standardize = Standardize().fit(make_rows(x))
    assert standardize.mean.numel() == standardize.scale.numel() == 1
    y = standardize(x)
    assert_standard(y, (0, 1))
    assert y.abs().max() < 3  # per column the rarest pixel would be at 42
    assert StandardScaler().fit_transform(x.double().numpy()).max() > 40


def test_a_picture_like_subset_is_recognized() -> None:
    assert Standardize().fit(make_rows(pixels()[:100])).mean.numel() == 1


@pytest.mark.parametrize(
    "x",
    [
        normal(500, 20) * torch.logspace(-3, 3, 20),  # measurements of many units
        torch.rand(500, 20, generator=torch.Generator().manual_seed(0)),  # one range, but no levels
        torch.randint(0, 100, (500, 15), generator=torch.Generator().manual_seed(0)).float(),  # fewer than 16 columns
        torch.cat([torch.randint(0, 90, (500, 8)), torch.randint(0, 2, (500, 8))], 1).float(),  # ages and flags
    ],
)
def test_other_columns_keep_their_own_unit(x: Tensor) -> None:
    standardize = Standardize().fit(make_rows(x))
    assert standardize.mean.shape == (x.shape[1],)
    assert_standard(standardize(x), (0,))


@pytest.mark.parametrize("shape", [(200, 3, 8, 9), (200, 3, 4, 5, 6)])
def test_images_have_a_statistic_per_channel(shape: tuple[int, ...]) -> None:
    offset = torch.tensor([0.0, 100.0, -3.0]).reshape(3, *[1] * (len(shape) - 2))
    x = normal(*shape) * 10 + offset
    standardize = Standardize().fit(make_rows(x))
    y = standardize(x)
    assert_standard(y, (0, *range(2, len(shape))))
    torch.testing.assert_close(standardize(x[7]), y[7])  # also without the dimension of rows


def test_byte_images_become_float32() -> None:
    x = torch.randint(0, 256, (200, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    y = Standardize().fit(make_rows(x))(x)
    assert y.dtype == torch.float32
    assert_standard(y, (0, 2, 3))


def test_three_dimensions_share_one_statistic() -> None:
    pictures = torch.nn.functional.pad(normal(100, 20, 20), (4, 4, 4, 4)) * 3 + 1
    pictures[0, 0, 0] = 1.01  # a border row that is nearly constant
    for x in (pictures, normal(100, 50, 8) * 2 + 5, normal(100, 8, 50) * 2 + 5):
        standardize = Standardize().fit(make_rows(x))
        assert standardize.mean.shape == ()
        assert_standard(standardize(x), (0, 1, 2))


@pytest.mark.parametrize("units", [torch.tensor([1.0, 1000.0, 0.02]), torch.tensor([1.0, 1.0, 1.0])])
def test_sequences_of_different_units_have_a_statistic_per_channel(units: Tensor) -> None:
    offset = torch.tensor([0.0, 1e5, 3.0])
    x = normal(100, 40, 3) * units + offset
    by_last = Standardize().fit(make_rows(x))(x)
    assert_standard(by_last, (0, 1))
    transposed = x.transpose(1, 2).contiguous()
    by_first = Standardize().fit(make_rows(transposed))(transposed)
    torch.testing.assert_close(by_first, by_last.transpose(1, 2))


def test_one_column_without_a_dimension() -> None:
    x = normal(100) * 5 + 7
    assert_standard(Standardize().fit(make_rows(x))(x), (0,))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_tokens_pass_through(dtype: torch.dtype) -> None:
    tokens = torch.randint(0, 1000, (50, 12), generator=torch.Generator().manual_seed(0)).to(dtype)
    standardize = Standardize().fit(make_rows(tokens))
    assert standardize(tokens) is tokens
    assert standardize.inverse(tokens) is tokens


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_stays_and_is_computed_in_float32(dtype: torch.dtype) -> None:
    x = (normal(1000, 4) + 300).to(dtype)
    y = Standardize().fit(make_rows(x))(x)
    assert y.dtype == dtype
    exact = x.double()
    expected = ((exact - exact.mean(0)) / exact.std(0, correction=0)).to(dtype)
    torch.testing.assert_close(y, expected)


def test_bool_and_int16_are_numbers() -> None:
    for x in (normal(200, 3) > 0, (normal(200, 3) * 1000).to(torch.int16)):
        assert_standard(Standardize().fit(make_rows(x))(x), (0,))


def test_a_module_cast_to_float64_gives_float64() -> None:
    x = normal(100, 3).double()
    assert Standardize().fit(make_rows(x)).double()(x).dtype == torch.float64
    assert Standardize().fit(make_rows(x)).double()(x.float()).dtype == torch.float64


def test_each_tensor_of_a_tuple_or_dict_on_its_own() -> None:
    a, tokens, image = normal(60, 3) * 9 + 4, torch.arange(60) % 7, normal(60, 2, 5, 5) - 3
    for inputs in ((a, tokens, image), {"a": a, "b.c": tokens, "keys": image}):
        standardize = Standardize().fit(make_rows(inputs))
        y = standardize(inputs)
        assert type(y) is type(inputs)
        first, second, third = tensors_of(y)
        assert_standard(first, (0,))
        assert second is tokens
        assert_standard(third, (0, 2, 3))
        back = standardize.inverse(y)
        for value, expected in zip(tensors_of(back), (a, tokens, image), strict=True):
            torch.testing.assert_close(value, expected, rtol=1e-5, atol=1e-5)


def test_a_dict_is_read_by_name() -> None:
    a, b = normal(60, 3) * 9 + 4, normal(60, 2)
    standardize = Standardize().fit(make_rows({"a": a, "b": b}))
    swapped = standardize({"b": b, "a": a})
    assert isinstance(swapped, dict)
    assert_standard(swapped["a"], (0,))


@pytest.mark.parametrize("form", ["tensor", "tuple", "dict"])
def test_state_and_form_restore_it(form: str) -> None:
    a, b = normal(60, 3) * 9 + 1e6, normal(60, 2, 5, 5)
    inputs: Inputs = {"tensor": a, "tuple": (a, b), "dict": {"a.x": a, "b": b}}[form]
    standardize = Standardize().fit(make_rows(inputs))
    again = restore(standardize.state_dict(), standardize.form)
    for value, expected in zip(tensors_of(again(inputs)), tensors_of(standardize(inputs)), strict=True):
        assert torch.equal(value, expected)
    assert isinstance(again, Affine if form == "tensor" else Each)


def test_the_input_is_not_changed_and_gradients_flow() -> None:
    x = normal(20, 3) + 5
    kept = x.clone()
    standardize = Standardize().fit(make_rows(x))
    x.requires_grad_()
    standardize(x).sum().backward()
    assert torch.equal(x, kept)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, (1 / standardize.scale).expand(20, 3))
    assert not list(standardize.parameters())


def test_it_can_be_exported() -> None:
    x = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    standardize = Standardize().fit(make_rows(x))
    exported = torch.export.export(standardize, (x,)).module()
    assert torch.equal(exported(x), standardize(x))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_only_training_rows_are_fitted_on(part: Part) -> None:
    with pytest.raises(DataError, match=f"Standardization is fitted on training rows only, and received 9 {part} rows"):
        Standardize().fit(make_rows(normal(9, 2), part=part))
    with pytest.raises(DataError, match="target's scale is fitted on training rows only"):
        TargetScale.fit(make_rows(normal(9, 2), part=part))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    x = normal(50, 3)
    x[3, 1] = bad
    with pytest.raises(
        DataError,
        match=r"The input holds values that are not finite: column 1 \((1 NaN, 0|0 NaN, 1) infinite\), of 50 rows",
    ):
        Standardize().fit(make_rows(x))
    with pytest.raises(DataError, match="The target holds values that are not finite"):
        TargetScale.fit(make_rows(normal(50, 1), target=x[:, 1]))


@pytest.mark.parametrize("shape", [(), (1,), (4,)])
def test_the_target_scale_and_its_inverse(shape: tuple[int, ...]) -> None:
    target = normal(200, *shape).double() * 3 + 1e5
    scale = TargetScale.fit(make_rows(normal(200, 2), target=target))
    y = scale(target)
    assert y.shape == target.shape
    assert y.dtype == torch.float32
    assert_standard(y, (0,))
    np.testing.assert_allclose(scale.inverse(y.double()).numpy(), target.numpy(), rtol=1e-7)


def test_a_constant_target_becomes_zero() -> None:
    target = torch.full((20,), 3.25)
    scale = TargetScale.fit(make_rows(normal(20, 2), target=target))
    assert (scale(target) == 0).all()
    assert (scale.inverse(torch.zeros(5)) == 3.25).all()


def test_classes_are_not_scaled() -> None:
    with pytest.raises(DataError, match=r"received torch\.int64, which holds classes"):
        TargetScale.fit(make_rows(normal(20, 2), target=torch.arange(20)))

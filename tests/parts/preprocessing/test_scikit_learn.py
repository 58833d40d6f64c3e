"""The fitted parts beside scikit-learn's in float64, and whitening beside its definition."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn import decomposition
from sklearn import preprocessing as oracle
from sklearn.datasets import load_breast_cancer, load_digits, load_wine
from torch import Tensor

from thalweg.data.rows import Part, Rows
from thalweg.errors import DataError
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
)
from thalweg.parts.preprocessing.modules.fitted import Fitted

Array = NDArray[np.float64]


def make_rows(x: Tensor, part: Part = "train") -> Rows:
    return Rows(x, torch.zeros(len(x)), torch.arange(len(x)), part)


def fitted(part: Preparation, x: Array | Tensor) -> Fitted:
    module = part.fit(make_rows(torch.as_tensor(x))).double()
    assert isinstance(module, Fitted)
    return module


def cancer() -> Array:
    return np.asarray(load_breast_cancer().data)  # 30 columns, scales from 0.001 to 1,000, many skewed


@pytest.mark.parametrize(
    ("part", "other"),
    [
        (Standardize(), oracle.StandardScaler()),
        (MinMax(), oracle.MinMaxScaler()),
        (MinMax(low=-3, high=0.5, clip=True), oracle.MinMaxScaler((-3, 0.5), clip=True)),
        (Robust(), oracle.RobustScaler()),
        (Robust(quantiles=(0.1, 0.95)), oracle.RobustScaler(quantile_range=(10.0, 95.0))),
        (Power(skewness=0), oracle.PowerTransformer(standardize=False)),
    ],
    ids=repr,
)
@pytest.mark.parametrize("data", [cancer, lambda: np.asarray(load_wine().data)], ids=["cancer", "wine"])
def test_agree_with_scikit_learn(part: Preparation, other: oracle.StandardScaler, data: object) -> None:
    x = data()  # type: ignore[operator]
    x[:, 2] = 7.25  # a constant column
    new = x[:50] * 1.1 + 0.3
    other.fit(x)
    tolerance = 3e-5 if isinstance(part, Power) else 2e-7  # of λ: both optimizers stop at about 1e-8 of the likelihood
    for values in (x, new):
        np.testing.assert_allclose(
            fitted(part, x)(torch.as_tensor(values)), other.transform(values), rtol=tolerance, atol=tolerance
        )
    inside = fitted(part, x)(torch.as_tensor(x))
    np.testing.assert_allclose(fitted(part, x).inverse(inside), x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 3, 10, 501])
def test_the_median_of_few_rows(size: int) -> None:
    x = np.random.default_rng(size).normal(size=(size, 3))
    np.testing.assert_allclose(
        fitted(Robust(), x)(torch.as_tensor(x)), oracle.RobustScaler().fit_transform(x), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("components", [5, 0.9, None])
@pytest.mark.parametrize("whiten", [True, False])
def test_components_agree_with_scikit_learn(components: int | float | None, whiten: bool) -> None:
    x = oracle.StandardScaler().fit_transform(cancer())
    ours = fitted(PCA(components=components, whiten=whiten), x)
    other = decomposition.PCA(components, whiten=whiten, svd_solver="full").fit(x)
    found, expected = ours(torch.as_tensor(x)).numpy(), other.transform(x)
    if whiten:
        expected *= np.sqrt(len(x) / (len(x) - 1))  # which has N − 1
    assert found.shape == expected.shape
    signs = np.sign((found * expected).sum(0))
    np.testing.assert_allclose(found, expected * signs, rtol=1e-6, atol=1e-6)
    back = ours.inverse(torch.as_tensor(found)).numpy()
    np.testing.assert_allclose(back, other.inverse_transform(other.transform(x)), rtol=1e-5, atol=2e-6)


def covariance(y: Tensor) -> Tensor:
    """Computed in two passes in float64."""
    deviation = y.double() - y.double().mean(0)
    return deviation.T @ deviation / len(y)


def graded() -> Tensor:
    """Correlated columns whose scales go over six decades."""
    generator = torch.Generator().manual_seed(0)
    mixed = (
        torch.randn(2000, 12, generator=generator, dtype=torch.float64)
        @ torch.randn(12, 12, generator=generator).double()
    )
    return mixed * torch.logspace(-3, 3, 12, dtype=torch.float64)


def rotated() -> Tensor:
    """Directions whose variances go over six decades, none along a column."""
    generator = torch.Generator().manual_seed(1)
    basis = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64)).Q
    return torch.randn(2000, 12, generator=generator, dtype=torch.float64) * torch.logspace(-3, 0, 12).double() @ basis


WHITENED = {
    "graded": graded,
    "rotated": rotated,
    "offset": lambda: rotated() * 1000 + 1e6,
    "float32 at 1e6": lambda: (
        torch.randn(3000, 6, generator=torch.Generator().manual_seed(2)).cumsum(1) + 1e6
    ).float(),
    "cancer": lambda: torch.as_tensor(cancer()),
    "digits": lambda: torch.as_tensor(load_digits().data),
    "bytes": lambda: torch.as_tensor(load_digits().data).to(torch.uint8),
    "rank 3": lambda: (
        torch.randn(500, 3, generator=torch.Generator().manual_seed(3)).double() @ torch.rand(3, 20).double()
    ),
    "fewer rows than columns": lambda: torch.randn(20, 60, generator=torch.Generator().manual_seed(4)),
}


@pytest.mark.parametrize("data", WHITENED)
def test_the_covariance_after_whitening_is_the_identity(data: str) -> None:
    x = WHITENED[data]()
    y = fitted(PCA(), x)(x.double())
    rank = {"rank 3": 3, "fewer rows than columns": 19, "digits": 61, "bytes": 61}.get(data, x.shape[1])
    assert y.shape == (len(x), rank)
    assert (covariance(y) - torch.eye(rank)).abs().max() < 1e-6
    assert y.mean(0).abs().max() < 1e-6


@pytest.mark.parametrize("data", WHITENED)
def test_zca_whitens_what_is_above_its_floor_and_stays_near(data: str) -> None:
    x = WHITENED[data]()
    whole = covariance(fitted(ZCA(floor=0), x)(x.double()))
    values = torch.linalg.eigvalsh(whole)  # 1 in the directions that vary, 0 in the others
    assert torch.minimum(values.abs(), (values - 1).abs()).max() < 1e-6
    module = fitted(ZCA(floor=0.1), x)
    assert (module.matrix - module.matrix.T).abs().max() <= 1e-6 * module.matrix.abs().max()
    variances, vectors = torch.linalg.eigh(covariance(x))
    floor = 0.1 * variances.mean()
    along = covariance(module(x.double()) @ vectors)
    expected = torch.where(variances > floor, 1.0, variances / floor)
    assert (along - expected.diag()).abs().max() < 1e-6


def test_float32_whitening_is_good_to_its_precision() -> None:
    x = torch.as_tensor(load_digits().data, dtype=torch.float32)
    y = PCA(components=40).fit(make_rows(x))(x)
    assert y.dtype == torch.float32
    assert (covariance(y) - torch.eye(40)).abs().max() < 1e-5


def test_components_beyond_the_rank() -> None:
    x = torch.randn(500, 3).double() @ torch.rand(3, 20).double()
    with pytest.raises(DataError, match=r"PCA\(components=4\) got training rows that vary in 3 directions only"):
        PCA(components=4).fit(make_rows(x))
    with pytest.raises(DataError, match=r"rows of 9,000 values, .* up to 8,192"):
        PCA().fit(make_rows(torch.zeros(2, 9000)))


@pytest.mark.parametrize("part", [Standardize(), MinMax(), Robust(), PCA(), ZCA(floor=0), Chain(Log(), Standardize())])
def test_at_an_offset_of_a_million(part: Preparation) -> None:
    """float32 values with mean 1e6 and deviation 1, whose exact values float64 holds."""
    x = (torch.randn(5000, 3, generator=torch.Generator().manual_seed(0)).double() + 1e6).float()
    exact = fitted(part, x.double() - 1e6)(x.double() - 1e6)
    found = part.fit(make_rows(x))(x)
    signs = (found.double() * exact).sum(0).sign()
    assert (found.double() - exact * signs).abs().max() < 2e-5


def test_only_what_is_skewed_is_transformed_and_it_is_said() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(2000, 4, generator=generator)
    x[:, 1] = (2 * x[:, 1]).exp()
    x[:, 3] = -(x[:, 3].exp())
    for part, what in ((Log(), "the logarithm"), (Power(), "a power")):
        module = part.fit(make_rows(x))
        assert module.report == f"2 of 4 columns got {what}: 1, 3"
        y = module(x)
        assert torch.equal(y[:, [0, 2]], x[:, [0, 2]])
        assert (skewness(y).abs() < (2.0 if isinstance(part, Log) else 0.4)).all()
    assert (skewness(x)[[1, 3]].abs() > 2.5).all()
    left = torch.rand(1000, 1, generator=generator).pow(0.2)
    assert "none is skewed" in Log(skewness=0.1).fit(make_rows(left)).report  # its logarithm would be more skewed


def skewness(x: Tensor) -> Tensor:
    deviation = x.double() - x.double().mean(0)
    return deviation.pow(3).mean(0) / deviation.square().mean(0).pow(1.5)


def test_powers_beyond_their_range_stay_finite() -> None:
    x = torch.linspace(-1, 4, 200)[:, None].exp() ** 2
    module = Power().fit(make_rows(x))
    assert module.power.item() < 0  # its image ends at −1 / λ
    outputs = torch.tensor([[-100.0], [0.0], [1.0], [100.0]])
    assert module.inverse(outputs).isfinite().all()
    assert (module.inverse(outputs).diff(dim=0) > 0).all()


@pytest.mark.parametrize("scale", [1e-30, 1e12, 1e30])
def test_the_power_of_numbers_of_any_size(scale: float) -> None:
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)).double().exp() * scale
    module = fitted(Power(skewness=0), x)
    assert module.power.isfinite().all()
    assert module(x).isfinite().all()

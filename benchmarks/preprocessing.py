"""Preprocessing against scikit-learn: time of a streaming pass, exactness of moments and of whitening.

    OMP_NUM_THREADS=1 python benchmarks/preprocessing.py

60,000 rows of 784 columns, as Fashion-MNIST has. Process CPU time of one thread, medians of interleaved passes. Errors
are against two passes in float64 over all rows.
"""

import platform
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import torch
from sklearn import decomposition
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler
from torch import Tensor

from thalweg.data.rows import Rows
from thalweg.parts.preprocessing import PCA, ZCA, MinMax, Preparation, Robust, Standardize
from thalweg.parts.preprocessing.moments import Moments

ROWS, COLUMNS, REPEATS = 60_000, 784, 7
BATCHES = (256, 1024, 8192)


def data() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(ROWS, COLUMNS, generator=generator)
    return {
        "float32": x * torch.logspace(-3, 3, COLUMNS) + 3,
        "float32 at 1e6": x + 1e6,
        "uint8": (x.abs() * 80).clamp(max=255).to(torch.uint8),
    }


def cpu_times(forms: dict[str, Callable[[], object]], repeats: int = REPEATS) -> dict[str, float]:
    """The median CPU seconds of each, one after the other in turn."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for _ in range(repeats):
        for name, form in forms.items():
            began = time.process_time()
            form()
            taken[name].append(time.process_time() - began)
    return {name: median(values) for name, values in taken.items()}


def stream_ours(x: Tensor, size: int) -> Moments:
    state = Moments.empty(COLUMNS)
    for batch in x.split(size):
        state = state.update(batch)
    return state


def stream_theirs(x: Tensor, size: int) -> StandardScaler:
    scaler = StandardScaler()
    for batch in x.split(size):
        scaler.partial_fit(batch.numpy())
    return scaler


def errors(mean: np.ndarray, variance: np.ndarray, x: Tensor) -> str:
    """The largest error of a mean, in standard deviations, and the largest relative error of a variance."""
    exact_mean, exact_variance = two_passes(x)
    of_mean = (np.abs(mean - exact_mean) / np.sqrt(exact_variance)).max()
    return f"{of_mean:.0e} · {np.abs(variance / exact_variance - 1).max():.0e}"


def two_passes(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    wide = x.numpy().astype(np.float64)
    mean = wide.mean(0)
    wide -= mean
    mean += wide.mean(0)  # what rounding left
    return mean, np.square(wide, out=wide).mean(0)


def moments() -> None:
    print(
        "| streaming moments | batch | ours, s | scikit-learn, s | ratio | error of mean · variance | scikit-learn's |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, x in data().items():
        for size in BATCHES:
            taken = cpu_times({"ours": lambda: stream_ours(x, size), "theirs": lambda: stream_theirs(x, size)})  # noqa: B023
            ours, theirs = stream_ours(x, size), stream_theirs(x, size)
            own = errors(ours.mean.numpy(), ours.variance.numpy(), x)
            other = errors(theirs.mean_, theirs.var_, x)
            print(
                f"| {name} | {size:,} | {taken['ours']:.3f} | {taken['theirs']:.3f} | "
                f"**{taken['theirs'] / taken['ours']:.1f}×** | {own} | {other} |"
            )


def rows_of(x: Tensor) -> Rows:
    return Rows(x, torch.zeros(len(x)), torch.arange(len(x)), "train")


def whole_fits() -> None:
    x = torch.randn(ROWS, 784, generator=torch.Generator().manual_seed(1)).cumsum(1)
    cases: list[tuple[Preparation, object, Tensor, str]] = [
        (Standardize(per="column"), StandardScaler(), x, "60,000 × 784"),
        (MinMax(per="column"), MinMaxScaler(), x, "60,000 × 784"),
        (Robust(per="column"), RobustScaler(), x[:20_000], "20,000 × 784"),
        (Robust(per="column"), RobustScaler(), x, "60,000 × 784, ours a sketch"),
        (PCA(), decomposition.PCA(whiten=True, svd_solver="covariance_eigh"), x, "60,000 × 784, theirs in float32"),
        (
            PCA(),
            decomposition.PCA(whiten=True, svd_solver="covariance_eigh"),
            x[:20_000].double(),
            "20,000 × 784 of float64",
        ),
    ]
    print("\n| fit in memory | rows | ours, s | scikit-learn, s | ratio |\n|---|---|---|---|---|")
    for part, other, values, size in cases:
        forms = {
            "ours": lambda part=part, values=values: part.fit(rows_of(values)),
            "theirs": lambda other=other, values=values: other.fit(values.numpy()),
        }
        taken = cpu_times(forms, repeats=3)
        ratio = taken["theirs"] / taken["ours"]
        print(f"| {type(part).__name__} | {size} | {taken['ours']:.2f} | {taken['theirs']:.2f} | {ratio:.1f}× |")


def whitening() -> None:
    generator = torch.Generator().manual_seed(2)
    basis = torch.linalg.qr(torch.randn(100, 100, generator=generator, dtype=torch.float64)).Q
    rotated = torch.randn(20_000, 100, generator=generator, dtype=torch.float64) * torch.logspace(-3, 0, 100).double()
    cases = {
        "variances over 6 decades, rotated": rotated @ basis,
        "the same at 1e6": rotated @ basis * 1000 + 1e6,
        "columns over 6 decades": (rotated.sign() + rotated @ basis) * torch.logspace(-3, 3, 100).double(),
        "rank 30 of 100": torch.randn(20_000, 30, generator=generator).double() @ basis[:30],
        "50 rows of 100 columns": rotated[:50] @ basis,
        "float32 rows of 784 columns, variances over 6 decades": torch.randn(20_000, 784, generator=generator).cumsum(
            1
        ),
    }
    print(
        "\n| covariance after whitening, largest distance from the identity | PCA | ZCA(floor=0) | scikit-learn's PCA |"
    )
    print("|---|---|---|---|")
    for name, x in cases.items():
        y = PCA().fit(rows_of(x)).double()(x)
        z = ZCA(floor=0).fit(rows_of(x)).double()(x)
        theirs = decomposition.PCA(whiten=True).fit_transform(x.numpy())
        values = torch.linalg.eigvalsh(covariance(z))
        of_zca = float(torch.minimum(values.abs(), (values - 1).abs()).max())
        shares = [
            distance(covariance(y)),
            of_zca,
            distance(covariance(torch.as_tensor(theirs).double()) * len(x) / (len(x) - 1)),
        ]
        print(f"| {name} | {shares[0]:.0e} ({y.shape[1]}) | {shares[1]:.0e} | {shares[2]:.0e} ({theirs.shape[1]}) |")
    print("\nIn brackets the directions kept; of ZCA the distance of the eigenvalues from 1 or 0.")


def covariance(y: Tensor) -> Tensor:
    deviation = y - y.mean(0)
    return deviation.T @ deviation / len(y)


def distance(matrix: Tensor) -> float:
    return float((matrix - torch.eye(len(matrix), dtype=matrix.dtype)).abs().max())


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, {platform.machine()}, one thread\n")
    moments()
    whole_fits()
    whitening()


if __name__ == "__main__":
    main()

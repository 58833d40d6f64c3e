"""Tests and intervals of a mean paired difference: Student's t, also of overlapping splits, BCa, and sign flips."""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean, stdev

import numpy as np
from numpy.typing import NDArray

from thalweg.evaluate.student import quantile, two_sided

LEVEL = 0.05
EXACT = 20  # differences up to which all 2ⁿ sign flips are counted: 4 MiB of sums
DRAWS = 9_999
NORMAL = NormalDist()
Array = NDArray[np.float64]


def standard_error(differences: Sequence[float], *, overlap: float = 0.0) -> float:
    """Of their mean: `s √(1/n + overlap)`.

    Args:
        differences: two at least.
        overlap: validation rows per training row where each difference is of a split drawn anew; 0 where the splits do
            not vary. Splits share rows, so the differences are correlated, as `ρ = n_validation / (n_validation +
            n_training)` by the source's approximation; 1/n alone would promise that more splits of the same rows are
            as good as more rows. In k folds, repeated or not, it is 1 / (k - 1). For equal learners on 60 to 200 rows
            in ten holdouts of a fifth, 3 to 8 % had p below 0.05 (simulated), 21 to 30 % without the correction; in
            folds 2 to 6 %, and 15 to 25 %. The fewer the rows and the noisier the labels, the more.

    Source: Nadeau and Bengio 2003, "Inference for the Generalization Error"; for repeated folds Bouckaert and Frank
    2004, "Evaluating the Replicability of Significance Tests for Comparing Learning Algorithms".
    """
    return stdev(differences) * math.sqrt(1 / len(differences) + overlap)


def t_interval(differences: Sequence[float], *, overlap: float = 0.0) -> tuple[float, float] | None:
    """Student's 95 % interval of the mean; None with fewer than two values.

    >>> [round(limit, 3) for limit in t_interval([0.1, 0.3, 0.2, 0.4])]
    [0.045, 0.455]
    """
    if len(differences) < 2:
        return None
    half = quantile(1 - LEVEL / 2, len(differences) - 1) * standard_error(differences, overlap=overlap)
    return fmean(differences) - half, fmean(differences) + half


def t_test(differences: Sequence[float], *, overlap: float = 0.0) -> float:
    """Two-sided p of a mean of 0, by Student's t with n - 1 degrees of freedom.

    Differences that are all the same have no deviation to test with, as coarse measures on few seeds may: then it is
    that of the sign test, 2 · 2⁻ⁿ.

    >>> round(t_test([0.1, 0.3, 0.2, 0.4]), 4), round(t_test([0.1, 0.3, 0.2, 0.4], overlap=0.25), 4)
    (0.0305, 0.0714)
    """
    count = len(differences)
    if count < 2 or fmean(differences) == 0:
        return 1.0
    if constant(differences):
        return float(2.0 ** (1 - count))
    return two_sided(fmean(differences) / standard_error(differences, overlap=overlap), count - 1)


def constant(differences: Sequence[float]) -> bool:
    """Whether they are all the same but for rounding."""
    return stdev(differences) <= 1e-12 * abs(fmean(differences))


def holm(chances: Sequence[float]) -> list[float]:
    """p after the correction for their number: the smallest times m, the next times m - 1, none below a smaller one's.

    Source: Holm 1979, "A Simple Sequentially Rejective Multiple Test Procedure".

    >>> holm([0.04, 0.01, 0.03])
    [0.06, 0.03, 0.06]
    """
    corrected, largest = [1.0] * len(chances), 0.0
    for rank, index in enumerate(sorted(range(len(chances)), key=chances.__getitem__)):
        largest = max(largest, min((len(chances) - rank) * chances[index], 1.0))
        corrected[index] = largest
    return corrected


def bca_interval(
    differences: Sequence[float], *, replicates: int = DRAWS, seed: int = 0, widened: bool = True
) -> tuple[float, float] | None:
    """The 95 % BCa bootstrap interval of the mean.

    The quantiles taken from the replicates are `Φ(z0 + (z0 + z) / (1 - a (z0 + z)))`, with the bias `z0` from the
    share of replicates below the mean and the acceleration `a = Σ u³ / (6 (Σ u²)^1.5)`, `u` the deviations.

    Args:
        differences: at least two that differ; of fewer than some 20 it is rough.
        replicates: how many are drawn.
        seed: of the draws; the same seed gives the same interval.
        widened: takes `√(n / (n-1)) t(n-1)` for `z`, since the bootstrap takes the spread for known. False is Efron's.

    Returns:
        The limits; None where the differences do not vary.

    Source: Efron 1987, "Better Bootstrap Confidence Intervals"; Hesterberg 2015, "What Teachers Should Know About the
    Bootstrap", for the widening.

    >>> skewed = [0.1, 0.3, 0.2, 0.4, 0.9, 0.2, 0.1, 0.3]
    >>> [round(limit, 1) for limit in bca_interval(skewed)], [round(limit, 1) for limit in t_interval(skewed)]
    ([0.2, 0.7], [0.1, 0.5])
    """
    values, count = np.asarray(differences, dtype=np.float64), len(differences)
    if count < 2 or constant(differences):
        return None
    rows = np.random.default_rng(seed).integers(count, size=(replicates, count))
    drawn = np.sort(values[rows].mean(axis=1))
    bias, acceleration = bca_constants(values, drawn)
    reach = NORMAL.inv_cdf(1 - LEVEL / 2)
    if widened:
        reach = math.sqrt(count / (count - 1)) * quantile(1 - LEVEL / 2, count - 1)

    def limit(z: float) -> float:
        scale = 1 - acceleration * (bias + z)
        if scale <= 0:  # few skewed values: beyond the pole of the formula lies the outermost replicate
            return float(drawn[0] if z < 0 else drawn[-1])
        return float(np.quantile(drawn, NORMAL.cdf(bias + (bias + z) / scale)))

    return limit(-reach), limit(reach)


def bca_constants(values: Array, drawn: Array) -> tuple[float, float]:
    """The bias z0 and the acceleration a of the mean; ties with the mean count half."""
    mean, count = values.mean(), len(drawn)
    tied = np.abs(drawn - mean) <= 1e-12 * np.abs(values).max()  # coarse values: sums in another order
    share = ((drawn < mean) & ~tied).mean() + tied.mean() / 2
    deviations = values - mean
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    return NORMAL.inv_cdf(float(np.clip(share, 1 / count, 1 - 1 / count))), float(acceleration)


def sign_flip_test(differences: Sequence[float], *, draws: int = DRAWS, seed: int = 0) -> float:
    """Two-sided p of the sign-flip test: the share of signs ±1 with `|Σ ± dᵢ| ≥ |Σ dᵢ|`.

    It is exact for any distribution that is symmetric about 0, as the differences of equals are. With n differences it
    cannot be below 2 · 2⁻ⁿ, so fewer than 6 never reach 0.05.

    Args:
        differences: up to 20 are taken with all 2ⁿ signs, more with drawn ones.
        draws: b of them are as far from 0: p = (b + 1) / (draws + 1), which is exact also for few (Phipson and Smyth
            2010, "Permutation P-values Should Never Be Zero").
        seed: of the draws.

    Source: Fisher 1935, "The Design of Experiments", section 21.

    >>> sign_flip_test([0.1, 0.3, 0.2, 0.4]), sign_flip_test([0.1, 0.3, 0.2, -0.4])
    (0.125, 0.875)
    """
    if len(differences) == 0:
        return 1.0
    values = np.asarray(differences, dtype=np.float64)
    total = abs(values.sum())
    least = total - 1e-12 * np.abs(values).sum()  # equal sums in another order count as equal
    if len(values) > EXACT:
        rows = np.random.default_rng(seed).integers(2, size=(draws, len(values)), dtype=np.int8)
        sums = values.sum() - 2 * (rows @ values)
        return float((np.count_nonzero(np.abs(sums) >= least) + 1) / (draws + 1))
    sums = values.sum() - 2 * subset_sums(values[1:])  # a sign and its opposite are as far: the first stays
    return float((np.abs(sums) >= least).mean())


def subset_sums(values: Array) -> Array:
    """`[2ⁿ]`: the sum of each subset, the empty one first."""
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums, sums + value])
    return sums

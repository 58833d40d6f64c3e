"""An anytime-valid test of paired differences: it may be looked at after each, and ended whenever it is decided."""

import math
from collections.abc import Iterable
from functools import lru_cache

from thalweg.evaluate.student import two_sided

LEVEL = 0.05
MOST = 20
# Chance of a decision below which it is given up. Of 20 seeds, equals then take 8 on average, and a difference of one
# deviation is found in 86 % instead of 88 %; at 0.2 it would be 6 seeds and 78 %.
FUTILE = 0.1
FIRST = 3  # differences before which nothing is given up


class Sequential:
    """Evidence that the mean of differences is not 0, after each of them.

    The e-value is a ratio of likelihoods of the t statistics seen: of an effect `mean / σ` drawn from a normal
    distribution of variance 1, to that of no effect. It needs no σ. Between equals it exceeds 1 / level ever, however
    often one looks and whenever one stops, with a probability of `level` at most (Ville 1939); p is 1 over its
    largest value, and the interval holds the mean at all times together with 95 %.

    That is exact for normal differences, and simulated for equals of heavy tails, in two clusters, and of coarse
    measures. With skewed differences of mean 0 it is an approximation, as Student's t is: at a skewness of 1, 4 % are
    called different within 20, of exponential ones 9 %.

    Args:
        most: differences there will be at most, for `decided` and `chance` alone; p and the interval hold beyond. Fewer
            than six decide nothing.
        smallest: the smallest difference of interest; a mean whose interval is within ± it is "equivalent".
        level: of the decision.
        overlap: validation rows per training row where each difference is of a split drawn anew (`standard_error`):
            what the shared rows do to all differences alike, of variance `overlap σ²`, is then part of no effect.

    Source: Lai 1976, "On Confidence Sequences"; Rouder et al. 2009 for the closed form; Hendriksen, de Heide and
    Grünwald 2021, "Optional Stopping with Bayes Factors"; Wang and Ramdas 2024, "Anytime-valid t-tests and confidence
    sequences for Gaussian means with unknown variance".

    >>> test = Sequential(most=20)
    >>> for difference in [0.03, 0.02, 0.035, 0.025, 0.03, 0.02]:
    ...     test.add(difference)
    >>> round(test.p, 4), [round(limit, 3) for limit in test.interval], test.decided
    (0.0312, [0.013, 0.04], 'better')
    """

    def __init__(
        self, *, most: int = MOST, smallest: float | None = None, level: float = LEVEL, overlap: float = 0.0
    ) -> None:
        self.most, self.smallest, self.level, self.overlap = most, smallest, level, overlap
        self.p = 1.0
        self.interval: tuple[float, float] | None = None
        self.count, self.mean, self.squares = 0, 0.0, 0.0  # squares of the deviations: Welford 1962

    @property
    def deviation(self) -> float:
        return math.sqrt(self.squares / (self.count - 1)) if self.count > 1 else 0.0

    def add(self, difference: float) -> None:
        """One more; a difference that is missing is not added."""
        self.count += 1
        step = difference - self.mean
        self.mean += step / self.count
        self.squares += step * (difference - self.mean)
        if self.count < 2:
            return
        self.p = min(self.p, math.exp(-self.evidence()))
        low, high = self.limits()
        if self.interval is not None:  # what was excluded once stays so
            low, high = max(low, self.interval[0]), min(high, self.interval[1])
        if low <= high < math.inf:
            self.interval = low, high

    @property
    def constant(self) -> bool:
        """All differences are the same but for rounding."""
        return self.deviation <= 1e-12 * abs(self.mean)

    def evidence(self) -> float:
        """Logarithm of the e-value as it is now.

        It is held below the `2ⁿ⁻¹` that signs alone can show: with fewer than six, differences of a coarse measure may
        be all the same, or nearly, by chance alone.
        """
        if self.mean == 0 or self.count < 2:
            return 0.0
        squared_t = math.inf if self.constant else self.count * (self.mean / self.deviation) ** 2
        return min(log_evidence(squared_t, self.count, overlap=self.overlap), (self.count - 1) * math.log(2))

    def limits(self) -> tuple[float, float]:
        """Of the means whose evidence against them is below 1 / 0.05 now."""
        half = self.half_width(self.count, LEVEL)
        return self.mean - half, self.mean + half

    def half_width(self, count: int, level: float) -> float:
        limit = t_limit(count, level=level, overlap=self.overlap)
        return limit if math.isinf(limit) else limit * self.deviation / math.sqrt(count)

    def chance(self, level: float | None = None) -> float:
        """The probability, by what was measured, that the last seed decides.

        The mean of all `most` differences is, by those so far and no other knowledge, Student's t around their mean
        with `s √(1/n - 1/most)`. Source: Spiegelhalter, Freedman and Blackburn 1986, "Monitoring clinical trials:
        conditional or predictive power?".

        Args:
            level: to decide at; by default the test's own.
        """
        level = self.level if level is None else level
        if self.count < FIRST:
            return 1.0
        half = self.half_width(self.most, level)
        spread = self.deviation * math.sqrt(max(1 / self.count - 1 / self.most, 0.0))
        found = self.outside(half, spread)
        inner = 0.0 if self.smallest is None else self.smallest - half
        if inner > 0:
            found += 1 - self.outside(inner, spread)
        return min(found, 1.0)  # a mean may be both other than 0 and within ± smallest

    def outside(self, limit: float, spread: float) -> float:
        """P(|mean at the end| > limit)."""
        if spread == 0 or math.isinf(limit):
            return float(abs(self.mean) > limit)
        found = 0.0
        for mean in (self.mean, -self.mean):
            away = (limit - mean) / spread
            tail = two_sided(away, self.count - 1) / 2
            found += tail if away >= 0 else 1 - tail
        return found

    @property
    def decided(self) -> str | None:
        """ "better" or "worse" than 0, "equivalent", "futile", or None while it is open.

        It is futile where `most` is reached, or `chance` is below 10 %: more seeds would hardly show it either.
        Differences may be added all the same; p and the interval stay valid.
        """
        if self.p <= self.level:
            return "better" if self.mean > 0 else "worse"
        if self.smallest is not None and self.interval is not None:
            low, high = self.interval
            if -self.smallest < low and high < self.smallest:
                return "equivalent"
        return "futile" if self.count >= self.most or self.chance() < FUTILE else None


def log_evidence(squared_t: float, count: int, *, overlap: float = 0.0) -> float:
    """Logarithm of the ratio of the likelihoods of t² with an effect of variance 1 and without.

    `-1/2 ln(A/B) - n/2 ln((1 + u/A) / (1 + u/B))` with `u = t² / (n-1)`, `A = 1 + n (overlap + 1)` and
    `B = 1 + n overlap`.

    >>> round(math.exp(log_evidence(4.0**2, 10)), 2)
    23.58
    """
    u, a, b = terms(squared_t, count, overlap)
    ratio = b / a if math.isinf(u) else (1 + u / a) / (1 + u / b)
    return -0.5 * math.log(a / b) - count / 2 * math.log(ratio)


def terms(squared_t: float, count: int, overlap: float) -> tuple[float, float, float]:
    return squared_t / (count - 1), 1 + count * (overlap + 1), 1 + count * overlap


@lru_cache(maxsize=4096)
def t_limit(count: int, *, level: float = LEVEL, overlap: float = 0.0) -> float:
    """The |t| = |mean| √n / s at which the evidence is 1 / level; infinite where n are too few for any.

    >>> [round(t_limit(count), 2) for count in (5, 6, 10, 20)]
    [inf, 5.45, 3.87, 3.42]
    """
    _, a, b = terms(0.0, count, overlap)
    ratio = (level**2 * b / a) ** (1 / count)  # what (1 + u/A) / (1 + u/B) has to be; with u it falls to B/A
    if count < 2 or ratio <= b / a or 2.0 ** (1 - count) > level:
        return math.inf
    return math.sqrt((count - 1) * (1 - ratio) / (ratio / b - 1 / a))


def anytime(differences: Iterable[float], *, overlap: float = 0.0) -> Sequential:
    """The test after these, in their order."""
    test = Sequential(overlap=overlap)
    for difference in differences:
        test.add(difference)
    return test

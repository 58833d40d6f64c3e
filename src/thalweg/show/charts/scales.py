"""Scales: from values to places in the drawing, with ticks at round numbers."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["linear", "log"]


@dataclass(frozen=True)
class Scale:
    """Maps `low..high` to `start..end`, in equal steps or in equal factors."""

    low: float
    high: float
    start: float
    end: float
    kind: Kind = "linear"

    def __call__(self, value: float) -> float:
        low, high = (math.log10(self.low), math.log10(self.high)) if self.kind == "log" else (self.low, self.high)
        value = math.log10(value) if self.kind == "log" else value
        return self.start + (value - low) / (high - low) * (self.end - self.start)

    def takes(self, value: float) -> bool:
        """Whether a value can be drawn at all."""
        return math.isfinite(value) and (self.kind == "linear" or value > 0)

    def ticks(self, count: int, *, whole: bool = False) -> list[tuple[float, str]]:
        """About `count` round values inside, with their texts; `whole` allows integers only."""
        if self.kind == "log":
            return log_ticks(self.low, self.high, count)
        step = nice_step((self.high - self.low) / max(count, 1))
        if whole:
            step = max(1.0, math.ceil(step))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [(k * step, tick_text(k * step, step)) for k in range(first, last + 1)]


def reach(values: Iterable[float], kind: Kind) -> tuple[float, float] | None:
    """The smallest and largest value that can be drawn, or None."""
    usable = [v for v in values if math.isfinite(v) and (kind == "linear" or v > 0)]
    return (min(usable), max(usable)) if usable else None


def widened(low: float, high: float, kind: Kind) -> tuple[float, float]:
    """A range with a margin of 5 %, down to 0 where that is near.

    >>> widened(0.2, 1.0, "linear"), widened(2.0, 2.0, "linear")
    ((0.0, 1.04), (1.0, 3.0))
    """
    if kind == "log":
        margin = (high / low) ** 0.05 if high > low else 2.0
        return low / margin, high * margin
    if high == low:
        half = abs(high) / 2 or 1.0
        return low - half, high + half
    margin = (high - low) * 0.05
    bottom = 0.0 if 0 <= low < 0.35 * high else low - margin
    return bottom, (0.0 if 0.35 * low < high <= 0 else high + margin)


def nice_step(rough: float) -> float:
    """The smallest of 1, 2, 2.5, 5 times a power of ten that is at least `rough`.

    >>> [nice_step(r) for r in (0.9, 1.3, 2.1, 30, 0.07)]
    [1.0, 2.0, 2.5, 50.0, 0.1]
    """
    power = 10.0 ** math.floor(math.log10(rough))
    return next(factor * power for factor in (1.0, 2.0, 2.5, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))


def tick_text(value: float, step: float) -> str:
    """A tick with as many decimals as the steps need.

    >>> tick_text(1000, 500), tick_text(-0.25, 0.25), tick_text(2.5e6, 5e5), tick_text(2e-5, 1e-5), tick_text(0, 1)
    ('1,000', '−0.25', '2.5M', '2e−5', '0')
    """
    if abs(value) < step / 2:
        return "0"
    if step < 1e-4 or abs(value) >= 1e12:
        return exponential(value, max(0, math.floor(math.log10(abs(value))) - math.floor(math.log10(step) + 1e-9)))
    for size, letter in ((1e9, "G"), (1e6, "M")):
        if abs(value) >= size and step >= size / 1000:
            return f"{value / size:,.10g}{letter}".replace("-", "−")
    decimals = next(d for d in range(8) if math.isclose(round(step, d), step))
    return f"{value:,.{decimals}f}".replace("-", "−")


def exponential(value: float, digits: int) -> str:
    mantissa, exponent = f"{value:.{digits}e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa}e{int(exponent)}".replace("-", "−")


def log_ticks(low: float, high: float, count: int) -> list[tuple[float, str]]:
    """Powers of ten, thinned to `count`; with 2 and 5 between them, or round numbers, where there are few."""
    first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
    every = max(1, math.ceil((last - first + 1) / max(count, 1)))
    powers = [10.0**k for k in range(first, last + 1) if k % every == 0]
    if len(powers) < 3:
        finer = [f * 10.0**k for k in range(first - 1, last + 1) for f in (1, 2, 5)]
        powers = [v for v in finer if low * (1 - 1e-9) <= v <= high * (1 + 1e-9)]
    if len(powers) < 2:
        return [tick for tick in Scale(low, high, 0, 1).ticks(count) if tick[0] > 0]
    return [(value, power_text(value)) for value in powers]


def power_text(value: float) -> str:
    """
    >>> power_text(1e-5), power_text(0.01), power_text(2000.0), power_text(1e6), power_text(-0.5), power_text(0.0)
    ('1e−5', '0.01', '2,000', '1e6', '−0.5', '0')
    """
    plain = value == 0 or 1e-3 * (1 - 1e-9) <= abs(value) < 1e5
    return f"{value:,.10g}".replace("-", "−") if plain else exponential(value, 1)

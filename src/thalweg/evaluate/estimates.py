"""Measures as `Measure`: a value, its interval, its reason where it is undefined."""

import torch
from torch import Tensor

from thalweg.evaluate.intervals import Interval, mean_interval, no_interval, wilson
from thalweg.evaluate.result import Measure


def with_interval(name: str, value: float, interval: Interval, count: int, note: str = "") -> Measure:
    notes = "; ".join(filter(None, (note, interval.note)))
    return Measure(name, value, interval.low, interval.high, interval.method, count, notes)


def undefined(name: str, reason: str, count: int) -> Measure:
    return Measure(name, torch.nan, count=count, note=f"undefined: {reason}")


def proportion(name: str, successes: int, total: int, reason: str) -> Measure:
    """A share of rows with Wilson's interval; undefined, for that reason, where there are no such rows."""
    if not total:
        return undefined(name, reason, 0)
    return with_interval(name, successes / total, Interval(*wilson(successes, total), "Wilson"), total)


def mean_measure(name: str, values: Tensor, *, most: float = torch.inf) -> Measure:
    """The mean of losses, which lie from 0 to `most`, with Hall's interval."""
    if not bool(values.isfinite().all()):
        count = int(values.isinf().sum())
        return Measure(
            name, torch.inf, count=len(values), note=f"rows that gave probability 0 to the true class: {count}"
        )
    limits = mean_interval(values)
    interval = no_interval("the rows do not vary" if len(values) > 1 else "there is one row")
    if limits is not None:
        interval = Interval(max(limits[0], 0.0), min(limits[1], most), "t without skewness (Hall)")
    return with_interval(name, float(values.mean()), interval, len(values))

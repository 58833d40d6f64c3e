"""What a streaming metric answers: a value, what carries it, why it is undefined, and how far it may be off."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Value:
    """One measured value.

    Args:
        value: NaN where it is undefined; `reason` says why.
        support: rows (entries, positions), or their weight, that carry it: of a recall the rows of the class.
        reason: why the value is NaN; empty where it is defined.
        error: the exact value lies within `value ± error`, for certain; 0 where the value is exact.

    >>> value = Value(0.75, support=4)
    >>> print(value, float(value) + 1)
    0.75 1.75
    >>> print(Value(float("nan"), reason="there are no rows"))
    nan (there are no rows)

    Source: lecture row L41. Other libraries answer 0 where a measure is 0/0.
    """

    value: float
    support: float = 0.0
    reason: str = ""
    error: float = 0.0

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        error = f" ± {self.error:.1g}" if self.error else ""
        return f"{self.value:.4g}{error}" + (f" ({self.reason})" if self.reason else "")

"""Whether labels depend on their inputs, as the permutation test of plain learners tells it."""

from dataclasses import dataclass

from thalweg.findings import Evidence
from thalweg.readings import Reading, Readings
from thalweg.rules.trial import number

LEVEL = 0.05  # of the permutation test: the true labels do best of 20
LEAST_ROWS = 50  # fewer show nothing but the strongest dependence


@dataclass(frozen=True)
class Dependence:
    """One part of the data: what plain learners explain by leave-one-out, and what they explain of permuted labels."""

    explained: Reading
    permuted: Reading
    chance: float

    @property
    def count(self) -> int:
        return self.explained.count or 0

    @property
    def range(self) -> tuple[float, float]:
        low = self.permuted.value if self.permuted.low is None else self.permuted.low
        return low, self.permuted.value if self.permuted.high is None else self.permuted.high

    @property
    def at_chance(self) -> bool:
        """Whether permuted labels do as well."""
        return self.chance > LEVEL and self.count >= LEAST_ROWS

    @property
    def surely(self) -> bool:
        """Whether the labels depend on the inputs beyond all doubt.

        The true labels exceed the best of 19 permutations by their whole range, which is 3.7 deviations of a normal
        distribution (its expected range of 19): together five and a half deviations above their mean.
        """
        low, high = self.range
        return self.chance <= LEVEL and self.explained.value - high > high - low and self.count >= LEAST_ROWS

    def evidence(self, rows: str) -> Evidence:
        low, high = self.range
        return Evidence(
            f"{rows}: share explained by plain learners, left out one by one",
            number(self.explained.value),
            f"permuted labels: {number(low)} to {number(high)}",
        )


def dependence(readings: Readings, place: str) -> Dependence | None:
    """Of the rows of a part, where it was tested."""
    explained, permuted = readings.last("labels.explained", place), readings.last("labels.permuted", place)
    chance = readings.value("labels.chance", place)
    if explained is None or permuted is None or chance is None:
        return None
    return Dependence(explained, permuted, chance)

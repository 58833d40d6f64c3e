"""What a paired probe showed of a remedy, as the rules read it."""

from dataclasses import dataclass

from thalweg.findings import Evidence
from thalweg.readings import Reading, Readings

HALF = 0.5  # a training that reaches less than half of what its remedied twin reaches is called harmed
LONG = 0.5  # of the steps of the training to come: a training that is slow at first may get there in more
LEAST = 0.05  # of the learnable loss: a difference below a twentieth is not worth a warning


@dataclass(frozen=True)
class Trial:
    """What a short training learned without the remedy and with it: a share of the learnable loss, or of a score.

    Args:
        plain: without it.
        changed: with it.
        difference: of the two, paired over seeds.
        lost: whether no training without it could have been mended by more steps, though nothing shortened them.
        share: steps by those of the training to come, where a score was taken.
    """

    plain: Reading
    changed: Reading
    difference: Reading
    lost: bool = False
    share: float | None = None

    @property
    def better(self) -> bool:
        """Whether the remedy helps beyond chance and by more than a twentieth of what can be learned."""
        return self.difference.low is not None and self.difference.low > 0 and self.difference.value >= LEAST

    @property
    def learned(self) -> bool:
        """Whether it learned anything with the remedy or without."""
        return max(self.plain.value, self.changed.value) >= LEAST

    @property
    def suggests(self) -> bool:
        """Whether the short training without it reaches less than half of what it reaches with it."""
        return self.better and self.plain.value < HALF * self.changed.value and self.changed.value >= LEAST

    @property
    def decisive(self) -> bool:
        """Whether that shows harm to the whole training: it is not much longer, or could not be mended."""
        return self.suggests and (self.share is None or self.share >= LONG or self.lost)

    def evidence(self, remedy: str) -> tuple[Evidence, ...]:
        return (
            Evidence(f"share of the {self.plain.note or 'loss'} learned in a short training", percent(self.plain)),
            Evidence(f"the same with {remedy}", percent(self.changed)),
            Evidence(f"difference, {self.difference.count} paired seeds", percent(self.difference), "interval above 0"),
        )


def trial(readings: Readings, name: str) -> Trial | None:
    """The probe of a remedy, where one was made."""
    found = [readings.last(f"probe.{name}.{part}") for part in ("plain", "changed", "difference")]
    plain, changed, difference = found
    if not (plain and changed and difference):
        return None
    lost = readings.value(f"probe.{name}.lost") == 1
    return Trial(plain, changed, difference, lost, readings.value(f"probe.{name}.share"))


def percent(reading: Reading) -> str:
    """`"12 % (9 to 15)"`."""
    text = f"{100 * reading.value:.0f} %"
    if reading.low is None or reading.high is None:
        return text
    return f"{text} ({100 * reading.low:.0f} to {100 * reading.high:.0f})"


def number(value: float) -> str:
    """A number as a person reads it, four significant digits.

    >>> number(2.302585), number(7.3e10), number(1e-9)
    ('2.303', '7.3e+10', '1e-09')
    """
    return f"{value:.4g}"

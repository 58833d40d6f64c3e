"""The rate falls where the losses have stopped falling, by a test for a trend (L27)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from thalweg.parts.optimizers.optimizer import in_range
from thalweg.parts.schedules.linear import Linear
from thalweg.parts.schedules.schedule import Measured, Schedule


@dataclass(frozen=True, kw_only=True)
class Plateau(Schedule):
    """Reduces the rate at the end of an epoch where the last losses show no falling trend (L27).

    Of the last w = `window` losses since the last reduction, D counts the pairs of which the later one is lower.
    Without a trend every order of them is equally likely, whatever their noise:

        p = P(a random order of w values has at least D falling pairs)        Mann-Kendall, exact
        factor = reduction^k,    k = number of ends of epochs with p > level

    A curve that falls slowly but steadily has many falling pairs, however small each fall is; a noisy one is not
    mistaken for a plateau because its lowest value was luck. The reductions are a function of the losses alone, which
    belong to the checkpoint: a training that is stopped and goes on makes them at the same epochs.

    Args:
        reduction: above 0, up to 1.
        window: losses that are tested, from 4 to 100: a plateau is seen after so many epochs, or a few more. A longer
            one sees slower falls, and 20 react to a flat noisy loss as soon as torch with a patience of 10.
        level: chance of going on although there is no trend, from 0 to below 1; a higher one is more patient.
        losses: `"validation"` or `"train"`: which losses are tested.
        final: least share of the peak, from 0 to 1.

    Raises:
        UsageError: for a value out of range.

    >>> flat = [Measured(10 * epoch, 0.2, (0.5, 0.6)[epoch % 2]) for epoch in range(20)]  # a loss without trend
    >>> [round(Plateau(window=10).informed(flat[:n], 400).factor(200, 400), 3) for n in (9, 10, 19, 20)]
    [1.0, 0.1, 0.1, 0.01]

    Source: Mann 1945, "Nonparametric tests against trend"; Kendall 1938. Torch's `ReduceLROnPlateau` waits for
    `patience` epochs without a value below the best by a relative 1e-4: it takes slower progress for none, and measures
    all others by the luckiest epoch.
    """

    reduction: float = 0.1
    window: int = 20
    level: float = 0.2
    losses: str = "validation"
    final: float = 0.0

    def __post_init__(self) -> None:
        self._check_reduction("reduction")
        whole = isinstance(self.window, int) and in_range(self.window, 4, 101)
        self._check("window", whole, "an integer from 4 to 100")
        self._check("level", in_range(self.level, 0, 1), "a probability from 0 to below 1")
        self._check_word("losses", ("validation", "train"))
        self._check_share("final")

    def factor(self, step: int, num_steps: int) -> float:
        return 1.0

    def informed(self, history: Sequence[Measured], num_steps: int) -> Schedule:
        losses = tuple(m.validation_loss if self.losses == "validation" else m.train_loss for m in history)
        share = max(self.reduction ** self._reductions(losses), self.final)
        return Linear(start=share, end=share)

    def _reductions(self, losses: tuple[float, ...]) -> int:
        count, begin = 0, 0
        for end in range(1, len(losses) + 1):
            if end - begin >= self.window and p_of_falling(losses[end - self.window : end]) > self.level:
                count, begin = count + 1, end
        return count


@lru_cache(maxsize=2**14)  # a window is tested again at every later epoch's end
def p_of_falling(values: tuple[float, ...]) -> float:
    """How likely so many falling pairs are without a trend; NaN and ties do not fall.

    >>> p_of_falling((4.0, 3.0, 2.0, 1.0)) == 1 / 24, p_of_falling((1.0, 2.0, 3.0, 4.0))
    (True, 1.0)
    """
    falling = sum(later < earlier for i, earlier in enumerate(values) for later in values[i + 1 :])
    return tail(len(values))[falling]


@lru_cache(maxsize=16)
def tail(count: int) -> tuple[float, ...]:
    """P(at least k falling pairs) of a random order of so many values, for k from 0 to all pairs.

    The i-th value makes 0 to i − 1 falling pairs with those before it, whatever their order: `orders[k]` is a sum of i
    neighbors in that of one value fewer. Exact, in integers.
    """
    orders = [1]
    for i in range(2, count + 1):
        sums = [0, *accumulate([*orders, *[0] * (i - 1)])]
        orders = [sums[k + 1] - sums[max(k + 1 - i, 0)] for k in range(len(orders) + i - 1)]
    at_least = [*accumulate(reversed(orders))][::-1]
    return tuple(number / at_least[0] for number in at_least)

"""The test for a trend: exact, indifferent to noise, and a function of what was measured alone."""

import math
import random
from itertools import permutations

import pytest
from scipy.stats import kendalltau

from thalweg.parts.schedules import Cosine, Measured, Plateau, Product, Schedule, Sequential, Warmup
from thalweg.parts.schedules.plateau import p_of_falling, tail

FLAT = [0.5, 0.6] * 50


def history(losses: list[float], *, steps: int = 10, train: float = 1.0) -> list[Measured]:
    return [Measured(steps * (i + 1), train, loss) for i, loss in enumerate(losses)]


def share(schedule: Schedule, losses: list[float]) -> float:
    return schedule.informed(history(losses), 2000).factor(10 * len(losses), 2000)


def reduced_after(schedule: Schedule, losses: list[float]) -> int:
    """Epochs until the first reduction; one more than there are where there is none."""
    return next((n for n in range(1, len(losses) + 1) if share(schedule, losses[:n]) < 1), len(losses) + 1)


def test_the_chances_are_those_of_all_orders() -> None:
    for count in (2, 3, 6):
        orders = list(permutations(range(count)))
        falls = [sum(a > b for i, a in enumerate(order) for b in order[i + 1 :]) for order in orders]
        expected = [sum(f >= k for f in falls) / len(orders) for k in range(count * (count - 1) // 2 + 1)]
        assert tail(count) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("count", [4, 10, 20, 60])
def test_the_chance_equals_scipys_kendall(count: int) -> None:
    generator = random.Random(count)
    for drift in (0.0, 0.02, -0.02):
        values = tuple(generator.gauss(drift * i, 1.0) for i in range(count))
        expected = kendalltau(range(count), values, alternative="less", method="exact").pvalue
        assert p_of_falling(values) == pytest.approx(expected, rel=1e-9)


def test_slow_steady_progress_is_no_plateau() -> None:
    """Each epoch a millionth lower: torch's patience, with its threshold of 1e-4, would reduce again and again."""
    assert share(Plateau(window=4), [1.0 - 1e-6 * i for i in range(200)]) == 1.0


def test_noise_on_a_falling_curve_is_no_plateau_and_a_flat_one_is() -> None:
    """At a fall of two standard deviations of the noise per ten epochs."""
    generator = random.Random(0)
    falling = [[3 - 0.2 * i + generator.gauss(0, 1) for i in range(100)] for _ in range(60)]
    flat = [[3 + generator.gauss(0, 1) for _ in range(100)] for _ in range(60)]
    assert sum(reduced_after(Plateau(), losses) > 100 for losses in falling) >= 57
    assert sum(reduced_after(Plateau(), losses) <= 25 for losses in flat) >= 54


def test_outliers_do_not_hide_a_trend() -> None:
    losses = [1 - 0.01 * i for i in range(60)]
    losses[30] = losses[45] = 1e6
    assert share(Plateau(), losses) == 1.0


def test_ties_and_nan_do_not_fall() -> None:
    assert share(Plateau(window=4), [1.0] * 4) == pytest.approx(0.1)
    assert share(Plateau(window=4), [math.nan] * 4) == pytest.approx(0.1)


def test_each_reduction_begins_a_new_window() -> None:
    schedule = Plateau(window=10, reduction=0.5, final=0.2)
    assert [share(schedule, FLAT[:n]) for n in (9, 10, 19, 20, 29, 30, 100)] == [1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2]


def test_it_looks_at_the_losses_it_is_told_to() -> None:
    falling = [Measured(i, 1.0 - i / 100, 0.7) for i in range(1, 50)]
    assert Plateau(losses="train").informed(falling, 100).factor(60, 100) == 1.0
    assert Plateau(losses="validation").informed(falling, 100).factor(60, 100) < 1.0


def test_inside_others_it_knows_what_was_measured_in_its_own_time() -> None:
    plateau, flat = Plateau(window=4), history(FLAT[:10])  # at steps 10, 20, ... 100
    warmed = Warmup(warmup=35, then=plateau)
    assert warmed.informed(flat[:6], 1000).factor(60, 1000) == 1.0  # three of these after the rise
    assert warmed.informed(flat[:7], 1000).factor(70, 1000) == pytest.approx(0.1)
    late = Sequential(parts=(Cosine(), plateau), at=(50,))
    assert late.informed(flat[:8], 1000).factor(80, 1000) == 1.0
    assert late.informed(flat[:9], 1000).factor(90, 1000) == pytest.approx(0.1)
    both = Product(parts=(Cosine(), plateau)).informed(flat[:4], 1000)
    assert both.factor(40, 1000) == pytest.approx(0.1 * Cosine().factor(40, 1000))

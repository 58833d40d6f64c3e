"""How often a comparison calls equals different, and shows a known difference at the number of seeds it asks for.

    OMP_NUM_THREADS=1 python benchmarks/compare_calibration.py [--trainings 300] [--repetitions 10000]

Trained: networks of 16 hidden units on three sets of scikit-learn, each under 300 seeds, which vary initialization and
order (on the same split). Arms are drawn from these runs without replacement, so that both have the same plan and the
n-th value of one and of the other are a pair whose difference is pure noise: equals. A known difference is a constant
added to one arm, one standard deviation of the paired differences. The comparisons of a row share a pool of runs, so
that their share has the pool's error besides its own; the pairs of the first line share no run.

Simulated: differences of known distributions, as many as give the shares to about 0.2 %.

Of a known difference, comparisons that do not show it and ask for n more seeds are made again with that total, with
seeds of their own ("new") or with those of before and n others ("same", a second look). Five minutes on one core.
"""

import argparse
import platform
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.preprocessing import scale
from torch import nn

import thalweg as tw
from thalweg.evaluate.comparison import compare_arms
from thalweg.evaluate.difference import seeds_missing
from thalweg.evaluate.elimination import Elimination
from thalweg.evaluate.paired import LEVEL, t_test
from thalweg.evaluate.sequential import Sequential

Array = NDArray[np.float64]
Law = Callable[[np.random.Generator, int], Array]
SEEDS = 5
PLAN = tw.Plan.plain(optimizer=tw.optimizers.Adam(lr=3e-3), epochs=5, batch_size=64, selection="loss")
DATA = {
    "breast cancer": (load_breast_cancer, "cross_entropy", ("accuracy", "loss")),
    "digits": (load_digits, "cross_entropy", ("accuracy", "loss")),
    "diabetes": (load_diabetes, "mse", ("loss",)),
}


def build(spec: tw.Spec) -> nn.Module:
    return nn.Sequential(nn.Linear(*spec.inputs[0], 16), nn.ReLU(), nn.Linear(16, spec.outputs))


def pools(trainings: int) -> dict[str, Array]:
    """Each measure under each seed, of one plan for each set."""
    found = {}
    for name, (load, loss, measures) in DATA.items():
        x, y = load(return_X_y=True)
        x, y = scale(x).astype("float32"), y if loss != "mse" else scale(y).astype("float32")
        with tempfile.TemporaryDirectory() as directory:
            experiment = tw.Experiment(build, train=(x, y), loss=loss, directory=directory)
            runs = [experiment.train(PLAN.replace(seed=seed), listeners=()).metrics for seed in range(trainings)]
        found |= {f"{name}, {measure}": np.array([run[measure] for run in runs]) for measure in measures}
    return found


@dataclass
class Tally:
    """What became of comparisons."""

    first: int = 0  # real at once
    asked: list[int] = field(default_factory=list)  # seeds in all
    new: int = 0
    same: int = 0
    count: int = 0

    def add(self, draw: Callable[[int], Array]) -> None:
        """One comparison of n pairs; `draw(n)` gives n differences, the first ones those drawn last."""
        self.count += 1
        differences = list(draw(SEEDS))
        if t_test(differences) <= LEVEL:
            self.first += 1
            return
        more = seeds_missing(differences, level=LEVEL, test="t", overlap=0.0)
        if more is None:
            return
        self.asked.append(SEEDS + more)
        self.new += t_test(list(draw(SEEDS + more))) <= LEVEL
        self.same += t_test([*differences, *draw(more)]) <= LEVEL

    def row(self, name: str) -> str:
        number = f"{np.median(self.asked):.0f}" if self.asked else "–"
        asked = len(self.asked)
        shares = [self.first, asked, self.first + self.new, self.first + self.same]
        first, more, new, same = (f"{share / self.count:.1%}" for share in shares)
        return f"| {name} | {first} | {more} | {number} | {self.new / max(asked, 1):.1%} | {new} | {same} |"


HEAD = (
    "| | real at once | ask for more | seeds in all, median | of those real, new seeds | real, new | real, same |\n"
    "|---|---|---|---|---|---|---|"
)


def from_pool(pool: Array, shift: float, generator: np.random.Generator) -> Callable[[int], Array]:
    """Paired differences of two arms of one plan, without replacement."""

    def draw(count: int) -> Array:
        chosen = generator.choice(len(pool), size=2 * count, replace=False)
        return pool[chosen[:count]] - pool[chosen[count:]] + shift

    return draw


def pairs_apart(trained: dict[str, Array]) -> str:
    """As many comparisons of equals in each pool as share no run, by `compare_arms`."""
    wrong = count = 0
    for pool in trained.values():
        for values in pool[: len(pool) // (2 * SEEDS) * 2 * SEEDS].reshape(-1, 2, SEEDS):
            arms = {"a": list(values[0]), "b": list(values[1])}
            wrong += compare_arms(arms, measure="m", higher_is_better=True, seeds=range(SEEDS)).differences[0].real
            count += 1
    return f"{count} pairs of equals, no run in two of one measure: {wrong} called real ({wrong / count:.1%})."


def trained_table(trained: dict[str, Array], repetitions: int) -> None:
    print(f"\n{pairs_apart(trained)}\n\n{HEAD}")
    for effect in (0.0, 1.0):
        for name, pool in trained.items():
            generator, tally = np.random.default_rng(0), Tally()
            draw = from_pool(pool, effect * float(np.sqrt(2) * pool.std(ddof=1)), generator)
            for _ in range(repetitions // 5):
                tally.add(draw)
            print(tally.row(f"{name}, {'equals' if not effect else 'one deviation'}"), flush=True)


LAWS: dict[str, Law] = {
    "normal": lambda g, n: g.normal(size=n),
    "t, 5 degrees": lambda g, n: g.standard_t(5, n) / np.sqrt(5 / 3),
    "skewness 1": lambda g, n: (g.gamma(4.0, size=n) - 4) / 2,
    "exponential": lambda g, n: g.exponential(size=n) - 1,
}


def simulated_table(repetitions: int) -> None:
    print(f"\n{HEAD}")
    for effect in (0.0, 1.0):
        for name, law in LAWS.items():
            generator, tally = np.random.default_rng(1), Tally()
            draw = shifted(law, effect, generator)
            for _ in range(repetitions):
                tally.add(draw)
            print(tally.row(f"{name}, {'equals' if not effect else 'one deviation'}"), flush=True)


def shifted(law: Law, effect: float, generator: np.random.Generator) -> Callable[[int], Array]:
    return lambda count: law(generator, count) + effect


def splits_table(repetitions: int) -> None:
    """A fifth of the rows for validation under each seed; the correlation is the assumed one, or none."""
    print("\n| splits drawn anew, correlation | σ apart | real of 5 | of 10 | of 20 | of 5, uncorrected |")
    print("|---|---|---|---|---|---|")
    for correlation in (0.0, 0.2):
        for effect in (0.0, 1.0, 2.0, 3.0):
            generator, shown = np.random.default_rng(4), np.zeros(4)
            for _ in range(repetitions // 5):
                drawn = np.sqrt(1 - correlation) * generator.normal(size=20)
                drawn += np.sqrt(correlation) * generator.normal() + effect
                chances = [t_test(list(drawn[:n]), overlap=0.25) for n in (5, 10, 20)]
                shown += np.array([*chances, t_test(list(drawn[:5]))]) <= LEVEL
            cells = " | ".join(f"{share:.1%}" for share in shown / (repetitions // 5))
            print(f"| {correlation} | {effect} | {cells} |", flush=True)


def sequential_table(repetitions: int) -> None:
    """Looked at after every seed, up to 20, and ended when decided."""
    print("\n| looked at after each | σ apart | real | given up before 20 | seeds, mean of 20 |\n|---|---|---|---|---|")
    for name, law in LAWS.items():
        for effect in (0.0, 0.5, 1.0, 2.0):
            generator, real, early, seeds = np.random.default_rng(2), 0, 0, 0
            for _ in range(repetitions // 2):
                test = Sequential(most=20)
                while test.decided is None:
                    test.add(float(law(generator, 1)[0]) + effect)
                real += test.p <= LEVEL
                early += test.p > LEVEL and test.count < 20
                seeds += test.count
            runs = repetitions // 2
            print(f"| {name} | {effect} | {real / runs:.1%} | {early / runs:.1%} | {seeds / runs:.1f} |", flush=True)


def elimination_table(repetitions: int) -> None:
    print("\n| arms, σ of a paired difference worse | best dropped | trainings, of 20 for each |\n|---|---|---|")
    for effects in ((0, 0, 0, 0), (0, 1, 1, 1), (0, 2, 2, 2), (0, 0, 2, 3), (0, 1, 2, 3, 3, 3, 3, 3)):
        generator, wrong, spent = np.random.default_rng(3), 0, 0.0
        names, runs = [str(k) for k in range(len(effects))], repetitions // 20
        for _ in range(runs):
            race = Elimination(names, higher_is_better=False, most=20)
            while not race.decided:
                drawn = generator.normal(effects, np.sqrt(0.5))
                race.add(dict(zip(names, drawn, strict=True)))
            wrong += any(effects[int(name)] == 0 for name in race.dropped)
            spent += race.trainings / (20 * len(names)) / runs
        print(f"| {', '.join(map(str, effects))} | {wrong / runs:.1%} | {spent:.0%} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=300)
    parser.add_argument("--repetitions", type=int, default=10_000)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(
        f"torch {torch.__version__}, {platform.machine()}; {SEEDS} seeds at first, {given.trainings} trainings per set"
    )
    trained_table(pools(given.trainings), given.repetitions)
    simulated_table(given.repetitions)
    splits_table(given.repetitions)
    sequential_table(given.repetitions)
    elimination_table(given.repetitions)


if __name__ == "__main__":
    main()

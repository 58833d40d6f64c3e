"""The examples held to data: their measures on sealed rows, beside baselines that were fitted on the same rows.

    python benchmarks/examples.py [fashion_mnist imbalanced regression sequence audio] [--seeds 3]

A baseline is fitted on the training and validation rows together: it needs no validation. CPU time is the process's,
from making the experiment to its measures, everything included.
"""

import argparse
import importlib
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy import stats
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, balanced_accuracy_score
from sklearn.model_selection import RepeatedStratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

import thalweg as tw
from thalweg.errors import DataError

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
FOLDS = 5


def trained(model: Any, plan: tw.Plan | None = None, **arguments: Any) -> tuple[tw.Experiment, tw.Run, Any, float]:
    """The experiment, its run, the measures on the sealed rows, and the CPU seconds of it all."""
    started = time.process_time()
    with tempfile.TemporaryDirectory() as directory:
        experiment = tw.Experiment(model, directory=directory, **arguments)
        run = experiment.train(plan, listeners=())
        result = experiment.evaluate(run)
        return experiment, run, result, time.process_time() - started


def known_rows(experiment: tw.Experiment) -> np.ndarray:
    """The rows of the data that were not sealed."""
    data = experiment.data
    return np.sort(np.concatenate([data.train.ids.numpy(), data.validation.ids.numpy()]))


def spread_of(values: Sequence[float]) -> str:
    return f"mean {np.mean(values):.4f}, from {min(values):.4f} to {max(values):.4f}"


def paired_interval(differences: np.ndarray, test_share: float) -> tuple[float, float]:
    """95 % interval of a mean difference over repeated folds; their training rows overlap (Nadeau and Bengio, 2003).

    mean ± t(n - 1) * sqrt((1 / n + test rows / training rows) * variance)
    """
    n = len(differences)
    error = math.sqrt((1 / n + test_share / (1 - test_share)) * differences.var(ddof=1))
    width = float(stats.t.ppf(0.975, n - 1)) * error
    return float(differences.mean() - width), float(differences.mean() + width)


def fashion_mnist(seeds: int) -> None:
    example = importlib.import_module("fashion_mnist")
    print("| seed | rate | epochs | test accuracy, 95 % interval | CPU minutes |\n|---|---|---|---|---|")
    found = []
    for seed in range(seeds):
        data = {"train": example.part("train"), "test": example.part("test")}
        _, run, result, seconds = trained(example.small_cnn, **data, loss="cross_entropy", seed=seed)
        accuracy = result["accuracy"]
        found.append(accuracy.value)
        interval = f"{accuracy.value:.2%} [{accuracy.low:.2%}, {accuracy.high:.2%}]"
        print(f"| {seed} | {rate_of(run):.2g} | {run.plan.epochs} | {interval} | {seconds / 60:.1f} |", flush=True)
    print(f"\naccuracy: {spread_of(found)}\n")


def imbalanced(seeds: int) -> None:
    """`seeds` repeats of five folds; the boosted trees get all rows of a fold, the network holds 15 % of them out."""
    example = importlib.import_module("imbalanced")
    table = pd.read_csv(example.path, header=None)
    x, y = table.iloc[:, :-1].to_numpy(np.float32), (table.iloc[:, -1] == "'1'").to_numpy(np.int64)
    network, trees, cost = [], [], []
    folds = RepeatedStratifiedKFold(n_splits=FOLDS, n_repeats=seeds, random_state=0)
    for seed, (known, held) in enumerate(folds.split(x, y)):
        _, _, result, seconds = trained(
            example.mlp,
            train=(x[known], y[known]),
            test=(x[held], y[held]),
            loss="binary_cross_entropy",
            metrics=["average_precision"],
            seed=seed,
        )
        boosted = HistGradientBoostingClassifier(random_state=seed).fit(x[known], y[known])
        trees.append(average_precision_score(y[held], boosted.predict_proba(x[held])[:, 1]))
        network.append(result["average_precision"].value)
        cost.append(seconds)
    low, high = paired_interval(np.array(network) - np.array(trees), 1 / FOLDS)
    print(f"| | average precision over {seeds} x {FOLDS} folds |\n|---|---|")
    print(f"| network, automatic plan | {spread_of(network)} |")
    print(f"| HistGradientBoostingClassifier | {spread_of(trees)} |")
    print(f"| difference, 95 % interval | {np.mean(network) - np.mean(trees):+.4f} [{low:+.4f}, {high:+.4f}] |")
    print(f"\n{np.mean(cost):.1f} CPU seconds a fold\n")


def regression(seeds: int) -> None:
    example = importlib.import_module("regression")
    table = pd.read_csv(example.path).astype({"ocean_proximity": "category"})
    print(
        "| seed | rate | R², 95 % interval | RMSE, dollars | R² of boosted trees | CPU seconds |\n"
        "|---|---|---|---|---|---|"
    )
    found = []
    for seed in range(seeds):
        experiment, run, result, seconds = trained(
            example.mlp, train=example.path, target="median_house_value", loss="mse", seed=seed
        )
        known = table.index.isin(known_rows(experiment))
        inputs, values = table.drop(columns="median_house_value"), table["median_house_value"]
        trees = HistGradientBoostingRegressor(random_state=seed).fit(inputs[known], values[known])
        r2, rmse, boosted = result["r2"], result["rmse"], trees.score(inputs[~known], values[~known])
        found.append(r2.value)
        interval = f"{r2.value:.3f} [{r2.low:.3f}, {r2.high:.3f}]"
        print(
            f"| {seed} | {rate_of(run):.2g} | {interval} | {rmse.value:,.0f} | {boosted:.3f} | {seconds:.1f} |",
            flush=True,
        )
    print(f"\nR²: {spread_of(found)}\n")


def sequence(seeds: int) -> None:
    example = importlib.import_module("sequence")
    names, languages = example.table["name"].to_numpy(), example.table["language"].to_numpy()
    linear = {
        "bag of letters": lambda: CountVectorizer(analyzer="char", lowercase=False),
        "1- to 3-grams": lambda: TfidfVectorizer(analyzer="char_wb", ngram_range=(1, 3), sublinear_tf=True),
    }
    print(f"| seed | network | {' | '.join(f'linear, {name}' for name in linear)} | CPU seconds |")
    print("|---|---|---|---|---|")
    rows = []
    for seed in range(seeds):
        experiment, _, result, seconds = trained(
            example.Reader,
            example.plan,
            train=example.Names(example.table["name"], example.table["language"]),
            collate=example.pad,
            groups=names,
            loss="cross_entropy",
            class_weights="balanced",
            metrics=["balanced_accuracy"],
            seed=seed,
        )
        known = np.isin(np.arange(len(names)), known_rows(experiment))
        scores = [result["balanced_accuracy"].value]
        for make in linear.values():
            model = make_pipeline(make(), LogisticRegression(max_iter=500, class_weight="balanced"))
            answers = model.fit(names[known], languages[known]).predict(names[~known])
            scores.append(balanced_accuracy_score(languages[~known], answers))
        rows.append(scores)
        print(f"| {seed} | {' | '.join(f'{score:.1%}' for score in scores)} | {seconds:.0f} |", flush=True)
    print(f"| mean | {' | '.join(f'{score:.1%}' for score in np.mean(rows, axis=0))} | |\n")


def audio(seeds: int) -> None:
    """Each speaker is held out once; 15 % of the recordings of the other five are for validation."""
    example = importlib.import_module("audio")
    speakers, digits = example.sounds["speaker"], example.sounds["label"].astype(np.int64)
    linear = {"mean over time": time_averaged(example), "32 frames": flattened(example)}
    print(f"| speaker held out | network, {seeds} seeds | {' | '.join(f'linear, {name}' for name in linear)} |")
    print("|---|---|---|---|")
    rows, cost = [], []
    for speaker in np.unique(speakers):
        known, held = np.flatnonzero(speakers != speaker), np.flatnonzero(speakers == speaker)
        found = []
        for seed in range(seeds):
            _, _, result, seconds = trained(
                example.Listener,
                example.plan,
                train=example.Recordings(known),
                test=example.Recordings(held),
                collate=example.pad,
                loss="cross_entropy",
                seed=seed,
            )
            found.append(result["balanced_accuracy"].value)
            cost.append(seconds)
        scores = [float(np.mean(found))]
        for features in linear.values():
            model = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=500))
            answers = model.fit(features[known], digits[known]).predict(features[held])
            scores.append(balanced_accuracy_score(digits[held], answers))
        rows.append(scores)
        print(f"| {speaker} | {' | '.join(f'{score:.1%}' for score in scores)} |", flush=True)
    print(f"| mean | {' | '.join(f'{score:.1%}' for score in np.mean(rows, axis=0))} |")
    print(f"\n{np.mean(cost):.0f} CPU seconds a training\n")


def spectra_of(example: Any) -> Iterator[torch.Tensor]:
    """The network's own log-mel spectra `[bands, frames]` of each recording."""
    recordings, listener = example.Recordings(np.arange(len(example.sounds["label"]))), example.Listener().eval()
    for recording, _ in recordings:
        yield listener.log_mel(recording[None])[0]


def time_averaged(example: Any) -> np.ndarray:
    return torch.stack([torch.cat([log.mean(1), log.std(1)]) for log in spectra_of(example)]).numpy()


def flattened(example: Any) -> np.ndarray:
    """Without the recording's mean in each band, as the network sees them, stretched to one length."""
    centered = [log - log.mean(1, keepdim=True) for log in spectra_of(example)]
    return torch.stack([F.interpolate(log[None], size=32, mode="linear").flatten() for log in centered]).numpy()


def rate_of(run: tw.Run) -> float:
    optimizer = run.plan.optimizer
    assert optimizer != "auto"
    assert optimizer.lr != "auto"
    return optimizer.lr


BENCHMARKS: dict[str, Callable[[int], None]] = {
    "fashion_mnist": fashion_mnist,
    "imbalanced": imbalanced,
    "regression": regression,
    "sequence": sequence,
    "audio": audio,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("examples", nargs="*", default=list(BENCHMARKS))
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    for name in arguments.examples:
        print(f"{name}\n")
        try:
            BENCHMARKS[name](arguments.seeds)
        except DataError as error:
            if "THALWEG_DATA" not in str(error):
                raise
            print(f"not measured: {error}\n")


if __name__ == "__main__":
    main()

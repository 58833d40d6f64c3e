"""The examples on data beside the project: each trains on a part of it and learns; what they promise about padding."""

import importlib.util
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

import thalweg as tw
from thalweg.cli.source import load_source
from thalweg.errors import DataError

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("THALWEG_DATA") or ROOT.parent / "shared" / "data")
FILES = {
    "fashion_mnist": "fashion_mnist.npz",
    "imbalanced": "mammography.csv.gz",
    "regression": "california_housing.csv.gz",
    "sequence": "names_18_languages.tsv.gz",
    "audio": "spoken_digits_8khz.npz",
}


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"loaded_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def example(name: str) -> Any:
    if not (DATA / FILES[name]).is_file():
        pytest.skip(f"needs {FILES[name]} in {DATA}, a public data set beside the project")
    return load(ROOT / "examples" / f"{name}.py")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)  # the examples' runs go below the folder one is in
    monkeypatch.syspath_prepend(str(ROOT / "examples"))
    yield
    sys.modules.pop("_folder", None)


def measured(experiment: tw.Experiment, measure: str, *, rate: float, epochs: int, **changes: Any) -> float:
    plan = tw.Plan(optimizer=tw.optimizers.AdamW(lr=rate), epochs=epochs, probes=False, **changes)
    return experiment.evaluate(experiment.train(plan, listeners=()))[measure].value


@pytest.mark.parametrize("name", FILES)
def test_without_its_data_an_example_says_what_it_needs(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("THALWEG_DATA", str(tmp_path))
    with pytest.raises(DataError, match=FILES[name]) as raised:
        load_source(str(ROOT / "examples" / f"{name}.py"))
    assert "github.com" in str(raised.value) or "OpenML" in str(raised.value)
    assert "THALWEG_DATA=" in str(raised.value)


@pytest.mark.slow
def test_fashion_mnist_learns_from_2000_images() -> None:
    module = example("fashion_mnist")
    (x, y), (test_x, test_y) = module.part("train"), module.part("test")
    assert len(module.experiment.data.test) == 10_000
    few = tw.Experiment(
        module.small_cnn, train=(x[:2000], y[:2000]), test=(test_x[:1000], test_y[:1000]), loss="cross_entropy"
    )
    assert measured(few, "accuracy", rate=0.003, epochs=2) > 0.6  # 0.1 by chance


@pytest.mark.slow
def test_imbalanced_finds_the_rare_class() -> None:
    experiment = example("imbalanced").experiment
    assert experiment.task.classes == ("'-1'", "'1'")
    assert measured(experiment, "average_precision", rate=0.01, epochs=8) > 0.4  # 0.023 by chance


@pytest.mark.slow
def test_regression_explains_most_of_the_variance() -> None:
    assert measured(example("regression").experiment, "r2", rate=0.01, epochs=5) > 0.65


@pytest.mark.slow
def test_sequence_learns_and_no_name_is_in_two_parts() -> None:
    module = example("sequence")
    data, names = module.experiment.data, module.table["name"].to_numpy()
    trained, chosen = (set(names[part.ids.numpy()]) for part in (data.train, data.validation))
    assert not trained & chosen
    assert measured(module.experiment, "balanced_accuracy", rate=0.01, epochs=1) > 0.2  # 0.056 by chance


@pytest.mark.slow
def test_a_name_reads_alone_as_in_a_batch() -> None:
    module = example("sequence")
    names = module.experiment.data.train.dataset
    rows = [names[int(i)] for i in module.experiment.data.train.ids[:50]]
    network = module.Reader().eval()
    together = network(module.pad(rows)[0])
    alone = torch.cat([network(module.pad([row])[0]) for row in rows])
    torch.testing.assert_close(together, alone)


@pytest.mark.slow
def test_audio_hears_digits_of_a_speaker_it_does_not_know() -> None:
    module = example("audio")
    speaker, take = module.sounds["speaker"], module.sounds["take"]
    few = np.flatnonzero(take < 8)
    experiment = tw.Experiment(
        module.Listener, train=module.Recordings(few), collate=module.pad, groups=speaker[few], loss="cross_entropy"
    )
    assert experiment.data.split["method"] == "by group"
    assert measured(experiment, "balanced_accuracy", rate=0.005, epochs=8) > 0.4  # 0.1 by chance


def test_the_paired_interval_of_folds() -> None:
    """Without test rows it is the usual t interval; with a fifth of the rows tested, wider by sqrt(1 + n / 4)."""
    benchmark = load(ROOT / "benchmarks" / "examples.py")
    differences = np.random.default_rng(0).normal(0.01, 0.03, 15)
    low, high = stats.t.interval(0.95, 14, differences.mean(), stats.sem(differences))
    assert benchmark.paired_interval(differences, 0.0) == pytest.approx((low, high))
    wider = benchmark.paired_interval(differences, 1 / 5)
    assert wider[1] - wider[0] == pytest.approx((high - low) * np.sqrt(1 + 15 / 4))


def test_augmented_digits_learn_from_500_images() -> None:
    module = load(ROOT / "examples" / "augmentation.py")
    short = module.plan.replace(epochs=6, optimizer=tw.optimizers.AdamW(lr=0.005), probes=False)
    run = module.experiment.train(short, listeners=())
    assert module.experiment.evaluate(run)["accuracy"].value > 0.85
    assert len(module.experiment.preview(module.plan).rows) == 2

"""Data of the healthy programs: scikit-learn's, formulas, and the files beside the project where they are there.

`data(name, folder)` gives the parts of one; a name whose file is absent raises FileNotFoundError.
"""

import gzip
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn import datasets, ensemble, linear_model, neighbors
from torch import Tensor

Array = NDArray[Any]
Made = tuple[Any, Array, dict[str, Any]]  # inputs, targets, and the fields of Data that differ from the usual


@dataclass(frozen=True)
class Data:
    """Training and validation rows.

    Args:
        train: inputs and targets: class indices `[N, ...]`, labels `[N, K]`, or numbers `[N, K]`.
        validation: the same.
        task: as the experiment takes it.
        metric: how the outcome is measured: `"accuracy"`, `"balanced_accuracy"`, `"r2"`, `"deviance"`, `"pinball"`.
        form: of the inputs, which decides the networks that fit.
        outputs: classes, labels or target columns.
        vocabulary: tokens or categories.
    """

    train: tuple[Any, Tensor]
    validation: tuple[Any, Tensor]
    task: str
    metric: str
    form: str
    outputs: int
    vocabulary: int = 0

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        x = self.train[0]
        parts = list(x.values()) if isinstance(x, dict) else list(x) if isinstance(x, tuple) else [x]
        return [tuple(part.shape[1:]) for part in parts]


def take(x: Any, rows: Any) -> Any:
    if isinstance(x, dict):
        return {name: part[rows] for name, part in x.items()}
    return tuple(part[rows] for part in x) if isinstance(x, tuple) else x[rows]


def to_tensor(x: Any) -> Any:
    if isinstance(x, dict):
        return {name: to_tensor(part) for name, part in x.items()}
    if isinstance(x, tuple):
        return tuple(map(to_tensor, x))
    return torch.tensor(x, dtype=torch.long if np.issubdtype(x.dtype, np.integer) else torch.float32)


def split(made: Made, *, held: float = 0.3, rows: int = 4000) -> Data:
    """The last rows of a fixed random order are the validation rows; at most 1,000."""
    x, y, fields = made
    order = np.random.RandomState(7).permutation(len(y))[:rows]
    cut = len(order) - min(1000, int(held * len(order)))
    x, y = take(x, order), y[order]
    parts = [(to_tensor(take(x, part)), to_tensor(y[part])) for part in (slice(cut), slice(cut, None))]
    usual: dict[str, Any] = {"task": "multiclass", "metric": "accuracy", "form": "vector"}
    if "outputs" not in fields:
        usual["outputs"] = int(y.max()) + 1 if np.issubdtype(y.dtype, np.integer) else y.shape[1]
    return Data(*parts, **{**usual, **fields})


def standard(x: Array) -> Array:
    spread = x.std(0)
    return (x - x.mean(0)) / np.where(spread > 0, spread, 1.0)


def shipped(name: str, scale: str, **fields: Any) -> Made:
    """A data set of scikit-learn: its inputs standardized or raw; numbers as targets standardized."""
    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x = standard(x) if scale == "standard" else x / 16 if scale == "sixteenths" else x
    if name in ("diabetes", "linnerud"):
        return x, standard(y.reshape(len(y), -1)), {"task": "regression", "metric": "r2"} | fields
    return x, y, ({"task": "binary"} if y.max() == 1 else {}) | fields


def digits(kind: str) -> Made:
    """Images of 8 x 8 from 0 to 1, and what is asked of them."""
    x, y = datasets.load_digits(return_X_y=True)
    x = x / 16
    images = x.reshape(-1, 1, 8, 8)
    if kind == "image":
        return images, y, {"form": "image"}
    if kind == "rows":  # eight steps of eight pixels
        return x.reshape(-1, 8, 8), y, {"form": "series"}
    if kind == "parity":
        return images, y % 2, {"form": "image", "task": "binary"}
    if kind == "rare":
        return x, (y == 3).astype(int), {"task": "binary", "metric": "balanced_accuracy"}
    if kind == "labels":
        several = np.stack([y % 2 == 0, y >= 5, np.isin(y, [2, 3, 5, 7])], 1).astype(float)
        return x, several, {"task": "multilabel"}
    if kind == "fill":
        return images[:, :, :4], x[:, 32:], {"form": "image", "task": "regression", "metric": "r2"}
    if kind == "same":
        centered = x - 0.3
        return centered, centered, {"form": "itself", "task": "regression", "metric": "r2"}
    if kind == "pixels":  # which pixels were set, seen through noise
        noisy = images + 0.3 * np.random.RandomState(0).randn(*images.shape)
        return noisy, (images[:, 0] > 0.5).astype(int), {"form": "pixels", "task": "per_position", "outputs": 2}
    return x * 16, y, {}  # from 0 to 16


def plane(kind: str) -> Made:
    """Points of a plane."""
    rng = np.random.RandomState(1)
    if kind == "moons":
        x, y = datasets.make_moons(1500, noise=0.15, random_state=1)
        return x, y, {"task": "binary"}
    if kind == "rings":
        radius = rng.uniform(0, 3, 1500)
        angle = rng.uniform(0, 2 * np.pi, 1500)
        return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1), radius.astype(int), {}
    if kind == "spirals":
        y, t = rng.randint(0, 3, 1800), rng.uniform(0.2, 1, 1800)
        angle = 2 * np.pi * y / 3 + 4 * t + 0.08 * rng.randn(1800)
        return 2 * np.stack([t * np.cos(angle), t * np.sin(angle)], 1), y, {}
    if kind == "blobs":
        x, y = datasets.make_blobs(600, centers=5, cluster_std=1.5, random_state=3)
        return x, y, {}
    if kind == "rare":  # 4 % positive and apart
        y = (rng.rand(3000) < 0.04).astype(int)
        return rng.randn(3000, 2) + 3.5 * y[:, None], y, {"task": "binary", "metric": "balanced_accuracy"}
    x = rng.uniform(-1, 1, (2000, 2))
    return x, ((x[:, 0] > 0) ^ (x[:, 1] > 0)).astype(int), {"task": "binary"}


def numbers(kind: str) -> Made:
    """Numbers to be predicted."""
    rng, fields = np.random.RandomState(2), {"task": "regression", "metric": "r2"}
    if kind == "polynomial":
        x = rng.uniform(-2, 2, (800, 1))
        return x, standard(x**3 - 2 * x + 0.3 * rng.randn(800, 1)), fields
    if kind == "sine":
        x = rng.uniform(-3, 3, (1000, 1))
        return x, np.sin(2 * x) + 0.1 * rng.randn(1000, 1), fields
    if kind == "friedman":
        x, y = datasets.make_friedman1(2000, n_features=10, noise=1.0, random_state=0)
        return x, standard(y[:, None]), fields
    if kind == "plane":
        x = rng.randn(600, 8)
        return x, x @ rng.randn(8, 1) + 0.5 * rng.randn(600, 1), fields
    if kind == "noisy":  # a fifth of the variance can be known
        x = rng.randn(3000, 6)
        return x, 0.5 * (x[:, :1] + np.sin(2 * x[:, 1:2])) + 1.2 * rng.randn(3000, 1), fields
    if kind == "several":
        x = rng.randn(1500, 6)
        return x, standard(np.stack([x[:, 0] * x[:, 1], np.abs(x[:, 2]), x[:, 3] + x[:, 4]], 1)), fields
    if kind == "counts":
        x = rng.randn(2000, 4)
        y = rng.poisson(np.exp(0.7 + 0.6 * x[:, 0] - 0.5 * np.abs(x[:, 1])))[:, None].astype(float)
        return x, y, fields | {"metric": "deviance"}
    if kind == "upper":  # the spread grows with the input
        x = rng.uniform(0, 2, (3000, 2))
        y = x[:, :1] ** 2 + (0.2 + 0.5 * x[:, 1:]) * rng.randn(3000, 1)
        return x, y, fields | {"metric": "pinball"}
    x = rng.uniform(0, 1, (1200, 5))  # prices in small units, not centered
    return x, 2 + x[:, :1] * x[:, 1:2] * 3 + x[:, 2:3] + 0.1 * rng.randn(1200, 1), fields


def table(kind: str) -> Made:
    """Rows of columns, with classes."""
    rng = np.random.RandomState(3)
    if kind == "hard":  # a fifth of the labels are noise that nothing predicts
        x, y = datasets.make_classification(3000, 12, n_informative=6, flip_y=0.35, class_sep=1.5, random_state=1)
        return x, y, {"task": "binary"}
    if kind == "wide":
        x, y = datasets.make_classification(1500, 40, n_informative=12, n_classes=4, class_sep=1.5, random_state=2)
        return x, y, {}
    if kind == "words":  # which of 300 words occur
        topics = rng.dirichlet(np.full(300, 0.05), 5)
        y = rng.randint(0, 5, 1500)
        x = np.stack([(rng.multinomial(30, topics[k]) > 0).astype(float) for k in y])
        return x, y, {}
    if kind == "few":
        x, y = datasets.make_classification(120, 6, n_informative=4, class_sep=1.5, random_state=4)
        return x, y, {"task": "binary"}
    if kind == "labels":
        x, y = datasets.make_multilabel_classification(2500, 20, n_classes=6, random_state=0)
        return standard(x), y.astype(float), {"task": "multilabel"}
    x = rng.randint(0, 4, (2500, 6))  # six categories, one-hot
    y = ((x[:, 0] + x[:, 1]) % 2 + (x[:, 2] > 1)).astype(int)
    return np.eye(4)[x].reshape(len(x), -1), y, {}


def series(kind: str) -> Made:
    """Signals [N, C, T]."""
    rng, t = np.random.RandomState(4), np.arange(48)
    phase = rng.uniform(0, 2 * np.pi, (2000, 1))
    if kind == "tones":
        y = rng.randint(0, 4, 2000)
        x = np.sin(0.15 * (y[:, None] + 1) * t + phase) + 0.5 * rng.randn(2000, 48)
        return x[:, None], y, {"form": "series"}
    if kind == "bump":  # a bump up or down somewhere, over two channels
        y, at = rng.randint(0, 3, 1800), rng.randint(6, 42, (1800, 1))
        bump = np.exp(-(((t - at) / 3) ** 2))
        x = 0.3 * rng.randn(1800, 2, 48)
        x[:, 0] += 2 * bump * (y == 1)[:, None] - 2 * bump * (y == 0)[:, None]
        x[:, 1] += 2 * bump * (y == 2)[:, None]
        return x, y, {"form": "series"}
    if kind == "forecast":
        walk = np.zeros((1500, 40))
        for i in range(2, 40):
            walk[:, i] = 1.6 * walk[:, i - 1] - 0.8 * walk[:, i - 2] + rng.randn(1500)
        walk = walk[:, 8:] / walk.std()
        return walk[:, None, :-1], walk[:, -1:], {"form": "series", "task": "regression", "metric": "r2"}
    x = rng.uniform(0, 1, (2500, 2, 12))  # the sum of the two marked numbers
    x[:, 1] = 0
    for row, places in zip(x, rng.rand(2500, 12).argsort(1)[:, :2], strict=True):
        row[1, places] = 1
    y = standard((x[:, 0] * x[:, 1]).sum(1)[:, None])
    return x, y, {"form": "series", "task": "regression", "metric": "r2"}


def tokens(kind: str) -> Made:
    """Tokens [N, T]."""
    rng = np.random.RandomState(5)
    if kind == "majority":
        y = rng.randint(0, 3, 2000)
        x = np.where(rng.rand(2000, 16) < 0.35, 10 * y[:, None] + rng.randint(0, 10, (2000, 16)), 30)
        x = np.where(x == 30, rng.randint(0, 30, x.shape), x)
        return x, y, {"form": "tokens", "vocabulary": 30}
    if kind == "first":  # the first token decides
        x = rng.randint(0, 20, (2000, 10))
        return x, (x[:, 0] // 5), {"form": "tokens", "vocabulary": 20}
    x = rng.randint(0, 12, (2000, 14))  # whether a token is larger than the one before it
    before = np.concatenate([x[:, :1], x[:, :-1]], 1)
    fields = {"form": "tokens", "vocabulary": 12, "task": "per_position", "outputs": 2}
    return x, (x > before).astype(int), fields


def shapes() -> Made:
    """Squares, discs and crosses in noise, 16 x 16 in three channels."""
    rng = np.random.RandomState(6)
    y = rng.randint(0, 3, 1500)
    x = 0.3 * rng.rand(1500, 3, 16, 16)
    i, j = np.mgrid[:16, :16]
    for row, label in zip(x, y, strict=True):
        a, b, r = *rng.randint(5, 11, 2), rng.randint(3, 5)
        near, far = np.minimum(abs(i - a), abs(j - b)), np.maximum(abs(i - a), abs(j - b))
        marks = [far <= r, (i - a) ** 2 + (j - b) ** 2 <= r**2 * 0.6, (near == 0) & (far <= r)]
        row[:, marks[label]] += rng.uniform(0.4, 0.8, (3, 1))
    return x, y, {"form": "image"}


def several_inputs(kind: str) -> Made:
    """Two inputs: numbers and a category by name, two vectors, or a user and an item."""
    rng = np.random.RandomState(8)
    if kind == "mixed":
        x, words = rng.randn(2500, 5), rng.randint(0, 12, 2500)
        y = (x[:, 0] * np.where(words % 2, 1, -1) + 0.5 * x[:, 1] > 0).astype(int)
        return {"numbers": x, "category": words}, y, {"form": "mixed", "vocabulary": 12, "task": "binary"}
    if kind == "pair":
        x, y = datasets.load_digits(return_X_y=True)
        left, right = rng.randint(0, len(x), 3000), rng.randint(0, len(x), 3000)
        right = np.where(rng.rand(3000) < 0.5, [rng.choice(np.flatnonzero(y == y[i])) for i in left], right)
        return (x[left] / 16, x[right] / 16), (y[left] == y[right]).astype(int), {"form": "pair", "task": "binary"}
    users, items = 0.7 * rng.randn(60, 3), 0.7 * rng.randn(60, 3)
    pair = rng.randint(0, 60, (4000, 2))
    y = (users[pair[:, 0]] * items[pair[:, 1]]).sum(1) + 0.2 * rng.randn(4000)
    fields = {"form": "factors", "vocabulary": 60, "task": "regression", "metric": "r2"}
    return pair, y[:, None] + users[pair[:, 0], :1], fields


def from_files(options: dict[str, Any], fields: dict[str, Any], folder: Path) -> Data:
    """Rows as the loader beside the cases gives them."""
    cases = folder.parent / "cases"
    if not (cases / "data.py").is_file():
        raise FileNotFoundError(cases / "data.py")
    sys.path.insert(0, str(cases))
    from data import load_data  # type: ignore[import-not-found]

    task = fields.get("task", "multiclass")
    found = load_data(options, "multiclass" if task == "binary" else task, folder)
    usual: dict[str, Any] = {"task": "multiclass", "metric": "accuracy", "form": "vector"}
    if "outputs" not in fields:
        usual["outputs"] = 1 if task == "regression" else int(found.train[1].max()) + 1
    return Data(found.train, found.validation, **{**usual, **fields})


def shakespeare(folder: Path) -> Data:
    """The next character at each of 24."""
    text = gzip.decompress((folder / "tiny_shakespeare.txt.gz").read_bytes()).decode()[:100_000].lower()
    letters = sorted(set(text))
    code = np.array([letters.index(c) for c in text])
    windows = np.stack([code[i : i + 25] for i in range(0, len(code) - 25, 25)])
    fields = {"form": "tokens", "vocabulary": len(letters), "outputs": len(letters), "task": "per_position"}
    return split((windows[:, :-1], windows[:, 1:], fields), held=0.2)


MADE: dict[str, Callable[[], Made]] = {
    **{f"digits_{k}": partial(digits, k) for k in "image rows parity rare labels fill same pixels raw".split()},
    **{f"{name}_standard": partial(shipped, name, "standard") for name in "wine breast_cancer iris diabetes".split()},
    "digits_flat": partial(shipped, "digits", "sixteenths"),
    "iris_raw": partial(shipped, "iris", "raw"),
    **{f"plane_{k}": partial(plane, k) for k in "moons rings spirals blobs rare checks".split()},
    **{
        f"numbers_{k}": partial(numbers, k)
        for k in "polynomial sine friedman plane noisy several counts upper prices".split()
    },
    **{f"table_{k}": partial(table, k) for k in "hard wide words few labels categories".split()},
    **{f"series_{k}": partial(series, k) for k in "tones bump forecast adding".split()},
    **{f"tokens_{k}": partial(tokens, k) for k in "majority first rising".split()},
    "shapes": shapes,
    **{f"inputs_{k}": partial(several_inputs, k) for k in "mixed pair factors".split()},
}
IMAGE, BINARY = {"form": "image"}, {"task": "binary"}
RARE = {"task": "binary", "metric": "balanced_accuracy"}
NUMBER = {"task": "regression", "metric": "r2"}
FILES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fashion": ({"name": "fashion_mnist", "rows": 3000, "input": "unit", "pool": 2}, IMAGE),
    "fashion_standard": ({"name": "fashion_mnist", "rows": 2000, "pool": 2}, IMAGE),
    "fashion_full": ({"name": "fashion_mnist", "rows": 1500, "validation_rows": 500, "input": "unit"}, IMAGE),
    "fashion_two": ({"name": "fashion_mnist", "rows": 1500, "input": "unit", "pool": 2, "classes": [2, 4]},
                    IMAGE | BINARY),
    "california": ({"name": "california_housing", "one_hot": True}, NUMBER),
    "california_above": ({"name": "california_housing", "above": 180000, "one_hot": True}, BINARY),
    "bank": ({"name": "bank_marketing", "one_hot": True, "rows": 6000}, RARE),
    "mammography": ({"name": "mammography", "rows": 6000, "validation_rows": 3000}, RARE),
    "names": ({"name": "names", "input": "raw", "tokens": True}, {"form": "tokens", "vocabulary": 128}),
    "spoken": ({"name": "spoken_digits", "rows": 2700, "validation_rows": 300}, {"form": "series"}),
    "spoken_image": ({"name": "spoken_digits", "rows": 2700, "validation_rows": 300}, {"form": "spectrum"}),
}  # fmt: skip
NAMES = (*MADE, *FILES, "shakespeare")


@cache
def data(name: str, folder: Path) -> Data:
    """The parts of one data set; `folder` has the files."""
    if name == "shakespeare":
        return shakespeare(folder)
    if name in MADE:
        return split(MADE[name]())
    options, fields = FILES[name]
    found = from_files(options, fields, folder)
    if found.form != "spectrum":
        return found
    image = {part: (getattr(found, part)[0][:, None], getattr(found, part)[1]) for part in ("train", "validation")}
    return Data(**{**found.__dict__, **image, "form": "image"})


def reference_outputs(found: Data) -> Tensor | None:
    """What scikit-learn answers on the validation rows, of flat inputs; None where it has nothing for the form."""
    if found.form not in ("vector", "image", "series") or found.metric in ("deviance", "pinball"):
        return None
    (x, y), (v, _) = found.train, found.validation
    flat, held = x.reshape(len(x), -1).numpy(), v.reshape(len(v), -1).numpy()
    if found.task in ("binary", "multiclass"):
        weight = "balanced" if found.metric == "balanced_accuracy" else None
        forest = ensemble.RandomForestClassifier(200, class_weight=weight, random_state=0)
        models = [forest, linear_model.LogisticRegression(C=1.0, class_weight=weight, max_iter=500)]
        models += [neighbors.KNeighborsClassifier(5)] * (weight is None)
        return torch.stack([torch.tensor(m.fit(flat, y.numpy()).predict(held)) for m in models])
    if found.task == "regression":
        goal = y.numpy() if y.shape[1] > 1 else y.numpy()[:, 0]
        tried = [ensemble.RandomForestRegressor(200, random_state=0), linear_model.Ridge(1.0)]
        return torch.stack([torch.tensor(m.fit(flat, goal).predict(held).reshape(len(held), -1)) for m in tried])
    return None

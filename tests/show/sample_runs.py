"""Stores of runs that never took place, filled with plausible readings, for everything that draws a run."""

import math
import random
from pathlib import Path
from typing import Any

from thalweg.evaluate.result import ClassRow, Curve, Measure, Result, Threshold
from thalweg.findings import Evidence, Excluded, Finding, Remedy
from thalweg.plan import Plan
from thalweg.readings import Reading
from thalweg.store import FILE, Store

LAYERS = (
    ("conv1", "Conv2d", "16×8×8", 160),
    ("relu1", "ReLU", "16×8×8", 0),
    ("conv2", "Conv2d", "32×8×8", 4640),
    ("relu2", "ReLU", "32×8×8", 0),
    ("pool", "MaxPool2d", "32×4×4", 0),
    ("flatten", "Flatten", "512", 0),
    ("hidden", "Linear", "64", 32832),
    ("relu3", "ReLU", "64", 0),
    ("head", "Linear", "10", 650),
)
EPOCHS, STEPS = 30, 36

DEAD = Finding(
    code="ACT03",
    title="38 % of units are dead",
    severity="warning",
    standing="verified",
    cause="dead_units",
    why="One step at rate 0.4 (gradient norm 41) pushed the biases negative; a ReLU that is negative for every input "
    "has zero gradient and cannot recover.",
    place="relu2",
    step=404,
    evidence=(
        Evidence("never active on 1,149 inputs", "195 / 512 units", "10 %"),
        Evidence("grew over the last 100 steps", "12 % → 38 %"),
        Evidence("mean of that layer's biases", "−0.84", "0.1"),
    ),
    excluded=(Excluded("vanishing", "the gradient norm at conv1 is 0.31, as at the head"),),
    remedies=(
        Remedy("Clip gradients at norm 1.", "safe", {"clip_norm": 1.0}),
        Remedy("Use LeakyReLU in place of ReLU.", "manual"),
    ),
)
CONSTANT = Finding(
    "DATA02", "4 of 64 columns are constant", "note", "proven", "input_scale", "A constant column tells nothing.",
    evidence=(Evidence("distinct values on 1,149 rows", "1"),),
)  # fmt: skip
GAP = Finding(
    "FIT02", "validation loss may be rising", "warning", "suspicion", "overfitting",
    "Training loss still falls while validation loss has stopped.", step=900,
    evidence=(Evidence("validation loss since epoch 25", "+0.0021", "0.0054"),),
    remedies=(Remedy("Train for fewer epochs.", "changes training", {"epochs": 25}),),
)  # fmt: skip


def write_run(folder: Path, *, epochs: int = EPOCHS, findings: tuple[Finding, ...] = (DEAD, CONSTANT, GAP)) -> Path:
    """A completed run of a small network on ten classes, without test measures."""
    store = Store(folder / FILE, create=True)
    store.put(facts(folder.name, epochs))
    store.add_readings([*probe_readings(), *epoch_readings(epochs), *layer_readings(epochs)])
    store.put_findings(findings)
    return folder


def facts(name: str, epochs: int) -> dict[str, Any]:
    plan = Plan(epochs=epochs, batch_size=32).to_json()
    plan["optimizer"] = {"name": "AdamW", "lr": 0.0032, "weight_decay": 0.01, "betas": [0.9, 0.999], "eps": 1e-08}
    plan["schedule"] = {"name": "WarmupCosine", "warmup": 0.05}
    plan |= {
        "preprocessing": "standardize",
        "target_scaling": "none",
        "clip_norm": None,
        "selection": "loss",
        "seed": 0,
    }
    return {
        "name": name,
        "created": "2026-11-23T01:30:00+00:00",
        "status": "completed",
        "seconds": 41.2,
        "verdict": "It learned: validation accuracy 98.3 % at epoch 28; 38 % of the units of relu2 died at step 404.",
        "model": {"name": "CNN", "num_parameters": 38282, "num_trainable": 38282},
        "layers": [{"place": p, "kind": k, "out": o, "parameters": n} for p, k, o, n in LAYERS],
        "data": {"description": "1,149/288 rows, 360 sealed", "columns": [f"pixel_{i}" for i in range(64)]},
        "split": {"rows": {"train": 1149, "validation": 288, "test": 360}, "method": "stratified", "seed": 0,
                  "summary": "stratified by class", "notes": [],
                  "classes": {str(k): {"train": 115, "validation": 29, "test": 36} for k in range(10)}},
        "task": {"kind": "multiclass", "classes": list(range(10)), "num_outputs": 10},
        "plan": plan,
        "decisions": [
            {"field": "optimizer", "value": "AdamW", "reason": "adapts the rate per weight; needs the least tuning"},
            {"field": "batch_size", "value": "32", "reason": "about 32 batches per epoch of 1,149 rows, 16 to 256"},
            {"field": "epochs", "value": str(epochs), "reason": "1,080 steps; about 2,500 are aimed at, in 15 to 60"},
            {"field": "optimizer.lr", "value": "0.0032", "reason": "a race of 9 rates; as good: 0.0018 to 0.0056"},
        ],
        "environment": {"thalweg": "0.1.0", "torch": "2.13.0", "python": "3.11.7", "device": "cpu", "threads": 2,
                        "platform": "Linux-6.1-x86_64"},
        "check": {"passed": ["INIT01", "LOSS01", "GRAD01"], "not_judged": ["DATA03"],
                  "facts": ["loss at start 2.31 (ln 10 = 2.30)", "overfits 64 rows in 38 steps"], "seconds": 1.9},
        "probe": {"passed": ["LR01"], "not_judged": [], "facts": ["rate 0.0032, as good: 0.0018 to 0.0056"],
                  "seconds": 6.2},
        "best": {"epoch": 28, "step": 28 * STEPS, "selection": "loss", "value": 0.0641},
        "num_steps": epochs * STEPS,
        "num_epochs": epochs,
        "seal": {"digest": "9f2c4e1a77b0", "openings": 0, "rows": 360},
        "source": {"file": "examples/digits.py", "name": "experiment", "sha256": "ab" * 32},
    }  # fmt: skip


def probe_readings() -> list[Reading]:
    rates = [1e-4 * 10 ** (k / 2) for k in range(9)]
    losses = [2.2, 1.9, 1.3, 0.7, 0.6, 0.9, 1.9, 3.5, math.inf]
    race = [Reading("race.loss", loss, place=f"{r:.3g}") for r, loss in zip(rates, losses, strict=True)]
    return [
        Reading("loss.initial", 2.31, low=2.27, high=2.35, count=512),
        Reading("loss.expected", math.log(10)),
        *race,
        Reading("race.rate", 0.0032, low=0.0018, high=0.0056),
        *(
            Reading(f"fit.{part}_{name}", value, step=1080, count=288)
            for part, name, value in (
                ("train", "loss", 0.031),
                ("train", "accuracy", 0.999),
                ("validation", "loss", 0.064),
                ("validation", "accuracy", 0.983),
            )
        ),
    ]


def epoch_readings(epochs: int) -> list[Reading]:
    noise = random.Random(0)
    readings = []
    for epoch in range(1, epochs + 1):
        step = epoch * STEPS
        loss = 2.3 * math.exp(-epoch / 5) + 0.03 + (0.4 if epoch == 12 else 0)
        for k in range(STEPS):
            at = 2.3 * math.exp(-(epoch - 1 + k / STEPS) / 5) + 0.03
            readings.append(Reading("train.batch_loss", at * noise.uniform(0.7, 1.4), step=step - STEPS + k + 1))
        readings += [
            Reading("train.loss", loss, step=step, count=1149),
            Reading("validation.loss", loss * 1.1 + 0.03, step=step, count=288),
            Reading("validation.accuracy", 1 - 0.9 * math.exp(-epoch / 4) - 0.017, step=step, count=288),
            Reading("rate", 0.0032 * (1 + math.cos(math.pi * epoch / epochs)) / 2, step=step),
            Reading("gradient.norm", 1.9 * noise.uniform(0.5, 1.5) + (40 if epoch == 12 else 0), step=step),
            Reading("update.ratio", 1.1e-3 * noise.uniform(0.8, 1.2), step=step),
            Reading("rows_per_second", 8412 * noise.uniform(0.95, 1.05), step=step),
            Reading("epoch.seconds", 0.137, step=step),
        ]
    return readings


def layer_readings(epochs: int) -> list[Reading]:
    noise = random.Random(1)
    readings = []
    for step in [0, 1, 2, 3, 5, 8, 12, 18, 27, 40, 60, *range(90, epochs * STEPS, 90)]:
        for depth, (place, kind, _, parameters) in enumerate(LAYERS):
            dying = place == "relu2" and step >= 404
            readings += [
                Reading("activation.mean", 0.4 if kind == "ReLU" else 0.01, place=place, step=step, note=kind),
                Reading("activation.std", 0.9 * noise.uniform(0.9, 1.1), place=place, step=step, note=kind),
                Reading("gradient.rms", 10 ** (-2 - depth / 9 - step / 2000) * noise.uniform(0.5, 2)
                        * (0.05 if dying else 1), place=place, step=step),
            ]  # fmt: skip
            if kind == "ReLU":
                readings.append(Reading("activation.dead", 0.38 if dying else 0.01, place=place, step=step))
                readings.append(Reading("activation.zero", 0.7 if dying else 0.5, place=place, step=step))
            if parameters:
                readings.append(Reading("update.ratio", 1e-3 * noise.uniform(0.5, 2), place=place, step=step))
    return readings


def measure(name: str, value: float, half: float, method: str = "Wilson", note: str = "", count: int = 360) -> Measure:
    return Measure(name, value, value - half, min(1.0, value + half / 2), method, count, note)


def ten_classes() -> Result:
    """Measures of a good network on 360 rows of ten classes; class 8 is mistaken for 1 now and then."""
    confusion = [[36 if true == predicted else 0 for predicted in range(10)] for true in range(10)]
    for true, predicted, rows in ((8, 1, 3), (9, 5, 1), (4, 9, 1)):
        confusion[true][true] -= rows
        confusion[true][predicted] += rows
    right = [row[k] / sum(row) for k, row in enumerate(confusion)]
    per_class = [
        ClassRow(
            str(k), 36, measure("precision", 0.97, 0.05), measure("recall", right[k], 0.07), measure("f1", 0.975, 0.05)
        )
        for k in range(10)
    ]
    curves = [
        Curve("roc", (0, 0, 0.01 * k, 1), (0, 0.9, 1, 1), "false positive rate", "true positive rate", str(k))
        for k in range(10)
    ]
    measures = (
        measure("accuracy", 355 / 360, 0.018),
        measure("balanced_accuracy", 0.9861, 0.019, "score interval of the mean of 10 proportions"),
        measure("f1", 0.9859, 0.02, "bootstrap of rows"),
        Measure("log_loss", 0.0641, 0.031, 0.112, "bootstrap of rows", 360),
        Measure("auc", math.nan, note="undefined: class 3 has no test row", count=0),
    )
    matrix = tuple(tuple(row) for row in confusion)
    return Result(
        "multiclass", 360, measures, (*curves, reliability()), tuple(map(str, range(10))), matrix, tuple(per_class)
    )


def two_classes() -> Result:
    """Measures of a middling classifier with a threshold."""
    points = [k / 40 for k in range(41)]
    curves = (
        Curve("roc", tuple(points), tuple(p**0.35 for p in points), "false positive rate", "true positive rate"),
        Curve("precision_recall", tuple(points), tuple(1 - 0.6 * p**3 for p in points), "recall", "precision"),
        reliability(),
    )
    measures = (
        measure("accuracy", 0.89, 0.03),
        measure("auc", 0.912, 0.02, "DeLong"),
        measure("f1", 0.61, 0.05, "delta"),
    )
    rows = tuple(
        ClassRow(name, n, measure("precision", 0.6, 0.1), measure("recall", 0.7, 0.1), measure("f1", 0.65, 0.1))
        for name, n in (("no", 318), ("yes", 42))
    )
    cut = Threshold(-0.4, "logits", "validation", "f1", 0.63, 288)
    return Result("binary", 360, measures, curves, ("no", "yes"), ((290, 28), (12, 30)), rows, cut)


def numbers() -> Result:
    """Measures of a regression."""
    noise = random.Random(2)
    true = sorted(noise.uniform(0, 5) for _ in range(150))
    curve = Curve(
        "predicted", tuple(true), tuple(t + noise.gauss(0, 0.4) for t in true), "true value", "predicted value"
    )
    measures = (
        measure("r2", 0.81, 0.03, "bootstrap of rows"),
        Measure("rmse", 0.487, 0.45, 0.52, "bootstrap of rows", 360),
    )
    return Result("regression", 360, measures, (curve,))


def reliability() -> Curve:
    x = (0.05, 0.15, 0.25, 0.45, 0.65, 0.85, 0.97)
    y = (0.03, 0.2, 0.22, 0.5, 0.6, 0.9, 0.98)
    low, high = tuple(v - 0.03 for v in y), tuple(min(1.0, v + 0.06) for v in y)
    return Curve("reliability", x, y, "predicted probability", "observed frequency", low=low, high=high)


def add_result(folder: Path, result: Result, *, openings: int = 1) -> Path:
    """The run after its evaluation."""
    store = Store(folder / FILE)
    store.put(
        {"result": result.to_json(), "seal": {"digest": "9f2c4e1a77b0", "openings": openings, "rows": result.count}}
    )
    return folder

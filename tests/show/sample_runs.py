"""Stores of runs that never took place, filled with plausible readings, for everything that draws a run."""

import math
import random
from pathlib import Path
from typing import Any

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
    store.add_findings(findings)
    return folder


def facts(name: str, epochs: int) -> dict[str, Any]:
    plan = Plan(epochs=epochs, batch_size=32).to_json()
    plan["optimizer"] = {"name": "AdamW", "lr": 0.0032, "weight_decay": 0.01, "betas": [0.9, 0.999], "eps": 1e-08}
    plan["schedule"] = {"name": "WarmupCosine", "warmup": 0.05}
    plan |= {"preprocessing": "standardize", "target_scaling": "none", "clip_norm": None, "selection": "loss", "seed": 0}
    return {
        "name": name,
        "created": "2026-11-23T01:30:00+00:00",
        "status": "completed",
        "seconds": 41.2,
        "verdict": "It learned: validation accuracy 98.3 % at epoch 28; 38 % of the units of relu2 died at step 404.",
        "model": {"name": "CNN", "num_parameters": 38282, "num_trainable": 38282},
        "layers": [{"place": p, "kind": k, "out": o, "parameters": n} for p, k, o, n in LAYERS],
        "data": {"description": "1,149/288 rows, 360 sealed", "columns": [f"pixel_{i}" for i in range(64)]},
        "split": {"train": 1149, "validation": 288, "test": 360, "how": "stratified by class", "seed": 0},
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
                Reading("gradient.rms", 10 ** (-2 - depth / 9 - step / 2000) * noise.uniform(0.5, 2) * (0.05 if dying else 1),
                        place=place, step=step),
            ]  # fmt: skip
            if kind == "ReLU":
                readings.append(Reading("activation.dead", 0.38 if dying else 0.01, place=place, step=step))
                readings.append(Reading("activation.zero", 0.7 if dying else 0.5, place=place, step=step))
            if parameters:
                readings.append(Reading("update.ratio", 1e-3 * noise.uniform(0.5, 2), place=place, step=step))
    return readings

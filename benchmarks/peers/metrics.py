"""A step's update of accuracy, precision, recall, F1 and the confusion matrix beside torchmetrics; streaming AUC too.

    OMP_NUM_THREADS=1 .bench/bin/python benchmarks/peers/metrics.py

Both get the same batches of logits, one of each in turn; times are medians of the process's CPU time over blocks of 50
updates, one thread. torchmetrics' collection shares one state among the four scores (its compute groups); `unchecked`
has its look at the values, `validate_args`, switched off.
"""

import platform
import time
from collections.abc import Callable
from statistics import median
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics import MetricCollection
from torchmetrics import classification as theirs

from thalweg.parts.metrics import Confusion, Ranking

UPDATES, ROUNDS = 50, 15


def collection(num_classes: int, *, checked: bool) -> MetricCollection:
    named = {"num_classes": num_classes, "validate_args": checked}
    return MetricCollection(
        {
            "accuracy": theirs.MulticlassAccuracy(average="micro", **named),
            "precision": theirs.MulticlassPrecision(average="macro", **named),
            "recall": theirs.MulticlassRecall(average="macro", **named),
            "f1": theirs.MulticlassF1Score(average="macro", **named),
            "confusion": theirs.MulticlassConfusionMatrix(**named),
        }
    )


def times(forms: dict[str, Callable[[], Any]], updates: int = UPDATES, rounds: int = ROUNDS) -> dict[str, float]:
    """The median CPU seconds of an update, a block of each in turn."""
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for update in forms.values():
        update()
        update()
    for _ in range(rounds):
        for name, update in forms.items():
            began = time.process_time()
            for _ in range(updates):
                update()
            taken[name].append((time.process_time() - began) / updates)
    return {name: median(values) for name, values in taken.items()}


def batch(rows: int, num_classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(rows, num_classes, generator=generator), torch.randint(num_classes, (rows,), generator=generator)


def updates() -> None:
    print("\n| update, µs | thalweg | torchmetrics | unchecked | ratio | unchecked |\n|---|---|---|---|---|---|")
    for num_classes in (10, 100):
        for rows in (64, 256, 1024):
            one_update(rows, num_classes)


def one_update(rows: int, num_classes: int) -> None:
    output, target = batch(rows, num_classes)
    ours = Confusion(num_classes)
    checked, unchecked = (collection(num_classes, checked=checked) for checked in (True, False))
    taken = times(
        {
            "ours": lambda: ours.update(output, target),
            "checked": lambda: checked.update(output, target),
            "unchecked": lambda: unchecked.update(output, target),
        }
    )
    assert torch.equal(
        Confusion(num_classes).update(output, target).matrix(),
        theirs.MulticlassConfusionMatrix(num_classes)(output, target),
    )
    each = " | ".join(f"{seconds * 1e6:.0f}" for seconds in taken.values())
    ratios = " | ".join(f"{taken[name] / taken['ours']:.1f}×" for name in ("checked", "unchecked"))
    print(f"| {rows} rows, {num_classes} classes | {each} | {ratios} |")


def areas() -> None:
    generator = torch.Generator().manual_seed(0)
    target = torch.randint(2, (10**6,), generator=generator)
    score = torch.randn(10**6, generator=generator) + target
    p = score.sigmoid()

    def of(metric: Any, *rows: Tensor) -> Any:
        metric.update(*rows)
        return metric.compute()

    taken = times(
        {
            "ours": lambda: of(Ranking(), score, target),
            "exact": lambda: of(theirs.BinaryAUROC(), p, target),
            "200 thresholds": lambda: of(theirs.BinaryAUROC(thresholds=200), p, target),
        },
        updates=1,
        rounds=5,
    )
    shown = ", ".join(f"torchmetrics {name} {taken[name] / taken['ours']:.1f}×" for name in ("exact", "200 thresholds"))
    print(f"\nAUC of a million scores, streamed: {taken['ours'] * 1e3:.1f} ms; {shown} its time.")


def main() -> None:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, torchmetrics {torchmetrics.__version__}, {platform.machine()}, one thread")
    updates()
    areas()


if __name__ == "__main__":
    main()

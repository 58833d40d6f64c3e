"""The recipe: decides what a plan leaves at `"auto"`, each choice with its reason.

The rate is not decided here: `thalweg.probes.rate_race` measures it. Figures behind the choices: docs/design.md.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.images import GuardedImages
from thalweg.data.rows import AnyRows, DatasetRows, Rows, take, tensors_of
from thalweg.data.sample import spread
from thalweg.data.stored import GuardedArrays
from thalweg.data.task import CLASSES, Task
from thalweg.parts.optimizers import Muon, ScheduleFree
from thalweg.parts.schedules import Schedule, Warmup
from thalweg.plan import AUTOMATIC, Plan
from thalweg.train.step import undecayed

STEPS = 2500  # of a training, where the epochs' limits allow
EPOCHS = (15, 60)
BATCH = (16, 256)
BATCHES_PER_EPOCH = 32
EVEN = 0.5  # classes are even while the smallest has at least this much of its even share
CLIPPED = (nn.RNNBase, nn.RNNCellBase, nn.MultiheadAttention)


@dataclass(frozen=True)
class Decision:
    """An automatic choice: the plan's field, its value as text, the reason."""

    field: str
    value: str
    reason: str


def resolve(
    plan: Plan,
    *,
    rows: AnyRows,
    task: Task,
    network: nn.Module,
    loss_name: str | None,
    metrics: Sequence[str],
    table: bool,
    seed: int,
) -> tuple[Plan, list[Decision]]:
    """The plan with every `"auto"` field but the rate decided, and the reasons.

    Args:
        plan: as the user gave it.
        rows: the training rows, raw.
        task: kind of task and classes.
        network: the network that will be trained; only its structure is read.
        loss_name: name of the loss; None for a function of the user's own.
        metrics: names of what is measured on the validation rows.
        table: whether the inputs are an encoded table, which is always prepared.
        seed: the experiment's.
    """
    batch_size = plan.batch_size if isinstance(plan.batch_size, int) else batch_size_for(len(rows))
    choices: dict[str, Callable[[], tuple[Any, str]]] = {
        "optimizer": lambda: (AUTOMATIC["optimizer"], "adapts the rate per weight; needs the least tuning"),
        "batch_size": lambda: (
            batch_size,
            f"about {BATCHES_PER_EPOCH} batches an epoch, {BATCH[0]} to {BATCH[1]} rows",
        ),
        "epochs": lambda: epochs_for(len(rows), batch_size),
        "schedule": lambda: schedule_for(plan),
        "preprocessing": lambda: preprocessing_for(rows, network, table),
        "target_scaling": lambda: target_scaling_for(rows.target, task, loss_name),
        "clip_norm": lambda: clip_norm_for(network),
        "precision": lambda: precision_for(network),
        "selection": lambda: selection_for(rows.target, task, metrics),
        "seed": lambda: (seed, "the experiment's"),
    }
    decided = {name: choose() for name, choose in choices.items() if getattr(plan, name) == "auto"}
    decisions = [Decision(name, text(value), reason) for name, (value, reason) in decided.items()]
    return plan.replace(**{name: value for name, (value, _) in decided.items()}), decisions


def schedule_for(plan: Plan) -> tuple[Schedule, str]:
    if isinstance(plan.optimizer, ScheduleFree):
        return Warmup(), "an average of the weights takes the place of a falling rate"
    return AUTOMATIC["schedule"], "a high rate first, then down to 0 (L27)"


def told_of(plan: Plan, network: nn.Module) -> list[Decision]:
    """What the optimizer does with some of the network's tensors: who moves them, and which no decay reaches."""
    optimizer, found = plan.optimizer, []
    assert optimizer != "auto"
    if isinstance(optimizer, Muon):
        first, *rest = optimizer.describe_routing(network).splitlines()
        found.append(Decision("optimizer.route", first, "; ".join(rest) or "there is nothing else"))
    spared = undecayed(network)
    count = sum(p.requires_grad and id(p) in spared for p in network.parameters())
    if optimizer.weight_decay and count and not plan.decay_all:
        reason = f"not on biases, norms and embeddings, {count} tensors here (L29); decay_all=True does"
        found.append(Decision("optimizer.weight_decay", f"{optimizer.weight_decay:g}", reason))
    return found


def text(value: object) -> str:
    """A value as a person reads it: a part by its name."""
    return type(value).__name__ if hasattr(value, "__dataclass_fields__") else str(value)


def batch_size_for(num_rows: int) -> int:
    """A power of two near rows / 32, lowered where a last batch of one row would remain (batch norm fails on it)."""
    low, high = BATCH
    size: int = min(max(2 ** round(math.log2(max(num_rows / BATCHES_PER_EPOCH, 1))), low), high)
    while size > 2 and num_rows % size == 1:
        size -= 1
    return size


def epochs_for(num_rows: int, batch_size: int) -> tuple[int, str]:
    per_epoch = math.ceil(num_rows / batch_size)
    epochs = min(max(round(STEPS / per_epoch), EPOCHS[0]), EPOCHS[1])
    return epochs, f"{epochs * per_epoch:,} steps; about {STEPS:,} are aimed at, in {EPOCHS[0]} to {EPOCHS[1]} epochs"


def preprocessing_for(rows: AnyRows, network: nn.Module, table: bool) -> tuple[str, str]:
    if table:
        return "standardize", "columns of a table have units of their own"
    if rows.step is not None:
        return "none", "a step of your own gets the inputs as they are, which it may also predict"
    if isinstance(rows, DatasetRows) and isinstance(rows.dataset, GuardedArrays | GuardedImages):
        rows = spread(rows, 256)
    if not isinstance(rows, Rows):
        return "none", "a Dataset prepares its own items"
    numeric = [v for v in tensors_of(rows.inputs) if is_numeric(v)]
    if not numeric:
        return "none", "the inputs are indices"
    if why := trained_before(network):
        return "none", f"{why}: its inputs are taken to be as it knows them"
    some = torch.linspace(0, len(rows) - 1, min(2000, len(rows))).long()
    sample = [v.double() for v in tensors_of(take(rows.inputs, some)) if is_numeric(v)]
    if all(is_standard(v) for v in sample):
        return "none", "the inputs have mean 0 and deviation 1 already"
    return "standardize", "the inputs have a mean or a deviation far from 0 and 1"


def is_numeric(value: Tensor) -> bool:
    """Floats and bytes are quantities; other integers are indices."""
    return value.is_floating_point() or value.dtype.itemsize == 1


def is_standard(value: Tensor) -> bool:
    return bool(value.mean().abs() < 0.1) and 0.8 < float(value.std(correction=0)) < 1.25


def trained_before(network: nn.Module) -> str:
    """Why a network looks trained: norms that have seen batches, or frozen parameters. Empty when it does not."""
    if any(int(b) > 0 for name, b in network.named_buffers() if name.endswith("num_batches_tracked")):
        return "the network's batch norms have seen data"
    if any(not p.requires_grad for p in network.parameters()):
        return "parts of the network are frozen"
    return ""


def target_scaling_for(target: Tensor, task: Task, loss_name: str | None) -> tuple[str, str]:
    if task.kind != "regression":
        return "none", "the target is a class"
    if loss_name is None:
        return "none", "the loss is your own, and may depend on the target's unit"
    if is_standard(target.double()):
        return "none", "the target has mean 0 and deviation 1 already"
    return "standardize", "a target far from mean 0 and deviation 1 makes the start slow; predictions come in your unit"


def clip_norm_for(network: nn.Module) -> tuple[float | None, str]:
    if any(isinstance(m, CLIPPED) for m in network.modules()):
        return 1.0, "recurrent and attention layers have rare, very large gradients"
    return None, "nothing in the network calls for it"


def precision_for(network: nn.Module) -> tuple[str, str]:
    device = next(network.parameters()).device
    if device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16", "the GPU computes it at a multiple of float32's speed; weights and updates stay float32"
    return "float32", "the device gains nothing by less"


def are_even(target: Tensor) -> bool:
    """Whether no class is much rarer than the others."""
    counts = torch.unique(target.long(), return_counts=True)[1]
    return int(counts.min()) * len(counts) >= EVEN * int(counts.sum())


def selection_for(target: Tensor, task: Task, metrics: Sequence[str]) -> tuple[str, str]:
    """Accuracy for even classes: cross-entropy may rise while accuracy still does (L42); else the loss."""
    shown = next((name for name in metrics if name in ("accuracy", "balanced_accuracy")), None)
    if task.kind not in CLASSES or shown is None:
        return "loss", "the smoothest measure on the validation rows"
    if not are_even(target):
        return "loss", "the classes are uneven, and accuracy would favor the large ones"
    return shown, "it may still rise when the loss no longer falls (L42)"

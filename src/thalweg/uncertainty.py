"""A run's predictions averaged over draws of its network's dropout (L31)."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from thalweg.data.feeder import Feeder
from thalweg.data.seeds import mix
from thalweg.errors import UsageError
from thalweg.parts.regularizers.mc_dropout import Uncertainty, joined, monte_carlo
from thalweg.predictions import class_outputs, class_probabilities, rows_of
from thalweg.saved import BATCH_NUMBERS, BATCH_ROWS

if TYPE_CHECKING:
    from thalweg.run import Run


def predict_uncertainty(run: "Run", x: Any, *, samples: int, seed: int) -> Uncertainty:
    """Monte-Carlo dropout on raw inputs: probabilities of classes, or values in the target's unit."""
    rows, model = rows_of(run, x), run.model
    if rows.step is not None:
        raise UsageError(
            "This run has a step of its own, which is not sampled. Call tw.regularizers.monte_carlo(run.network, "
            "inputs)."
        )
    task, output, scores = class_outputs(run, x)
    size = max(1, min(BATCH_ROWS, BATCH_NUMBERS // max(1, output[:1].numel())))

    def probabilities(output: Tensor) -> Tensor:
        found = class_probabilities(output, task.kind, scores, run.store.get("class_dim"))
        return torch.stack([1 - found, found], -1) if task.kind == "multilabel" else found

    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    feeder = Feeder(rows, batch_size=size, seed=0, shuffle=False, device=device)
    parts = [
        monte_carlo(
            model,
            inputs,
            samples=samples,
            seed=mix(seed, number),
            probabilities=None if task.kind == "regression" else probabilities,
            rows_at_once=size,
        )
        for number, (inputs, _) in enumerate(feeder.epoch(0))
    ]
    found = joined(parts)
    return replace(found, mean=found.mean[..., 1], std=found.std[..., 1]) if task.kind == "multilabel" else found

"""thalweg takes a PyTorch network through the whole of being trained well.

    import thalweg as tw

    experiment = tw.Experiment(build_model, train=(x, y), loss="cross_entropy")
    print(experiment.check())
    run = experiment.train()
    result = experiment.evaluate(run)
    run.report("report.html")

The public names are loaded when they are first used, so that importing thalweg does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thalweg.build import Spec
    from thalweg.data.windows import windows
    from thalweg.evaluate.measures import evaluate_outputs
    from thalweg.evaluate.threshold import choose_threshold
    from thalweg.experiment import Experiment
    from thalweg.findings import Finding
    from thalweg.fold import fold_batch_norm
    from thalweg.initialization import initialize
    from thalweg.parts import (
        activations,
        augmentations,
        averaging,
        initializers,
        metrics,
        normalization,
        optimizers,
        preprocessing,
        regularizers,
        schedules,
    )
    from thalweg.plan import Plan
    from thalweg.readings import Reading
    from thalweg.run import Run
    from thalweg.watched import watch

__version__ = "0.1.0"
__all__ = [
    "Experiment",
    "Finding",
    "Plan",
    "Reading",
    "Run",
    "Spec",
    "activations",
    "augmentations",
    "averaging",
    "choose_threshold",
    "evaluate_outputs",
    "fold_batch_norm",
    "initialize",
    "initializers",
    "metrics",
    "normalization",
    "optimizers",
    "preprocessing",
    "regularizers",
    "schedules",
    "watch",
    "windows",
]

HOMES = {
    "Experiment": "thalweg.experiment",
    "Finding": "thalweg.findings",
    "Plan": "thalweg.plan",
    "Reading": "thalweg.readings",
    "Run": "thalweg.run",
    "Spec": "thalweg.build",
    "fold_batch_norm": "thalweg.fold",
    "initialize": "thalweg.initialization",
    "choose_threshold": "thalweg.evaluate.threshold",
    "evaluate_outputs": "thalweg.evaluate.measures",
    "watch": "thalweg.watched",
    "windows": "thalweg.data.windows",
}
FAMILIES = (
    "activations",
    "augmentations",
    "averaging",
    "initializers",
    "metrics",
    "normalization",
    "optimizers",
    "preprocessing",
    "regularizers",
    "schedules",
)


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(import_module(HOMES[name]), name)
    if name in FAMILIES:
        return import_module(f"thalweg.parts.{name}")
    raise AttributeError(f"module 'thalweg' has no attribute {name!r}; it has: {', '.join(__all__)}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]

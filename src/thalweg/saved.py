"""A run's trained model: loaded with its weights, asked for predictions, exported."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from thalweg.data.feeder import Feeder
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, Rows, call, num_rows
from thalweg.data.task import Task
from thalweg.errors import ModelError, StoreError, UsageError
from thalweg.parts.metrics.forms import Scores, binary_scores, neutral
from thalweg.parts.preprocessing.standardize import TargetScale, restore
from thalweg.parts.preprocessing.table import TablePreprocessing
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.evaluation import evaluating, join
from thalweg.train.model import Model

if TYPE_CHECKING:
    from thalweg.experiment import Experiment
    from thalweg.run import Run
    from thalweg.setup import Setup

BATCH_ROWS = 1024
CHECKPOINTS = "checkpoints"


def save_preparation(folder: Path, preprocessing: nn.Module | None, scaling: TargetScale | None) -> None:
    """Writes what was fitted on the training rows beside the weights."""
    parts = {"inputs": preprocessing, "target": scaling}
    state = {
        f"{name}.{key}": value
        for name, part in parts.items()
        if part is not None
        for key, value in part.state_dict().items()
    }
    form = getattr(preprocessing, "form", None)
    facts = {
        "inputs": "table" if isinstance(preprocessing, TablePreprocessing) else form,
        "target": scaling is not None,
    }
    save_checkpoint(folder / CHECKPOINTS, "preparation", state, facts)


def load_preparation(folder: Path, spec: InputSpec) -> tuple[nn.Module | None, TargetScale | None]:
    """What `save_preparation` wrote."""
    state, facts = load_checkpoint(folder / CHECKPOINTS, "preparation")
    own = {
        part: {k.removeprefix(f"{part}."): v for k, v in state.items() if k.startswith(f"{part}.")}
        for part in ("inputs", "target")
    }
    preprocessing: nn.Module | None = None
    if facts["inputs"] == "table":
        assert spec.table is not None
        preprocessing = TablePreprocessing(spec.table)
        preprocessing.load_state_dict(own["inputs"])
    elif facts["inputs"] is not None:
        preprocessing = restore(own["inputs"], facts["inputs"])
    scaling = None
    if facts["target"]:
        scaling = TargetScale(own["target"]["mean"], own["target"]["scale"])
        scaling.load_state_dict(own["target"])
    return preprocessing, scaling


def load_model(
    run: "Run", experiment: "Experiment | None", setup: "Setup | None", network: nn.Module | None
) -> nn.Module:
    """The run's model: just trained (`setup`), or built again and given the saved weights."""
    if setup is not None:
        return Model(setup.network, setup.preprocessing, setup.target_scaling).eval()
    if network is not None:
        network = clone(network)
    elif experiment is not None:
        network = experiment._set_up(run.plan).network.cpu()
    else:
        raise UsageError(
            f"The code of the network of {run.name} is not stored, only its weights. Open the run with "
            "experiment.open(name), or with Run.open(path, network=...) and a module of the same architecture."
        )
    load_weights(run, network)
    preprocessing, scaling = load_preparation(run.directory, InputSpec.from_json(run.store.get("inputs")))
    return Model(network, preprocessing, scaling).eval()


def load_weights(run: "Run", network: nn.Module) -> None:
    """Puts the weights that the run kept into the network. Raises `StoreError` where they do not fit."""
    folder = run.directory / CHECKPOINTS
    if run.plan.keep == "best" and (folder / "best.json").is_file():
        weights = load_checkpoint(folder, "best")[0]
    else:
        state = load_checkpoint(folder, "last")[0]
        weights = {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")}
    own = tensors(network)
    wrong = sorted(own.keys() ^ weights.keys()) + [k for k in own if k in weights and own[k].shape != weights[k].shape]
    if wrong:
        raise StoreError(
            f"The weights of {run.name} do not fit {type(network).__name__}; they differ in {wrong[:6]}. "
            "Open the run with the network it was trained with."
        )
    set_tensors(network, weights)


def outputs_of(model: nn.Module, rows: AnyRows) -> tuple[Any, Tensor]:
    """Outputs of the whole model, and the targets as the data have them, on the CPU."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    outputs, targets = [], []
    with evaluating(model):
        for inputs, target in Feeder(rows, batch_size=BATCH_ROWS, seed=0, shuffle=False, device=device).epoch(0):
            outputs.append(call(model, inputs))
            targets.append(target)
    return to_cpu(join(outputs)), torch.cat(targets).cpu()


def to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return {k: to_cpu(v) for k, v in value.items()} if isinstance(value, dict) else tuple(map(to_cpu, value))


def raw_outputs(run: "Run", x: Any) -> Any:
    inputs = InputSpec.from_json(run.store.get("inputs")).encode(x)
    count = num_rows(inputs)
    return outputs_of(run.model, Rows(inputs, torch.zeros(count), torch.arange(count), "test"))[0]


def scores_of(loss_name: str | None, output: Any) -> Scores:
    """What a classifier's outputs hold: logits under a named loss; under the user's own what they look like."""
    if loss_name is not None or not isinstance(output, Tensor):
        return "logits"
    shares = bool(((output >= 0) & (output <= 1)).all())
    sums = output.sum(1) if output.dim() > 1 and output.shape[1] > 1 else output.new_ones(1)
    return "probabilities" if shares and torch.allclose(sums, torch.ones_like(sums), atol=1e-4) else "logits"


def class_outputs(run: "Run", x: Any) -> tuple[Task, Tensor, Scores]:
    task = Task.from_json(run.store.get("task"))
    output = raw_outputs(run, x)
    return task, output, scores_of(run.store.get("loss"), output)


def probabilities(run: "Run", x: Any) -> Tensor:
    """`[N, classes]`. Outputs that are probabilities already are passed on."""
    task, output, scores = class_outputs(run, x)
    if task.kind == "regression":
        raise UsageError("A regression has no probabilities; run.predict(x) gives its values.")
    if output.dim() > 1 and output.shape[1] > 1:
        return output if scores == "probabilities" else output.softmax(1)
    positive = output.reshape(-1)
    positive = positive if scores == "probabilities" else positive.sigmoid()
    return torch.stack([1 - positive, positive], dim=1)


def predict(run: "Run", x: Any, threshold: float | None) -> NDArray[Any]:
    """Labels, or values in the target's unit."""
    task, output, scores = class_outputs(run, x)
    if threshold is not None and (task.kind != "binary" or not 0 < threshold < 1):
        raise UsageError(f"threshold={threshold!r} must be a probability between 0 and 1, of a binary task.")
    if task.kind == "regression":
        values: NDArray[Any] = output.float().numpy()
        return values
    if task.kind == "multiclass":
        index = output.argmax(1)
    else:
        result = run.result
        cut = result.threshold.value if result is not None and result.threshold is not None else neutral(scores)
        if threshold is not None:
            cut = threshold if scores == "probabilities" else math.log(threshold / (1 - threshold))
        index = (binary_scores(output, scores) > cut).long()
    labels: NDArray[Any] = np.asarray(task.classes)[index.numpy()]
    return labels


class Positional(nn.Module):
    """A model of named inputs as one of positional ones, in the order of the names, as torch.export needs it."""

    def __init__(self, model: nn.Module, names: tuple[str, ...]) -> None:
        super().__init__()
        self.model, self.names = model, names

    def forward(self, *inputs: Tensor) -> Any:
        return self.model(**dict(zip(self.names, inputs, strict=True)))


def export(run: "Run", path: Path) -> Path:
    """Writes the model as a torch.export program with a free number of rows; a dict's entries become positional."""
    spec = InputSpec.from_json(run.store.get("inputs"))
    example = [
        torch.zeros(2, *shape, dtype=getattr(torch, dtype))
        for shape, dtype in zip(spec.shapes, spec.dtypes, strict=True)
    ]
    model = clone(run.model).cpu().eval()
    if spec.form == "dict":
        model = Positional(model, spec.names)
    dynamic = {"inputs": tuple({0: torch.export.Dim("rows", min=1)} for _ in example)}
    try:
        program = torch.export.export(model, tuple(example), dynamic_shapes=dynamic)
    except Exception as error:
        raise ModelError(
            f"torch.export could not trace {type(run.network).__name__} ({type(error).__name__}: {error}). "
            "The weights are in the run's folder as safetensors; run.model is the module itself."
        ) from error
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.export.save(program, path)
    return path

"""A run's trained model: loaded with its weights, measured, exported."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thalweg.alter import alter
from thalweg.build import uncompiled
from thalweg.data.feeder import Feeder
from thalweg.data.inputs import InputSpec
from thalweg.data.rows import AnyRows, StepOutput, call
from thalweg.data.task import Task
from thalweg.errors import ModelError, StoreError, UsageError
from thalweg.evaluate.estimates import undefined
from thalweg.evaluate.measures import evaluate_outputs, measure_positions
from thalweg.evaluate.own import measure_own
from thalweg.evaluate.result import Result, Threshold
from thalweg.parts.activations.recognize import is_activation
from thalweg.parts.metrics import metric
from thalweg.parts.metrics.forms import Scores
from thalweg.parts.metrics.per_position import row_sums
from thalweg.parts.preprocessing.modules.fitted import Fitted
from thalweg.parts.preprocessing.modules.restore import restore, restore_former_table, under
from thalweg.train.checkpoint import load_checkpoint, save_checkpoint
from thalweg.train.clone import clone, set_tensors, tensors
from thalweg.train.evaluation import evaluating, join
from thalweg.train.layout import use_layout
from thalweg.train.model import Model

if TYPE_CHECKING:
    from thalweg.experiment import Experiment
    from thalweg.run import Run
    from thalweg.setup import Setup

BATCH_ROWS = 1024
OWN_BATCHES = 32  # whose losses tell the spread of a step's own loss
BATCH_NUMBERS = 2**24  # of the outputs of a batch: 64 MiB
CHECKPOINTS = "checkpoints"
ORIGINAL = "parametrizations.weight.original"  # ends the name of a weight that a plan's normalization is put on
TOO_LARGE = "not measured here: the outputs of all positions at once would be too large"


def save_preparation(folder: Path, preprocessing: nn.Module | None, scaling: Fitted | None) -> None:
    """Writes what was fitted on the training rows beside the weights: tensors, and the modules' form as JSON."""
    parts = {"inputs": preprocessing, "target": scaling}
    state = {
        f"{name}.{key}": value
        for name, part in parts.items()
        if part is not None
        for key, value in part.state_dict().items()
    }
    facts = {name: None if part is None else part.form for name, part in parts.items()}
    save_checkpoint(folder / CHECKPOINTS, "preparation", state, facts)


def load_preparation(folder: Path, spec: InputSpec) -> tuple[nn.Module | None, Fitted | None]:
    """What `save_preparation` wrote, now or when inputs and targets could only be standardized."""
    state, facts = load_checkpoint(folder / CHECKPOINTS, "preparation")
    inputs, target = facts["inputs"], facts["target"]
    preprocessing: nn.Module | None = None
    if inputs == "table":
        assert spec.table is not None
        preprocessing = restore_former_table(under(state, "inputs."), spec.table)
    elif inputs is not None:
        preprocessing = restore(under(state, "inputs."), inputs)
    if isinstance(target, bool):
        target = {"module": "TargetScale"} if target else None
    return preprocessing, None if target is None else restore(under(state, "target."), target)


def load_model(
    run: "Run", experiment: "Experiment | None", setup: "Setup | None", network: nn.Module | None
) -> nn.Module:
    """The run's model: just trained (`setup`), or built again and given the saved weights."""
    if setup is not None:
        return Model(setup.network, setup.preprocessing, setup.target_scaling).eval()
    weights = kept_weights(run)
    if network is not None:
        network = clone(uncompiled(network))
        alter(
            network,
            run.plan,
            built_with_activation=run.store.get("builder_takes_activation", False),
            originals={k.removesuffix(ORIGINAL).rstrip("."): v for k, v in weights.items() if k.endswith(ORIGINAL)},
        )
        require_same_activations(run, network)
    elif experiment is not None:
        network = experiment._with_rows_of(run.store)._set_up(run.plan).network.cpu()
    else:
        raise UsageError(
            f"The code of the network of {run.name} is not stored, only its weights. Open the run with "
            "experiment.open(name), or with Run.open(path, network=...) and a module of the same architecture."
        )
    load_weights(run, network, weights)
    preprocessing, scaling = load_preparation(run.directory, InputSpec.from_json(run.store.get("inputs")))
    return Model(network, preprocessing, scaling).eval()


def kept_weights(run: "Run") -> dict[str, Tensor]:
    """The weights that the run ended with, by name."""
    folder = run.directory / CHECKPOINTS
    best = (run.store.get("best") or {}).get("epoch") or (folder / "best.json").is_file()
    if run.plan.keep == "best" and best:
        return load_checkpoint(folder, "best")[0]
    state = load_checkpoint(folder, "last")[0]
    kept = "average." if any(k.startswith("average.") for k in state) else "network."
    return {k.removeprefix(kept): v for k, v in state.items() if k.startswith(kept)}


def require_same_activations(run: "Run", network: nn.Module) -> None:
    """Raises `StoreError` where an activation is not the run's, which the weights would not show."""
    trained = {layer["place"]: layer["kind"] for layer in run.store.get("layers", [])}
    for place, module in network.named_modules():
        kind = type(module).__name__
        if trained.get(place, kind) != kind and is_activation(module):
            raise StoreError(
                f"The network has {kind} at {place!r}, where {run.name} was trained with {trained[place]}. Open the "
                "run with the network it was trained with."
            )


def load_weights(run: "Run", network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Puts the weights into the network. Raises `StoreError` where they do not fit."""
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
    outputs, targets = zip(*batches_of(model, rows, BATCH_ROWS), strict=True)
    return to_cpu(join(list(outputs))), torch.cat(targets).cpu()


def batches_of(model: nn.Module, rows: AnyRows, size: int) -> Iterator[tuple[Any, Tensor]]:
    """Outputs and targets of the whole model, `size` rows at once; of a user's `step` those that it returned."""
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    network, transform = model, None
    if rows.step is not None and isinstance(model, Model):  # the step may know more of the network than its call
        network, transform = model.network, model.preprocessing
    feeder = Feeder(rows, batch_size=size, seed=0, shuffle=False, device=device, transform=transform)
    with evaluating(model):
        for inputs, target in feeder.epoch(0):
            output = call(network, inputs)
            if isinstance(output, StepOutput):
                yield answer_of(output, target)
            else:
                yield output, target


def answer_of(output: StepOutput, target: Tensor) -> tuple[Any, Tensor]:
    if output.output is None:
        raise UsageError(
            "step(model, batch) returned the loss alone, so there are no outputs to measure. Return "
            "(loss, output, target)."
        )
    return output.output, target if output.target is None else output.target


def few_rows(row: Tensor, task: Task) -> int:
    """How many rows to run at once: fewer where each of a row's positions, in `row`, has an output for every class."""
    numbers = row.numel() * task.num_outputs if task.kind == "per_position" else 1
    return max(1, min(BATCH_ROWS, BATCH_NUMBERS // numbers))


def to_cpu(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.cpu()
    return {k: to_cpu(v) for k, v in value.items()} if isinstance(value, dict) else tuple(map(to_cpu, value))


def measure_model(
    model: nn.Module,
    rows: AnyRows,
    task: Task,
    loss_name: str | None,
    threshold: Threshold | None,
    metrics: Sequence[str | Callable[[Any, Tensor], float]] = (),
    *,
    outputs: tuple[Any, Tensor] | None = None,
) -> Result:
    """Every measure of a whole model on rows, and the metrics asked for, with intervals; over groups where rows have
    them. `outputs` are those of `outputs_of`, where they are at hand already.
    """
    if task.kind == "own":
        return measure_own(*own_losses(model, rows, max(1, min(BATCH_ROWS, len(rows) // OWN_BATCHES))))
    if task.kind == "per_position":  # the outputs of all rows, a number per class of each position, would be too large
        batches = batches_of(model, rows, few_rows(rows.target[0], task))
        sums = [row_sums(output, target).cpu() for output, target in batches]
        result = measure_positions(torch.cat(sums), groups=rows.groups, seed=0, replicates=1000)
        asked = [m.name for m in (metric(name, task.kind) for name in metrics) if m.name not in result]
        left_out = tuple(undefined(name, TOO_LARGE, len(rows)) for name in asked)
        return replace(result, measures=(*result.measures, *left_out))
    output, target = outputs_of(model, rows) if outputs is None else outputs
    scores = scores_of(loss_name, output, labels=task.kind == "multilabel")
    names = tuple(map(str, task.targets if task.kind == "regression" else task.classes))
    return evaluate_outputs(
        output,
        target,
        kind=task.kind,
        scores=scores,
        threshold=threshold,
        classes=names,
        groups=rows.groups,
        metrics=metrics,
    )


def own_losses(model: nn.Module, rows: AnyRows, size: int) -> tuple[list[float], list[int]]:
    """The loss that the user's `step` gives of each batch, and its rows."""
    assert isinstance(model, Model)
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    feeder = Feeder(rows, batch_size=size, seed=0, shuffle=False, device=device, transform=model.preprocessing)
    losses, sizes = [], []
    with evaluating(model):
        for inputs, target in feeder.epoch(0):
            output = call(model.network, inputs)
            assert isinstance(output, StepOutput)
            losses.append(float(output.loss))
            sizes.append(len(target))
    return losses, sizes


def scores_of(loss_name: str | None, output: Any, *, labels: bool = False) -> Scores:
    """What a classifier's outputs hold: logits under a named loss; under the user's own what they look like.

    The probabilities of `labels` need not sum to 1.
    """
    if loss_name is not None or not isinstance(output, Tensor):
        return "logits"
    shares = bool(((output >= 0) & (output <= 1)).all())
    if labels:
        return "probabilities" if shares else "logits"
    sums = output.sum(1) if output.dim() > 1 and output.shape[1] > 1 else output.new_ones(1)
    return "probabilities" if shares and torch.allclose(sums, torch.ones_like(sums), atol=1e-4) else "logits"


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
    if spec.form in ("items", "batches"):
        raise UsageError(
            "An export has inputs of fixed shapes, and those of this run differ from batch to batch. Export run.model "
            "yourself with torch.export, its dynamic shapes named."
        )
    example = [
        torch.zeros(2, *shape, dtype=getattr(torch, dtype))
        for shape, dtype in zip(spec.shapes, spec.dtypes, strict=True)
    ]
    model = clone(run.model).cpu().eval()
    use_layout(model, torch.contiguous_format)  # torch.export.save warns of others
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

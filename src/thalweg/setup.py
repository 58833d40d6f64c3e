"""From data, model and plan to what the loop takes: preprocessing fitted, network built, batches, metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from thalweg.alter import alter, initialize_anew
from thalweg.augmenting import augmenter_of
from thalweg.build import ModelSource, build_network, rebuilt, spec_of, takes_activation, try_forward, try_loss
from thalweg.data.augmented import Augmenter
from thalweg.data.feeder import Feeder
from thalweg.data.loaders import together
from thalweg.data.noise import global_rng_kept
from thalweg.data.prepare import Prepared
from thalweg.data.rows import (
    AnyRows,
    Batch,
    BatchRows,
    DatasetRows,
    Inputs,
    Rows,
    StepOutput,
    StreamRows,
    call,
    is_divisible,
    is_pair,
    take,
)
from thalweg.data.sample import head, spread
from thalweg.data.task import OWN, Task, infer_task
from thalweg.data.unseen import require_outputs
from thalweg.data.workers import choose_workers, obstacle
from thalweg.errors import ModelError, UsageError
from thalweg.parts.metrics import Metric, metric
from thalweg.parts.metrics.forms import class_dim
from thalweg.parts.preprocessing import Preparation, Standardize, Table
from thalweg.parts.preprocessing.modules.affine import TargetScale
from thalweg.parts.preprocessing.modules.fitted import Fitted
from thalweg.parts.preprocessing.modules.table import TablePreprocessing
from thalweg.parts.preprocessing.modules.target import fit_target
from thalweg.plan import Plan
from thalweg.recipe import Decision, resolve, told_of
from thalweg.train.clone import clone
from thalweg.train.evaluation import evaluating
from thalweg.train.kept import KeptModule
from thalweg.train.layout import channels_last, choose_layout, has_images, use_layout
from thalweg.train.length import require_fitting_schedule
from thalweg.train.loop import gives_single_rows, single_rows_named
from thalweg.train.losses import LossFunction
from thalweg.train.recompute import blocks_of
from thalweg.train.smoothing import smoothed_loss

M = TypeVar("M", bound=nn.Module)
STEP_ROWS = 512  # on which a step of the user's own shows its targets
TRIAL_ROWS = 7  # on which network and loss are tried; with 2, a binary output [2, 2] would broadcast with a target [2]
EVALUATION_NUMBERS = 2**24  # of the outputs of a validation batch, at most: 64 MiB


@dataclass
class Setup:
    """Everything a training stands on: the run's own network, the plan (all but the rate decided) with its reasons."""

    network: nn.Module
    preprocessing: nn.Module | None
    target_scaling: Fitted | None
    metrics: Sequence[Metric]
    device: torch.device
    plan: Plan
    decisions: list[Decision]
    evaluation_rows: int = 1024  # of a validation batch at least: without gradients there is room for more
    class_dim: int | None = None  # of the outputs of a class per position: the last or 1
    # The network from another seed; None where a module was given, or the plan changed what a builder made.
    rebuild: Callable[[int], nn.Module] | None = None
    augment: Augmenter | None = None  # of the rows that are trained on

    @property
    def transform(self) -> Callable[[Inputs], Inputs] | None:
        """Raw inputs as the network takes them, in its layout; None where they are already."""
        if self.plan.memory_format != "channels_last":
            return self.preprocessing
        preprocessing = self.preprocessing
        return lambda inputs: channels_last(inputs if preprocessing is None else preprocessing(inputs))

    def feeder(self, rows: AnyRows, *, batch_size: int, seed: int, shuffle: bool = True, workers: int = 0) -> Feeder:
        """Batches of `rows` as the network takes them; shuffled ones are those trained on, and augmented."""
        return Feeder(
            rows,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            device=self.device,
            transform=self.transform,
            target_transform=self.target_scaling,
            workers=workers,
            augment=self.augment,
        )

    def held_out(self, rows: AnyRows, batch_size: int, workers: int = 0) -> Feeder:
        """The same for rows that are only measured on, in their order."""
        size = max(batch_size, self.evaluation_rows)
        return self.feeder(rows, batch_size=size, seed=0, shuffle=False, workers=workers)


def set_up(
    model: ModelSource,
    prepared: Prepared,
    plan: Plan,
    *,
    loss: LossFunction,
    loss_name: str | None,
    metrics: Sequence[str | Callable[[Any, Tensor], float]],
    device: torch.device,
    seed: int,
) -> Setup:
    """Builds the network, decides what the plan leaves open, fits the preprocessing and tries a few rows.

    Raises:
        ModelError: where the network does not take the data, naming the layer.
    """
    smoothed_loss(loss, plan.label_smoothing)  # that it can be
    chosen = [metric(name, prepared.task.kind) for name in metrics]
    require_selection(plan, [m.name for m in chosen])
    first = head(prepared.train, TRIAL_ROWS)
    table = None if prepared.table is None else fit_table(prepared, plan.preprocessing)
    raw = few(first, None)[0]
    refuse_scaling(plan, prepared.train, raw)
    preprocessing: nn.Module | None = table
    if table is None and isinstance(plan.preprocessing, Preparation):
        preprocessing = plan.preprocessing.fit(prepared.train)
    shaped = few(first, preprocessing)[0]  # "standardize" changes no shape
    own_seed = seed if plan.seed == "auto" else plan.seed
    spec = spec_of(shaped, prepared.task.num_outputs, () if table is None else table.sizes)
    network = build_network(model, spec, seed=int(own_seed), device=device, activation=plan.activation)
    plan, loaded = loaded_plan(plan, prepared.train)
    plan, decisions = resolve(
        plan,
        rows=prepared.train,
        task=prepared.task,
        network=network,
        loss_name=loss_name,
        metrics=tuple(m.name for m in chosen),
        table=table is not None,
        seed=seed,
    )
    if table is None and plan.preprocessing == "standardize":
        preprocessing = Standardize().fit(prepared.train)
    plan, augment, told = augmenter_of(plan, prepared, preprocessing, raw)
    decisions += told
    scaling = fit_scaling(plan.target_scaling, prepared.train)
    decisions += [*found_by(preprocessing, scaling), *smoothing_told(plan)]
    preprocessing, scaling = on(preprocessing, device), on(scaling, device)
    measures = [in_unit(m, scaling) for m in chosen]
    setup = Setup(network, preprocessing, scaling, measures, device, plan, loaded + decisions, augment=augment)
    inputs, target = next(iter(setup.held_out(first, 2).epoch(0)))
    # A module's lazy layers start alike in every run, as its other weights do; a builder's vary with the plan's seed.
    lazy_seed = seed if isinstance(model, nn.Module | KeptModule) else int(own_seed)
    few_rows = Rows(inputs, target, first.ids, "train")
    output = try_forward(network, few_rows, seed=lazy_seed)
    if altered := alter(network, plan, built_with_activation=takes_activation(model)):
        setup.decisions[len(loaded) : len(loaded)] = altered
        output = try_forward(network, few_rows, seed=lazy_seed)
    if plan.initialization is not None:
        setup.decisions.append(initialize_anew(setup, prepared.train))
    elif not altered and not isinstance(model, nn.Module | KeptModule):
        setup.rebuild = partial(rebuilt, model, spec, few_rows, device=device, activation=plan.activation)
    if any(reading.name == "labels.unseen" for reading in prepared.readings):
        require_outputs(output, prepared.task)
    try_loss(loss, loss_name, output, target, prepared.task)
    try_augmented(setup, first, loss, seed=lazy_seed)
    measure_outputs(setup, output, target)
    if plan.gradient_checkpointing:
        blocks_of(network)  # that there are some
    setup.decisions += told_of(plan, network)
    lay_out(setup, prepared.train, loss)
    try_single_row(setup, prepared.train)
    assert isinstance(plan.batch_size, int)
    require_fitting_schedule(plan, setup.feeder(prepared.train, batch_size=plan.batch_size, seed=0, shuffle=False))
    hire(setup, prepared.train)
    return setup


def require_selection(plan: Plan, measured: Sequence[str]) -> None:
    """Raises `UsageError` where the best epoch is to be chosen by what is not measured."""
    known = {*measured, "loss", "auto"}
    if plan.selection not in known:
        raise UsageError(
            f"Plan field 'selection' got {plan.selection!r}; this experiment measures {', '.join(sorted(known))}. "
            "Name the metric in Experiment(metrics=[...]) too."
        )


def measure_outputs(setup: Setup, output: Any, target: Tensor) -> None:
    """Where outputs have positions: how many rows of them fit into memory, and which dimension counts the classes."""
    if not isinstance(output, Tensor) or output.dim() < 3:
        return
    fitting = EVALUATION_NUMBERS // max(output[0].numel(), 1)
    setup.evaluation_rows = max(1, min(setup.evaluation_rows, fitting))
    dim = class_dim(output, target)
    setup.class_dim = -1 if dim == output.dim() - 1 else dim


def try_augmented(setup: Setup, first: AnyRows, loss: LossFunction, *, seed: int) -> None:
    """Shows network and loss a few augmented rows: their size or their targets may be others.

    Raises:
        ModelError: where the network does not take them.
        UsageError: where the loss does not take mixed targets.
    """
    if setup.augment is None:
        return
    inputs, target = next(setup.feeder(first, batch_size=len(first), seed=0).epoch(0))
    try:
        output = try_forward(setup.network, Rows(inputs, target, first.ids, "train"), seed=seed)
    except ModelError as error:
        raise ModelError(f"Under the plan's augmentation: {error}") from error
    try:
        smoothed_loss(loss, setup.plan.label_smoothing)(output, target)
    except Exception as error:  # a loss of the user's own may raise anything
        if setup.augment.late is None:
            why = f"The plan's augmentation moves the targets too, -100 where nothing is known: {error}"
            raise UsageError(f"{why}. Leave out what is -100 in the loss, as cross-entropy does.") from error
        raise UsageError(
            f"The plan's augmentation mixes samples, and the loss does not take targets {target.dtype} "
            f"{list(target.shape)} between the classes: {error}. Take cross-entropy or binary cross-entropy, or leave "
            "the mixing out."
        ) from error


def try_single_row(setup: Setup, rows: AnyRows) -> None:
    """Where a batch of one row will come, shows one to a copy in training mode: at the epoch's end it would be late.

    Raises:
        TrainingError: where a batch norm meets it.
    """
    assert isinstance(setup.plan.batch_size, int)
    feeder = setup.feeder(rows, batch_size=setup.plan.batch_size, seed=0, shuffle=False)
    if not gives_single_rows(feeder):
        return
    inputs, _ = next(iter(setup.held_out(head(rows, 1), 1).epoch(0)))
    if is_divisible(inputs):
        with single_rows_named(feeder), global_rng_kept(), torch.no_grad():
            call(clone(setup.network).train(), take(inputs, torch.zeros(1, dtype=torch.long)))


def lay_out(setup: Setup, rows: AnyRows, loss: LossFunction) -> None:
    """Decides the layout of images, and brings the network into it."""
    plan = setup.plan
    assert isinstance(plan.batch_size, int)
    if plan.memory_format == "auto":
        inputs, target = next(iter(setup.held_out(head(rows, plan.batch_size), 2).epoch(0)))
        layout = "contiguous"
        if has_images(setup.network, inputs):
            layout, reason = choose_layout(setup.network, loss, inputs, target)
            setup.decisions.append(Decision("memory_format", layout, reason))
        setup.plan = plan.replace(memory_format=layout)
    if setup.plan.memory_format == "channels_last":
        use_layout(setup.network, torch.channels_last)


def few(rows: AnyRows, prepare: nn.Module | None, device: torch.device | str = "cpu") -> tuple[Inputs, Tensor]:
    """One batch of a few rows, prepared: a table as features."""
    return next(Feeder(rows, batch_size=len(rows), seed=0, shuffle=False, device=device, transform=prepare).epoch(0))


def fit_scaling(scaling: Preparation | str, rows: AnyRows) -> Fitted | None:
    """What brings the target into the network's unit and back; None where it stays as it is."""
    if isinstance(scaling, Preparation):
        return fit_target(scaling, rows)
    return TargetScale.fit(rows) if scaling == "standardize" else None


def found_by(preprocessing: nn.Module | None, scaling: Fitted | None) -> list[Decision]:
    """What fitted parts have to say: which columns they changed."""
    told = {"preprocessing": preprocessing, "target_scaling": scaling}
    reports = {name: str(getattr(module, "report", "")) for name, module in told.items()}
    return [Decision(name, "fitted", report) for name, report in reports.items() if report]


def smoothing_told(plan: Plan) -> list[Decision]:
    """What the user asked for and should know when the losses are shown side by side."""
    why = "asked for; the training loss is of smoothed labels, the validation loss of the labels as they are"
    return [Decision("label_smoothing", str(plan.label_smoothing), why)] if plan.label_smoothing else []


def loaded_plan(plan: Plan, rows: AnyRows) -> tuple[Plan, list[Decision]]:
    """The plan with the batch size that a DataLoader decides, and the reason where that was not the plan's."""
    if not isinstance(rows, BatchRows) or plan.batch_size == rows.batch_size:
        return plan, []
    own = "the DataLoader's own" + ("" if plan.batch_size == "auto" else f"; the plan's {plan.batch_size} is not used")
    return plan.replace(batch_size=rows.batch_size), [Decision("batch_size", str(rows.batch_size), own)]


def refuse_scaling(plan: Plan, rows: AnyRows, inputs: Inputs) -> None:
    """Raises `UsageError` where a step of the user's own leaves nothing to scale, or no one to undo it."""
    if rows.step is None:
        return
    if plan.target_scaling not in ("auto", "none"):
        what = f"target_scaling={plan.target_scaling!r}"
        raise UsageError(f"{what} with step=: its outputs have its own unit. Scale in the step.")
    if plan.preprocessing not in ("auto", "none") and not (isinstance(inputs, Batch) and is_pair(inputs.value)):
        raise UsageError(
            f"preprocessing={plan.preprocessing!r} needs batches (inputs, target); these have a form of their own, "
            "which only the step knows. Standardize in the Dataset or in the model."
        )


def hire(setup: Setup, rows: AnyRows) -> None:
    """Decides how many processes read the rows."""
    if setup.plan.workers == "auto":
        count, reason = choose_workers(rows)
        setup.plan = setup.plan.replace(workers=count)
        if isinstance(rows, DatasetRows | StreamRows):
            setup.decisions.append(Decision("workers", str(count), reason))
    elif setup.plan.workers and isinstance(rows, DatasetRows) and (why := obstacle(rows)):
        setup.plan = setup.plan.replace(workers=0)
        setup.decisions.append(Decision("workers", "0", why))


def task_of_step(model: ModelSource, prepared: Prepared, *, task: str | None, device: torch.device, seed: int) -> Task:
    """What a step of the user's own is measured by, found by running it on some training rows.

    With output and target it is the task that the target makes (that of the data, where it is their target); with the
    loss alone there is only the loss.

    Raises:
        ModelError: where model and step do not take the rows.
        UsageError: for a `task` without outputs, or outputs that are no tensor.
    """
    rows = spread(prepared.train, STEP_ROWS)
    table = None if prepared.table is None else fit_table(prepared).to(device)
    inputs, target = few(head(prepared.train, TRIAL_ROWS), table, device)
    network = build_network(model, spec_of(inputs, prepared.task.num_outputs), seed=seed, device=device)
    found = try_forward(network, Rows(inputs, target, torch.arange(len(target)), "train"), seed=seed)
    assert isinstance(found, StepOutput)
    if found.output is None or found.target is None:
        if task is not None:
            raise UsageError(f"task={task!r} needs outputs to measure: return (loss, output, target) from step.")
        return OWN
    if not isinstance(found.output, Tensor) or not isinstance(found.target, Tensor):
        kinds = f"{type(found.output).__name__} and {type(found.target).__name__}"
        raise UsageError(
            f"step(model, batch) returned output and target as {kinds}; both must be tensors to be measured: "
            "(outputs.loss, outputs.logits, batch['labels']), for example."
        )
    if prepared.task.kind != "own" and found.target.shape == target.shape and bool((found.target == target).all()):
        return prepared.task
    feeder = Feeder(rows, batch_size=64, seed=0, shuffle=False, device=device, transform=table)
    with evaluating(network), global_rng_kept():
        targets = [call(network, inputs).target for inputs, _ in feeder.epoch(0)]  # type: ignore[attr-defined]
    whole = together([value.cpu() for value in targets])
    if whole is None:
        raise UsageError("step(model, batch) returned targets that differ in shape; flatten them, with their outputs.")
    return infer_task(whole, loss_name=None, task=task)


def fit_table(prepared: Prepared, part: Preparation | str = "auto") -> TablePreprocessing:
    """The preprocessing of a table, its numbers prepared as the plan says; text becomes numbers under "none" too."""
    assert isinstance(prepared.train, Rows)
    assert prepared.table is not None
    if isinstance(part, Preparation):
        table = part if isinstance(part, Table) else Table(numbers=part)
    else:
        table = Table(numbers=None) if part == "none" else Table()
    return table.fit_table(prepared.train, prepared.table)


def on(module: M | None, device: torch.device) -> M | None:
    return None if module is None else module.to(device)


def in_unit(measure: Metric, scaling: Fitted | None) -> Metric:
    """The measure in the target's own unit, where the network works on a scaled one."""
    if scaling is None:
        return measure
    return replace(measure, function=lambda o, t: measure(scaling.inverse(o), scaling.inverse(t)))


def choose_device(device: str) -> torch.device:
    """`"auto"` is the accelerator where there is one, else the CPU."""
    if device != "auto":
        return torch.device(device)
    found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
    return torch.device("cpu") if found is None else found

"""From data, model and plan to what the loop takes: preprocessing fitted, network built, batches, metrics."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from thalweg.build import ModelSource, build_network, spec_of, try_forward, try_loss
from thalweg.data.feeder import Feeder
from thalweg.data.prepare import Prepared
from thalweg.data.rows import AnyRows, Inputs, Rows, head
from thalweg.parts.metrics import Metric, metric
from thalweg.parts.preprocessing.standardize import Standardize, TargetScale
from thalweg.parts.preprocessing.table import TablePreprocessing
from thalweg.plan import Plan
from thalweg.recipe import Decision, resolve
from thalweg.train.layout import channels_last, choose_layout, has_images, use_layout
from thalweg.train.losses import LossFunction

M = TypeVar("M", bound=nn.Module)
TRIAL_ROWS = 7  # on which network and loss are tried; with 2, a binary output [2, 2] would broadcast with a target [2]
EVALUATION_ROWS = 1024  # of a validation batch at least: without gradients there is room for more


@dataclass
class Setup:
    """Everything a training stands on: the run's own network, the plan (all but the rate decided) with its reasons."""

    network: nn.Module
    preprocessing: nn.Module | None
    target_scaling: TargetScale | None
    metrics: Sequence[Metric]
    device: torch.device
    plan: Plan
    decisions: list[Decision]

    @property
    def transform(self) -> Callable[[Inputs], Inputs] | None:
        """Raw inputs as the network takes them, in its layout; None where they are already."""
        if self.plan.memory_format != "channels_last":
            return self.preprocessing
        preprocessing = self.preprocessing
        return lambda inputs: channels_last(inputs if preprocessing is None else preprocessing(inputs))

    def feeder(self, rows: AnyRows, *, batch_size: int, seed: int, shuffle: bool = True) -> Feeder:
        """Batches of `rows` as the network takes them."""
        return Feeder(
            rows,
            batch_size=batch_size,
            seed=seed,
            shuffle=shuffle,
            device=self.device,
            transform=self.transform,
            target_transform=self.target_scaling,
        )

    def held_out(self, rows: AnyRows, batch_size: int) -> Feeder:
        """The same for rows that are only measured on, in their order."""
        return self.feeder(rows, batch_size=max(batch_size, EVALUATION_ROWS), seed=0, shuffle=False)


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
    first = head(prepared.train, TRIAL_ROWS)
    table = None if prepared.table is None else fit_table(prepared)
    shaped = first.inputs if table is None else table(first.inputs)  # standardizing changes no shape
    own_seed = seed if plan.seed == "auto" else plan.seed
    chosen = [metric(name, prepared.task.kind) for name in metrics]
    spec = spec_of(shaped, prepared.task.num_outputs)
    network = build_network(model, spec, seed=int(own_seed), device=device)
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
    preprocessing: nn.Module | None = table
    if table is None and plan.preprocessing == "standardize" and isinstance(prepared.train, Rows):
        preprocessing = Standardize.fit(prepared.train)
    scaling = TargetScale.fit(prepared.train) if plan.target_scaling == "standardize" else None
    preprocessing, scaling = on(preprocessing, device), on(scaling, device)
    setup = Setup(network, preprocessing, scaling, [in_unit(m, scaling) for m in chosen], device, plan, decisions)
    inputs, target = next(iter(setup.held_out(first, 2).epoch(0)))
    # A module's lazy layers start alike in every run, as its other weights do; a builder's vary with the plan's seed.
    lazy_seed = seed if isinstance(model, nn.Module) else int(own_seed)
    output = try_forward(network, Rows(inputs, target, first.ids, "train"), seed=lazy_seed)
    try_loss(loss, loss_name, output, target, prepared.task)
    lay_out(setup, prepared.train, loss)
    return setup


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


def fit_table(prepared: Prepared) -> TablePreprocessing:
    assert isinstance(prepared.train, Rows)
    assert prepared.table is not None
    return TablePreprocessing(prepared.table).fit(prepared.train)


def on(module: M | None, device: torch.device) -> M | None:
    return None if module is None else module.to(device)


def in_unit(measure: Metric, scaling: TargetScale | None) -> Metric:
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

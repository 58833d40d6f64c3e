"""What a check measures and probes first of all; each examination is a function of the bench and what is known."""

from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from thalweg.data.rows import Batch, call
from thalweg.doctor.bench import Bench
from thalweg.measure.answers import examine, sheet_of
from thalweg.measure.flow import signal_flow
from thalweg.measure.head import Head, head_of
from thalweg.measure.inputs import describe_inputs, scale_effect
from thalweg.measure.loss_rows import pull, row_mixing
from thalweg.measure.proper import alignment, is_central
from thalweg.measure.reach import describe_foreign, describe_reach
from thalweg.measure.stacks import affine_error, linear_stacks
from thalweg.measure.targets import describe_target
from thalweg.measure.units import symmetric_units
from thalweg.measure.untouched import untouched
from thalweg.parts.metrics.forms import class_dim
from thalweg.probes.first_steps import first_steps
from thalweg.probes.initial_loss import initial_loss, loss_value
from thalweg.probes.overfit import overfit
from thalweg.readings import Reading, Readings
from thalweg.train.clone import clone

FEW = 16  # rows for what is a proof on any number of rows
STEP_SECONDS = 0.1  # that the forward pass of one step may take
OVERFIT_SHARE = 0.5  # of what is left of the check's time


def outputs_of(bench: Bench) -> tuple[object, Head]:
    """The outputs, detached, and the head, which knows besides whether the loss asks for the target itself."""
    output, head = outputs_and_head(bench)
    if bench.task.kind != "regression" or not isinstance(output, Tensor):
        return output, head
    return output, replace(head, central=is_central(bench.loss, output, bench.target))


def outputs_and_head(bench: Bench) -> tuple[object, Head]:
    """Both in evaluation mode; in training mode where that ends in another operation.

    A network that applies its softmax in evaluation only gives logits to the loss that it is trained by.
    """
    with untouched(bench.network):
        output = call(bench.network, bench.inputs)
        if not isinstance(output, Tensor):
            return output, Head("none")
        head = head_of(output)
    few, _ = bench.first(FEW)
    with untouched(bench.network, training=True):
        trained = call(bench.network, few)
        if not isinstance(trained, Tensor) or head_of(trained).kind == head.kind:
            return output.detach(), head
        output = call(bench.network, bench.inputs)
        assert isinstance(output, Tensor)
        return output.detach(), head_of(output)


def describe_head(output: Tensor, head: Head, bench: Bench) -> Iterator[Reading]:
    """Readings `head.size`, `head.dim`, `head.low`, `head.high`, each with the kind as note, and `head.outputs`."""
    yield Reading("head.low", head.low, note=head.kind)
    yield Reading("head.high", head.high, note=head.kind)
    if head.dim is not None and head.size is not None:
        yield Reading("head.dim", head.dim, note=head.kind)
        yield Reading("head.size", head.size, note=head.kind)
    if bench.num_classes is not None:
        yield Reading("task.classes", bench.num_classes)
        dim = class_dim(output, bench.target)
        outputs = 1 if output.numel() == len(output) else output.shape[dim] if dim is not None else None
        if outputs is not None:
            yield Reading("head.outputs", outputs, note=head.kind)


def measure(bench: Bench, _known: Readings) -> list[Reading]:
    """Everything that is measured without training."""
    few = bench.affordable(STEP_SECONDS, least=4, most=FEW)
    few_inputs, _ = bench.first(few)
    output, head = outputs_of(bench)
    loss_value(bench.loss, output, bench.target)  # a loss that cannot be taken is said to be so, before anything else
    readings = [
        initial_loss(
            bench.network,
            bench.loss,
            bench.inputs,
            bench.target,
            weight=bench.weight,
            batch_size=bench.batch_size,
            seed=bench.seed,
        ),
        *([] if isinstance(bench.inputs, Batch) else describe_target(bench.target)),  # a step may use another target
        *describe_inputs(bench.inputs),
        *scale_effect(bench.network, few_inputs),
        *signal_flow(bench.network, bench.inputs),
        *describe_foreign(bench.network, few_inputs),
        *linear_stacks(bench.network, few_inputs),
    ]
    sheet = sheet_of(bench.loss, output, bench.target, head, bench.num_classes, bench.weight)
    if sheet is not None:
        assert isinstance(output, Tensor)
        readings += describe_head(output, head, bench)
        readings += examine(sheet, torch.Generator().manual_seed(bench.seed))
        draw = torch.Generator().manual_seed(bench.seed)
        readings += [r for r in (alignment(sheet, draw), row_mixing(sheet, draw), pull(sheet)) if r is not None]
    return readings


def take_first_steps(bench: Bench, _known: Readings) -> list[Reading]:
    """What a few steps of gradient descent show: parameters without gradient, units that stay equal, linearity.

    A network is tested for being linear only now: branches scaled by zero at the start hide what is in them.
    """
    inputs, target = bench.first(4 * bench.affordable(STEP_SECONDS, least=4, most=64))
    trained = clone(bench.network)
    steps = first_steps(trained, bench.loss, inputs, target, seed=bench.seed)
    few, _ = bench.first(bench.affordable(STEP_SECONDS, least=4, most=FEW))
    affine = affine_error(trained, few, bench.head)
    return [
        *symmetric_units(bench.network, steps.weights, steps.gradients),
        *describe_reach(trained, few, steps.gradients),
        *([affine] if affine else []),
    ]


def overfit_rows(bench: Bench, readings: Readings) -> list[Reading]:
    """The probe that overfits a few rows, fewer where a row is dear."""
    if readings.value("loss.bottomless") == 1.0:
        return []
    rows = bench.affordable(STEP_SECONDS, least=8, most=32)
    return overfit(
        bench.network,
        bench.loss,
        bench.inputs,
        bench.target,
        num_classes=bench.num_classes,
        rows=rows,
        seconds=bench.budget.part(OVERFIT_SHARE).seconds,
        seed=bench.seed,
    )

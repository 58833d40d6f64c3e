"""The inputs as they enter the network: level, spread and columns (L12)."""

from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from thalweg.data.rows import Batch, Inputs, call, map_inputs, tensors_of
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading


def named(inputs: Inputs) -> Iterator[tuple[str, Tensor]]:
    """The float tensors of the inputs, each with its name or number; no name where there is one tensor only.

    None of a `Batch`, which does not say what of it is an input and what a target.
    """
    if isinstance(inputs, Batch):
        return
    if isinstance(inputs, dict):
        names = list(inputs)
    else:
        names = [""] if isinstance(inputs, Tensor) else [str(i) for i in range(len(tensors_of(inputs)))]
    for name, value in zip(names, tensors_of(inputs), strict=True):
        if value.is_floating_point() and value.dim() > 1:
            yield name, value


def axes_of(value: Tensor) -> tuple[int, ...]:
    """Dimensions over which a column or a channel is summarized: `[N, F]`, `[N, T, F]`, `[N, C, H, W]`."""
    if value.dim() in (2, 3):
        return tuple(range(value.dim() - 1)) if value.dim() == 2 else (0, 1)
    return (0, *range(2, value.dim()))


def is_constant(spread: Tensor, mean: Tensor) -> Tensor:
    """Columns whose spread is rounding noise of their level."""
    return spread <= 1e-6 * mean.abs() + 1e-30


def standardized(inputs: Inputs, reference: Inputs) -> Inputs:
    """Each float column or channel with mean 0 and deviation 1 by the statistics of `reference`; constant ones 0."""
    return standardizer(reference)(inputs)


def standardizer(reference: Inputs) -> Callable[[Inputs], Inputs]:
    """What standardizes inputs by the statistics of `reference`."""
    statistics = []
    for value in tensors_of(reference):
        if value.is_floating_point() and value.dim() > 1:
            axes = axes_of(value)
            mean, spread = value.double().mean(axes, keepdim=True), value.double().std(axes, correction=0, keepdim=True)
            spread = torch.where(is_constant(spread, mean), torch.inf, spread)
            statistics.append((mean, spread))
        else:
            statistics.append((torch.zeros(()), torch.ones(())))

    def standardize(inputs: Inputs) -> Inputs:
        remaining = iter(statistics)

        def scale(value: Tensor) -> Tensor:
            mean, spread = next(remaining)
            return ((value.double() - mean) / spread).to(value.dtype) if value.is_floating_point() else value

        return map_inputs(scale, inputs)

    return standardize


def describe_inputs(inputs: Inputs) -> list[Reading]:
    """Level and spread of each float input over its columns (or channels).

    `input.rms` is the root mean square of all its values; `input.ratio` the largest column's root mean square over the
    smallest one's, zeros, columns of zeros and ones, and constant ones left out; `input.offset` the largest mean of a
    column in its deviations; `input.constant` how many columns are constant; `input.nonfinite` the share of rows with
    values that are no finite numbers, where there are any.
    """
    readings = []
    for name, value in named(inputs):
        axes = axes_of(value)
        columns = value.double()
        mean, spread = columns.mean(axes), columns.std(axes, correction=0)
        constant = is_constant(spread, mean)
        binary = ((columns == 0) | (columns == 1)).all(0)
        binary = binary.all(0) if binary.dim() == 2 else binary.flatten(1).all(1) if binary.dim() > 2 else binary
        # A pixel that is rarely on, or a word's count, is no small unit: the zeros of a column do not count.
        rms = (columns.square().sum(axes) / (columns != 0).sum(axes)).sqrt()[~constant & ~binary]
        values = {
            "input.rms": float(columns.square().mean().sqrt()),
            "input.ratio": float(rms.max() / rms.min()) if len(rms) > 1 else 1.0,
            "input.offset": float((mean / spread)[~constant].abs().max()) if bool((~constant).any()) else 0.0,
            "input.constant": float(constant.sum()),
            "input.binary": float((binary & ~constant).all()),
        }
        lost = ~columns.isfinite().flatten(1).all(1)
        if bool(lost.any()):
            values["input.nonfinite"] = float(lost.double().mean())
        readings += [Reading(key, v, place=name, count=len(value)) for key, v in values.items()]
    return readings


def scale_effect(network: nn.Module, inputs: Inputs) -> list[Reading]:
    """Reading `input.effect`: relative change of the outputs, in training mode, when the inputs are standardized.

    Near 0 for a network that begins with a normalization of its own. Nothing for inputs without columns.
    """
    if not any(True for _ in named(inputs)):
        return []
    with untouched(network, training=True), torch.no_grad():
        outputs = []
        for value in (inputs, standardized(inputs, inputs)):
            torch.manual_seed(0)  # the same dropout for both; `untouched` brings the generator back
            outputs.append(list(tensors_in(call(network, value))))
    change = max((float((a - b).abs().max()) for a, b in zip(*outputs, strict=True) if a.numel()), default=0.0)
    size = max((float(a.abs().max()) for a in outputs[0] if a.numel()), default=0.0)
    return [Reading("input.effect", change / max(size, 1e-30))]

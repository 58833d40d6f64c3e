"""How noisy batch norm's statistics are at a batch size, and what of the output hangs on it (L17)."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Inputs, call, is_divisible, leaves, map_inputs, num_rows, take, tensors_of
from thalweg.errors import UsageError
from thalweg.measure.untouched import untouched
from thalweg.parts.normalization.recalibration import inputs_of, recalibrate
from thalweg.readings import Reading, Readings

MAX_ROWS = 8192
MAX_BATCHES = 64  # of one size: a spread over so many is known to about 9 %
LEAST_BATCHES = 4
SIZES = (2, 4, 8, 16, 32, 64)
# The output gap above which another normalization is to be tried. In benchmarks/normalization.py, a small network on
# digits, batch norm was no worse than group norm up to 0.55 (batches of 4), and failed at 0.84 (batches of 2).
NOISY = 0.7


def estimate_noise(
    network: nn.Module, batches: Iterable[Any], *, sizes: Sequence[int] = SIZES, seed: int = 0
) -> dict[int, Readings]:
    """How far the statistics of a batch are from those of all rows, for every batch norm and batch size (L17).

    Rows are drawn anew into batches of each size, K of them at most 64, and pass as in training; with μ_k and s²_k of a
    channel in batch k and its μ and σ² over all of them (mean over channels c):

        norm.mean_error      √ mean_c Var_k(μ_k) / σ²         relative standard error of the batch's mean
        norm.variance_error  √ mean_c Var_k(s²_k) / σ⁴        and of its variance
        norm.output_gap      √ mean (f_training − f_evaluation)² / Var f_evaluation, of the network's output
        norm.gap_share       a norm's part of that: the squared gap that it causes alone, over the sum of all norms'

    For independent values they are 1/√n and √(2/(n − 1)) with n values per channel; places of an image are not.

    Args:
        network: any module; weights, buffers, modes and the random generators stay as they are. Norms in evaluation
            mode are left out, and dropout is off.
        batches: inputs, or tuples of which they are the first item; 8192 rows at most are taken.
        sizes: batch sizes, at least 2, each with 4 batches at least.
        seed: decides which rows come together.

    Returns:
        For each size its readings by name and place, with 95 % intervals (jackknife over batches, of the logarithm);
        `count` is K. Empty readings where there is no batch norm.

    Raises:
        UsageError: for a size that the rows do not suffice for, or batches that cannot be cut into rows.

    >>> network = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 2))
    >>> rows = torch.randn(1024, 8, generator=torch.Generator().manual_seed(0))
    >>> round(estimate_noise(network, [rows], sizes=[16])[16].value("norm.mean_error", "0"), 1)  # 1/√16
    0.2
    """
    inputs = gathered(batches)
    norms = {m: p for p, m in network.named_modules() if isinstance(m, _BatchNorm) and m.track_running_stats}
    norms = {norm: place for norm, place in norms.items() if norm.training}
    order = torch.randperm(num_rows(inputs), generator=torch.Generator().manual_seed(seed))
    found = {}
    for size in sizes:
        count = min(len(order) // size, MAX_BATCHES) if size >= 2 else 0
        if count < LEAST_BATCHES:
            most = len(order) // LEAST_BATCHES
            raise UsageError(
                f"estimate_noise got sizes with {size!r} and {len(order)} rows; allowed: "
                + (
                    f"sizes from 2 to {most}, so that there are {LEAST_BATCHES} batches, or more rows."
                    if most >= 2
                    else ""
                )
                + (f"{2 * LEAST_BATCHES} rows at least, which are {LEAST_BATCHES} batches of 2." if most < 2 else "")
            )
        cut = [take(inputs, rows) for rows in torch.split(order[: size * count], size)]
        found[size] = Readings()
        if norms:
            with untouched(network), torch.no_grad():
                found[size].extend(readings(network, norms, cut))
    return found


def gathered(batches: Iterable[Any]) -> Inputs:
    """The batches as one, as far as `MAX_ROWS`."""
    parts: list[Inputs] = []
    for batch in batches:
        parts.append(inputs_of(batch))
        if not is_divisible(parts[-1]):
            raise UsageError("estimate_noise cuts batches into rows, which these cannot be; give tensors of rows.")
        if sum(map(num_rows, parts)) >= MAX_ROWS:
            break
    if not parts:
        raise UsageError("estimate_noise got no batches; give it some training rows, as a list or a loader.")
    columns = [torch.cat(column)[:MAX_ROWS] for column in zip(*map(tensors_of, parts), strict=True)]
    whole = iter(columns)
    return map_inputs(lambda _: next(whole), parts[0])


def readings(network: nn.Module, norms: dict[_BatchNorm, str], batches: list[Inputs]) -> list[Reading]:
    """The readings of one batch size; the network is left changed."""
    for norm in norms:
        norm.train()
    recalibrate(network, batches)
    own = [norm.momentum for norm in norms]
    settled = [(norm.running_mean.clone(), norm.running_var.clone()) for norm in norms]  # type: ignore[union-attr]
    seen: dict[_BatchNorm, list[Tensor]] = {norm: [] for norm in norms}
    handles = [norm.register_forward_hook(noting(seen[norm])) for norm in norms]
    training = outputs(network, batches, norms)
    for handle in handles:
        handle.remove()
    for norm, momentum, (mean, variance) in zip(norms, own, settled, strict=True):
        norm.momentum = momentum
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
    evaluation = outputs(network, batches, {})
    spread = torch.cat(evaluation).var(0, correction=0).mean()
    result = [reading("norm.output_gap", "", gaps(training, evaluation) / spread, torch.mean)]
    alone = []
    for norm, (mean, variance) in zip(norms, settled, strict=True):
        alone.append(float(gaps(outputs(network, batches, {norm: ""}), evaluation).mean()))
        norm.running_mean.copy_(mean)  # type: ignore[union-attr]
        norm.running_var.copy_(variance)  # type: ignore[union-attr]
        norm.momentum = own[list(norms).index(norm)]
    for (norm, place), (_, variance), gap in zip(norms.items(), settled, alone, strict=True):
        means, variances = torch.stack(seen[norm]).double().unbind(1)
        living = variance > 0
        means = means[:, living] / variance[living].double().sqrt()
        variances = variances[:, living] / variance[living].double()
        result.append(reading("norm.mean_error", place, means, spread_of))
        result.append(reading("norm.variance_error", place, variances, spread_of))
        result.append(Reading("norm.gap_share", gap / max(sum(alone), 1e-300), place, count=len(batches)))
    return result


def noting(seen: list[Tensor]) -> Any:
    def note(norm: _BatchNorm, *_: Any) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        seen.append(torch.stack([norm.running_mean, norm.running_var]))

    return note


def outputs(network: nn.Module, batches: list[Inputs], norms: dict[_BatchNorm, str]) -> list[Tensor]:
    """`[rows, numbers]` of each batch, `norms` normalizing by the batch, whose statistics become their estimates."""
    network.eval()
    for norm in norms:
        norm.train()
        norm.momentum = 1.0
    made = []
    for batch in batches:
        values = [value for value in leaves(call(network, batch)) if value.is_floating_point()]
        made.append(values[0].double().reshape(num_rows(batch), -1))
    network.eval()
    return made


def gaps(ones: list[Tensor], others: list[Tensor]) -> Tensor:
    """`[K]` mean squared difference of each batch's outputs."""
    return torch.stack([(one - other).square().mean() for one, other in zip(ones, others, strict=True)])


def spread_of(values: Tensor) -> Tensor:
    """Variance over batches of `[K, C]`, mean over channels."""
    return values.var(0).mean()


def reading(name: str, place: str, values: Tensor, square: Callable[[Tensor], Tensor]) -> Reading:
    """√square(values), with the interval of a jackknife over the K batches in dimension 0.

    Of the logarithm, whose distribution is closer to normal, with Student's quantile, 1.96 + 2.4/(K − 1) to 1 %.
    """
    count = len(values)
    whole = float(square(values))
    if not whole > 0:
        return Reading(name, math.sqrt(whole) if whole == 0 else math.nan, place, count=count)
    without = torch.stack([square(torch.cat([values[:k], values[k + 1 :]])) for k in range(count)]).log()
    error = math.sqrt((count - 1) / count * float((without - without.mean()).square().sum()))
    half = (1.96 + 2.4 / (count - 1)) * error
    low, high = (math.exp((math.log(whole) + sign * half) / 2) for sign in (-1, 1))
    return Reading(name, math.sqrt(whole), place, low=low, high=high, count=count)

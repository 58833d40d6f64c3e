"""How many values the batch norms of a network have to estimate a mean and a variance from, in a training's batches."""

from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Inputs, call, num_rows
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading


def batch_norms(network: nn.Module) -> dict[str, _BatchNorm]:
    """The batch norms that normalize by the batch in training, by place."""
    return {place: m for place, m in network.named_modules() if isinstance(m, _BatchNorm) and m.training}


def describe_norms(network: nn.Module, inputs: Inputs, *, batch_size: int) -> list[Reading]:
    """Readings of every batch norm, none where there is none.

    `norm.values` is how many values per channel a training's batch has, rows times places; `norm.momentum` how much of
    a running estimate a batch replaces (NaN for a plain average over all batches); `norm.tracked` is 0 where there are
    no running estimates, so that evaluation uses the batch as well.

    Args:
        network: as it starts.
        inputs: a few rows, at least 2.
        batch_size: rows per step.

    >>> import torch
    >>> network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    >>> describe_norms(network, torch.zeros(2, 1, 8, 8), batch_size=16)[0].value  # 16 rows of 6 x 6 places
    576.0
    """
    seen: dict[nn.Module, float] = {}

    def note(module: nn.Module, _given: object, output: Tensor) -> None:
        seen[module] = output.numel() / output.shape[1] / num_rows(inputs)

    with untouched(network, training=True):
        norms = batch_norms(network)
        handles = [norm.register_forward_hook(note) for norm in norms.values()]
        try:
            if norms:
                call(network, inputs)
        finally:
            for handle in handles:
                handle.remove()
    readings = []
    for place, norm in norms.items():
        if norm not in seen:
            continue
        momentum = float("nan") if norm.momentum is None else norm.momentum
        readings += [
            Reading("norm.values", batch_size * seen[norm], place, note=type(norm).__name__, count=batch_size),
            Reading("norm.momentum", momentum, place),
            Reading("norm.tracked", float(norm.track_running_stats), place),
        ]
    return readings

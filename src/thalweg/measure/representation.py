"""What a trained network has made of its rows: the effective rank before the last layer, embeddings never touched."""

import torch
from torch import Tensor, nn

from thalweg.data.rows import Inputs, call
from thalweg.measure.stacks import WEIGHTED
from thalweg.measure.untouched import untouched
from thalweg.measure.watcher import tensors_in
from thalweg.readings import Reading

MAX_ROWS = 512  # of the matrix whose singular values are taken
MAX_COLUMNS = 4096


def effective_rank(values: Tensor) -> float:
    """exp(H(p)), p the singular values of the centered `[N, D]` matrix over their sum (Roy and Vetterli 2007).

    >>> round(effective_rank(torch.eye(4)), 3), round(effective_rank(torch.ones(4, 1) * torch.arange(3.0)), 3)
    (3.0, 0.0)
    """
    values = values.double() - values.double().mean(0)
    sizes = torch.linalg.svdvals(values)
    if not float(sizes.sum()) > 1e-12:
        return 0.0
    share = sizes / sizes.sum()
    share = share[share > 0]
    return float((-(share * share.log()).sum()).exp())


def last_rank(network: nn.Module, inputs: Inputs, *, step: int) -> list[Reading]:
    """Reading `representation.rank` of what enters the last weight layer, over rows; `count` is its width."""
    seen: list[tuple[str, Tensor]] = []
    handles = []
    for place, module in network.named_modules():
        if isinstance(module, WEIGHTED):

            def look(_module: nn.Module, given: tuple[Tensor, ...], place: str = place) -> None:
                value = next((t for t in tensors_in(given) if t.is_floating_point()), None)
                if value is not None:
                    seen[:] = [(place, value.detach())]

            handles.append(module.register_forward_pre_hook(look))
    try:
        with untouched(network), torch.no_grad():
            call(network, inputs)
    finally:
        for handle in handles:
            handle.remove()
    if not seen or seen[0][1].dim() != 2 or seen[0][1].shape[1] > MAX_COLUMNS:
        return []
    place, value = seen[0]
    if not bool(value.isfinite().all()):  # of a network that has diverged; synchronizes
        return []
    return [Reading("representation.rank", effective_rank(value[:MAX_ROWS]), place, step, count=value.shape[1])]


def untouched_rows(start: nn.Module, last: nn.Module, *, step: int) -> list[Reading]:
    """Readings `embedding.unused`: rows of each embedding that the training has left bit-identical; `count` are all.

    A row that no input has indexed gets no gradient. With decay every row moves, and nothing is told.
    """
    found = []
    after = dict(last.named_modules())
    for place, module in start.named_modules():
        other = after.get(place)
        if not isinstance(module, nn.Embedding) or not isinstance(other, nn.Embedding):
            continue
        same = (module.weight == other.weight).all(1)
        if module.padding_idx is not None:
            same[module.padding_idx] = False
        if bool(same.any()) and not bool(same.all()):  # synchronizes
            found.append(Reading("embedding.unused", int(same.sum()), place, step, count=len(same)))
    return found

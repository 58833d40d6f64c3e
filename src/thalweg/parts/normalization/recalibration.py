"""Batch norm's running estimates measured anew for the weights as they are (L16)."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from thalweg.data.rows import Batch, Inputs, call
from thalweg.errors import DataError

TOGETHER = 64  # batches that are merged at once: one by one, that took a third of the time on small layers


def recalibrate(network: nn.Module, batches: Iterable[Any]) -> None:
    """Measures the running mean and variance of every batch norm anew, over all rows of the batches (L16).

    Each batch passes once, without gradients, dropout off, every batch norm normalizing by the batch as it did in the
    training. Of batch b with n_b values per channel, mean μ_b and unbiased variance s²_b, the estimates are those of
    all n = Σ n_b values together, merged in float64:

        μ̂ = Σ n_b μ_b / n,     σ̂² = (Σ (n_b − 1) s²_b + Σ n_b (μ_b − μ̂)²) / (n − 1)

    Norms in evaluation mode, such as frozen pretrained ones, keep theirs, and so do those that no batch reached.

    Args:
        network: any module; modes and momenta come back as they were.
        batches: inputs, or tuples of which they are the first item, as a loader gives them; at the training's batch
            size, because layers behind a norm see its noise.

    Raises:
        DataError: where there was no batch.

    >>> network = nn.Sequential(nn.BatchNorm1d(1))
    >>> recalibrate(network, [(torch.tensor([[1.0], [3.0]]), torch.zeros(2)), (torch.tensor([[8.0]] * 4), None)])
    >>> network[0].running_mean.item(), network[0].running_var.item()
    (6.0, 10.0)

    Source: Wu, Johnson 2021, "Rethinking 'Batch' in BatchNorm", as precise batch norm. Difference from
    `torch.optim.swa_utils.update_bn`: that one takes the mean of the batches' variances, which misses what batches
    differ by (of classes in order, say) and counts a short last batch as much as a full one; and it leaves dropout on.
    """
    norms = [m for m in network.modules() if isinstance(m, _BatchNorm) and m.track_running_stats and m.training]
    if not norms:
        return
    totals = {norm: Merged() for norm in norms}
    read = False
    with measuring(network, totals), torch.no_grad():
        for batch in batches:
            call(network, inputs_of(batch))
            read = True
    if not read:
        raise DataError("recalibrate got no batches; give it some training rows, as a list or a loader.")


def inputs_of(batch: Any) -> Inputs:
    """What the network takes of a batch: all of it, or the first of a tuple or list."""
    whole: Inputs = batch if isinstance(batch, Tensor | Batch | dict) else batch[0]
    return whole


class Merged:
    """Count, mean and sum of squared deviations of what came so far."""

    def __init__(self) -> None:
        self.count, self.batches = 0, 0
        self.mean: Tensor | float = 0.0
        self.squares: Tensor | float = 0.0
        self.waiting: list[tuple[int, Tensor, Tensor]] = []

    def add(self, count: int, mean: Tensor, variance: Tensor) -> None:
        """Takes `count` values with this mean and unbiased variance in."""
        self.waiting.append((count, mean.clone(), variance.clone()))
        self.batches += 1
        if len(self.waiting) == TOGETHER:
            self.merge()

    def merge(self) -> None:
        """Takes in what waits: M ← M + Σ (n − 1) s² + Σ n (μ − μ̂)², with the sum so far as one of them."""
        if not self.waiting:
            return
        sizes, means, variances = zip(*self.waiting, strict=True)
        center, spread = torch.stack(means).double(), torch.stack(variances).double()
        counts = center.new_tensor(sizes).unsqueeze(1)
        total = self.count + sum(sizes)
        mean = (self.count * self.mean + (counts * center).sum(0)) / total
        within = self.squares + ((counts - 1) * spread).sum(0)
        self.squares = within + self.count * (self.mean - mean).square() + (counts * (center - mean).square()).sum(0)
        self.count, self.mean, self.waiting = total, mean, []


@contextmanager
def measuring(network: nn.Module, totals: dict[_BatchNorm, Merged]) -> Iterator[None]:
    """Within it all is in evaluation mode but the norms, which show each batch's own mean and variance as estimates."""
    modes = [(module, module.training) for module in network.modules()]
    before = {norm: (norm.momentum, [value.clone() for value in norm.buffers()]) for norm in totals}
    handles = [norm.register_forward_hook(taking(total)) for norm, total in totals.items()]
    network.eval()
    for norm in totals:
        norm.momentum = 1.0  # the newest batch alone
        norm.train()
    try:
        yield
    except BaseException:
        totals = {norm: Merged() for norm in totals}  # half of the batches are no estimate
        raise
    finally:
        for handle in handles:
            handle.remove()
        for module, mode in modes:
            module.training = mode
        for norm, (momentum, values) in before.items():
            norm.momentum = momentum
            for own, value in zip(norm.buffers(), values, strict=True):
                own.copy_(value)
            settle(norm, totals[norm])


def taking(total: Merged) -> Any:
    def take(norm: _BatchNorm, _given: object, output: Tensor) -> None:
        assert norm.running_mean is not None
        assert norm.running_var is not None
        count = output.numel() // output.shape[1]
        if count:
            total.add(count, norm.running_mean, norm.running_var)

    return take


def settle(norm: _BatchNorm, total: Merged) -> None:
    """Puts the merged estimates into the norm, where anything came."""
    total.merge()
    if total.count > 1:
        assert isinstance(total.mean, Tensor)
        assert isinstance(total.squares, Tensor)
        for name, value in (("running_mean", total.mean), ("running_var", total.squares / (total.count - 1))):
            getattr(norm, name).copy_(value)
        assert norm.num_batches_tracked is not None
        norm.num_batches_tracked.fill_(total.batches)

"""Monte-Carlo dropout: the networks that dropout trained, asked one by one (L31)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from thalweg.data.noise import global_rng_kept, seed_noise
from thalweg.data.rows import Inputs, StepOutput, call, is_divisible, num_rows, take
from thalweg.errors import UsageError
from thalweg.parts.metrics.forms import exact
from thalweg.parts.regularizers.recognize import Noise, noises

ROWS_AT_ONCE = 1024
NO_DROPOUT = (
    "{} has no dropout with a probability above 0 that could be drawn, so that all samples would be the same. Train a "
    "network with dropout layers (Plan(dropout=0.1) sets the probability of those that it has); dropout that forward "
    "calls as a function cannot be reached: write it as a module."
)


@dataclass(frozen=True)
class Uncertainty:
    """What the sampled networks say of each row, in float64 on the CPU.

    Args:
        mean: `[N, ...]` the predictive mean: of the probabilities, or of the values.
        std: `[N, ...]` the standard deviation over the networks.
        entropy: `[N, ...]` of the mean probabilities, in nats: all doubt about the class; None for values.
        expected_entropy: the mean entropy of each network: the doubt that they share, as of noisy labels.
        mutual_information: the difference, at least 0: how much the networks disagree. It is what more data would take
            away, and is high on rows that are unlike the training's.
    """

    mean: Tensor
    std: Tensor
    entropy: Tensor | None = None
    expected_entropy: Tensor | None = None
    mutual_information: Tensor | None = None


def monte_carlo(
    model: nn.Module,
    inputs: Inputs,
    *,
    samples: int = 50,
    seed: int = 0,
    probabilities: Callable[[Tensor], Tensor] | None = None,
    rows_at_once: int = ROWS_AT_ONCE,
) -> Uncertainty:
    r"""Averages the network's answers over draws of its dropout, and tells their spread (L31).

        mean = 1/S Σ f(x; m_s),    entropy = H(mean),    mutual information = H(mean) − 1/S Σ H(f(x; m_s))

    Dropout on n units trains 2ⁿ networks that share their weights; at inference one scaled network stands for their
    mean. Here S of them are drawn. Only what drops is in training mode: dropout of any kind, stochastic depth,
    DropConnect; batch norms keep their running estimates. Modes, buffers and random generators are left as found.

    Disagreement is a hint, no proof: digits turned by 30° or random pixels are told from real ones by it (areas under
    the ROC curve of 0.86 and 0.97 after a short training), digits turned by 90° are called with confidence (0.38).

    The error of the mean falls with √S: 50 samples give it to 14 % of the spread. Of a regression the spread is that of
    the networks; the noise of the targets themselves is not in it.

    Args:
        model: any module; its dropout must be modules.
        inputs: `[N, ...]` a tensor, or a tuple or dict of them.
        samples: S, at least 2.
        seed: decides the draws; the same bits come again on the same machine and build.
        probabilities: the model's outputs to probabilities `[N, ..., classes]`, such as `lambda o: o.softmax(-1)`; None
            for values.
        rows_at_once: of a forward pass; several samples go through together where the rows are fewer.

    Returns:
        Mean, standard deviation and, of probabilities, entropies.

    Raises:
        UsageError: for a model without dropout, outputs that are no tensor, or fewer than two samples.

    >>> model = nn.Sequential(nn.Dropout(0.5), nn.Linear(2, 1, bias=False))
    >>> _ = nn.init.ones_(model[1].weight)
    >>> found = monte_carlo(model, torch.tensor([[1.0, 0.0], [3.0, 3.0]]), samples=10_000)
    >>> found.mean.round().int().flatten(), found.std.round().int().flatten()  # std is 1 and √18: √(Σ x² p / (1 − p))
    (tensor([1, 6], dtype=torch.int32), tensor([1, 4], dtype=torch.int32))

    Source: Gal, Ghahramani 2016, "Dropout as a Bayesian approximation"; the entropies: Houlsby et al. 2011, Gal 2016.
    torch has none; `model.train()` instead would also let batch norms take and move their batch's statistics.
    """
    if not isinstance(samples, int) or samples < 2:
        raise UsageError(f"monte_carlo got samples={samples!r}; allowed: an integer of at least 2, 50 is usual.")
    active = [noise for noise in noises(model) if noise.p > 0]
    if not active:
        raise UsageError(NO_DROPOUT.format(type(model).__name__))
    divisible = is_divisible(inputs)
    together = divisible and all(noise.per_row for noise in active)
    rows = torch.arange(num_rows(inputs))
    parts = []
    with sampling(model, active):
        for number, chunk in enumerate(rows.split(rows_at_once) if divisible else [rows]):  # type: ignore[no-untyped-call]
            copies = min(samples, max(1, rows_at_once // max(len(chunk), 1))) if together else 1
            spread = Spread(classes=probabilities is not None)
            for first in range(0, samples, copies):
                count = min(copies, samples - first)
                seed_noise(seed, number * samples + first)
                output = tensor_of(call(model, take(inputs, chunk.repeat(count)) if divisible else inputs))
                values = exact(output if probabilities is None else probabilities(output)).cpu()
                spread.add(values.reshape(count, len(values) // count, *values.shape[1:]))
            parts.append(spread.uncertainty())
    return joined(parts)


class Spread:
    """Sums over samples, from which mean, deviation and entropies come; no sample is kept."""

    def __init__(self, *, classes: bool) -> None:
        self.classes, self.count = classes, 0
        self.origin: Tensor | None = None  # the first sample: sums of squares around it lose no digits

    def add(self, values: Tensor) -> None:
        """Takes some samples `[S, N, ...]`."""
        if self.origin is None:
            self.origin = values[0]
            self.sums, self.squares = torch.zeros_like(self.origin), torch.zeros_like(self.origin)
            self.entropies = torch.zeros_like(self.origin[..., 0]) if self.classes else None
        self.count += len(values)
        moved = values - self.origin
        self.sums += moved.sum(0)
        self.squares += moved.square().sum(0)
        if self.entropies is not None:
            self.entropies += torch.special.entr(values).sum(-1).sum(0)

    def uncertainty(self) -> Uncertainty:
        assert self.origin is not None
        mean = self.origin + self.sums / self.count
        variance = (self.squares - self.sums.square() / self.count) / (self.count - 1)
        std = variance.clamp_min(0).sqrt()
        if self.entropies is None:
            return Uncertainty(mean, std)
        entropy, expected = torch.special.entr(mean).sum(-1), self.entropies / self.count
        return Uncertainty(mean, std, entropy, expected, (entropy - expected).clamp_min(0))


@contextmanager
def sampling(model: nn.Module, active: list[Noise]) -> Iterator[None]:
    """Evaluation mode, but for what drops; no gradients, and the random generators kept."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    for noise in active:
        noise.module.training = True
    for module in model.modules():
        if isinstance(module, nn.TransformerEncoderLayer):
            module.training = True  # else its fused form runs, which drops nothing; its norms and layers stay as set
    try:
        with torch.no_grad(), global_rng_kept():
            yield
    finally:
        for module, mode in modes:
            module.training = mode


def tensor_of(output: Any) -> Tensor:
    if isinstance(output, StepOutput):
        output = output.output
    if not isinstance(output, Tensor):
        raise UsageError(
            f"The model returned {type(output).__name__}, of which no mean is known; wrap it in a module that returns "
            "one tensor."
        )
    return output


def joined(parts: list[Uncertainty]) -> Uncertainty:
    """The rows of several one after another."""

    def together(name: str) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    return Uncertainty(*(together(name) for name in Uncertainty.__dataclass_fields__))  # type: ignore[arg-type]

"""Dropout, with noise that each member draws by itself."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value, float_or_refuse, spread


def of(kind: str, whole: int = 0) -> Rule:
    """The rule of a dropout.

    Args:
        kind: of noise.
        whole: dimensions of a member's tensor with a batch; one with a dimension less has none. 0: it does not matter.
    """

    def dropout(run: Run, input: Value, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:  # noqa: A002
        if not training or run.noise is None:
            return input
        x = spread(input, run.members)
        if x.dim() == whole:  # without a batch
            return Each(run.noise.dropout(x.unsqueeze(1), p, layer=run.layer, kind=kind).squeeze(1))
        return Each(run.noise.dropout(x, p, layer=run.layer, kind=kind))

    return dropout


def bernoulli(run: Run, target: Value, p: Any = 0.5, *, generator: Any = None) -> Any:
    """`x.bernoulli_(keep)`: the mask that stochastic depth multiplies a branch with."""
    keep = float_or_refuse(p, "the probability of a Bernoulli draw")
    shape = target.shape
    dtype = target.tensor.dtype if isinstance(target, Each) else target.dtype
    if run.noise is None:
        return torch.ones_like(target.tensor if isinstance(target, Each) else target)
    return Each(run.noise.bernoulli(shape, keep, layer=run.layer, dtype=dtype))


def idle_by_default(rule: Rule) -> Rule:
    """`F.alpha_dropout` and `F.feature_alpha_dropout`, which drop nothing unless told so."""

    def dropout(run: Run, input: Value, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:  # noqa: A002
        return rule(run, input, p, training)

    return dropout


RULES: dict[Any, Rule] = {
    F.dropout: of("elements"),
    torch.dropout: of("elements"),
    F.dropout1d: of("channels", 3),
    F.dropout2d: of("channels"),
    F.dropout3d: of("channels", 5),
    torch.feature_dropout: of("channels"),
    F.alpha_dropout: idle_by_default(of("alpha")),
    torch.alpha_dropout: of("alpha"),
    F.feature_alpha_dropout: idle_by_default(of("alpha channels")),
    torch.feature_alpha_dropout: of("alpha channels"),
    Tensor.bernoulli_: bernoulli,
}

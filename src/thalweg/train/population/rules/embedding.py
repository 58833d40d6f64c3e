"""Embeddings: one look-up in the members' tables, one below the other."""

from typing import Any

import torch
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value, raw, spread
from thalweg.train.population.tape import NotBatched


def embedding(
    run: Run,
    input: Value,  # noqa: A002
    weight: Value,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Any:
    if max_norm is not None or sparse:
        raise NotBatched("an embedding renormalizes its rows or has sparse gradients")
    if not isinstance(weight, Each):
        return Each(F.embedding(raw(input), weight, padding_idx, scale_grad_by_freq=scale_grad_by_freq))
    members, size, _ = weight.tensor.shape
    codes = spread(input, members)
    first = torch.arange(0, members * size, size, device=codes.device).view(-1, *[1] * (codes.dim() - 1))
    table = weight.tensor.flatten(0, 1)
    found = F.embedding(codes + first, table, scale_grad_by_freq=scale_grad_by_freq)
    if padding_idx is not None:  # its row gets no gradient
        found = torch.where((codes == padding_idx % size).unsqueeze(-1), found.detach(), found)
    return Each(found)


def embedding_bag(
    run: Run,
    input: Value,  # noqa: A002
    weight: Value,
    offsets: Value | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Value | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Any:
    """Bags of one size, `[B, N]`, whose members' rows are summed or averaged: they are more bags."""
    if max_norm is not None or sparse:
        raise NotBatched("an embedding renormalizes its rows or has sparse gradients")
    if offsets is not None or per_sample_weights is not None or padding_idx is not None or not isinstance(weight, Each):
        return NotImplemented
    members, size, _ = weight.tensor.shape
    codes = spread(input, members)
    first = torch.arange(0, members * size, size, device=codes.device).view(-1, 1, 1)
    bags = (codes + first).flatten(0, 1)
    table = weight.tensor.flatten(0, 1)
    found = F.embedding_bag(bags, table, scale_grad_by_freq=scale_grad_by_freq, mode=mode)
    return Each(torch.unflatten(found, 0, (members, -1)))


RULES: dict[Any, Rule] = {F.embedding: embedding, F.embedding_bag: embedding_bag}

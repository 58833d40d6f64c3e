"""Scaled dot-product attention: members are more rows of the batch."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value, aligned, rank, spread


def scaled_dot_product_attention(
    run: Run,
    query: Value,
    key: Value,
    value: Value,
    attn_mask: Value | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if dropout_p > 0 and run.noise is not None:
        return with_dropout(run, (query, key, value), attn_mask, dropout_p, is_causal, scale, enable_gqa)
    dims = max(rank(query), rank(key), rank(value))
    if min(rank(query), rank(key), rank(value)) != dims or dims < 3:
        return NotImplemented
    members = run.members
    q, k, v = (spread(each, members).flatten(0, 1) for each in (query, key, value))
    mask = None if attn_mask is None else rows_of(attn_mask, members, dims, len(q) // members)
    found = F.scaled_dot_product_attention(q, k, v, mask, 0.0, is_causal, scale=scale, enable_gqa=enable_gqa)
    return Each(torch.unflatten(found, 0, (members, -1)))


def rows_of(mask: Value, members: int, dims: int, rows: int) -> Tensor:
    """A mask that broadcasts against `[K·B, ..., T, S]`."""
    if not isinstance(mask, Each) and (mask.dim() < dims or mask.shape[0] == 1):
        return mask
    full: Tensor = aligned(mask, dims) if isinstance(mask, Each) else spread(mask, members)
    return full.expand(members, rows, *full.shape[2:]).flatten(0, 1)


def with_dropout(
    run: Run,
    given: tuple[Value, Value, Value],
    mask: Value | None,
    p: float,
    is_causal: bool,
    scale: float | None,
    enable_gqa: bool,
) -> Each:
    """softmax(q kᵀ scale + mask) with dropout, times v."""
    assert run.noise is not None
    dims = max(rank(each) for each in given)
    query, key, value = (aligned(Each(spread(each, run.members)), dims) for each in given)
    if enable_gqa:
        key, value = (t.repeat_interleave(query.shape[-3] // t.shape[-3], -3) for t in (key, value))
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = query * factor @ key.mT
    if is_causal:
        future = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).triu(1)
        scores = scores.masked_fill(future, -math.inf)
    if mask is not None:
        added = aligned(mask, dims)
        scores = scores.masked_fill(~added, -math.inf) if added.dtype == torch.bool else scores + added
    weights = run.noise.dropout(scores.softmax(-1), p, layer=run.layer)
    return Each(weights @ value)


RULES: dict[Any, Rule] = {F.scaled_dot_product_attention: scaled_dot_product_attention}

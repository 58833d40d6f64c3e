"""Linear layers and matrix products: one batched product for all members."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.train.population.each import Each, Rule, Run, Value, aligned, rank, raw, spread


def linear(run: Run, input: Value, weight: Value, bias: Value | None = None) -> Any:  # noqa: A002
    """`x Wᵀ + b`, one batched product. A shared x is read once for each member, never copied."""
    if rank(weight) != 2 or rank(input) < 1:
        return NotImplemented
    if not isinstance(weight, Each):
        product = F.linear(raw(input), weight, None if isinstance(bias, Each) else bias)
        return added(product, bias, rank(input)) if isinstance(bias, Each) else Each(product)
    members, outputs, inputs = weight.tensor.shape
    if isinstance(input, Each):
        rows = input.tensor if input.rank == 2 else input.tensor.reshape(members, -1, inputs)
    else:
        rows = input.reshape(-1, inputs).expand(members, -1, -1)
    if bias is None:
        product = torch.bmm(rows, weight.tensor.mT)
    else:
        product = torch.baddbmm(spread(bias, members).unsqueeze(1), rows, weight.tensor.mT)
    return Each(product if rank(input) == 2 else product.view(members, *input.shape[:-1], outputs))


def added(product: Tensor, bias: Each, dims: int) -> Each:
    return Each(product + aligned(bias, max(dims, 1)))


def matmul(run: Run, input: Value, other: Value) -> Any:  # noqa: A002
    """Products of matrices, whose leading dimensions broadcast."""
    dims = max(rank(input), rank(other))
    if min(rank(input), rank(other)) < 2:
        return NotImplemented
    return Each(torch.matmul(aligned(input, dims), aligned(other, dims)))


def addmm(run: Run, input: Value, mat1: Value, mat2: Value, *, beta: float = 1, alpha: float = 1) -> Any:  # noqa: A002
    """`beta * input + alpha * (mat1 @ mat2)`, as GPT-2's Conv1D has it."""
    product = torch.matmul(raw(mat1), raw(mat2))
    dims = product.dim() - (isinstance(mat1, Each) or isinstance(mat2, Each))
    return Each(torch.add(product * alpha, aligned(input, dims), alpha=beta))


RULES: dict[Any, Rule] = {
    F.linear: linear,
    **dict.fromkeys(
        (torch.matmul, Tensor.matmul, Tensor.__matmul__, torch.bmm, Tensor.bmm, torch.mm, Tensor.mm), matmul
    ),
    **dict.fromkeys((torch.addmm, Tensor.addmm), addmm),
}

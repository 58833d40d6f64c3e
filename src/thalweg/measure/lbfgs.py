"""Torch's L-BFGS without the second that the first optimizer of a process takes to import torch's compiler."""

from typing import Any

import torch


class LBFGS(torch.optim.LBFGS):
    """`torch.optim.LBFGS` with a line search, whose `add_param_group` is the plain function, not marked for dynamo.

    >>> x = torch.zeros(3, requires_grad=True)
    >>> def closure():
    ...     (x.grad,) = torch.autograd.grad(value := (x - 1).square().sum(), x)
    ...     return value
    >>> _ = LBFGS([x], max_iter=20).step(closure)
    >>> x.detach()
    tensor([1., 1., 1.])
    """

    add_param_group = getattr(
        torch.optim.Optimizer.add_param_group, "__wrapped__", torch.optim.Optimizer.add_param_group
    )

    def __init__(self, params: Any, **options: Any) -> None:
        super().__init__(params, line_search_fn="strong_wolfe", **options)

"""A PReLU whose slopes belong to the last dimension, where a linear layer has its features."""

import torch
from torch import Tensor, nn


class LastPReLU(nn.PReLU):
    """`nn.PReLU` has its slopes along dimension 1, which for `[rows, time, features]` is time.

    >>> LastPReLU(3, init=0.5)(torch.tensor([[[-2.0, 4.0, -6.0]]]))
    tensor([[[-1.,  4., -3.]]], grad_fn=<WhereBackward0>)
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        # Under autocast, where `input` is of half precision and the slopes are not, the result is as `nn.PReLU`'s.
        return torch.where(input > 0, input, self.weight.to(input.dtype) * input)

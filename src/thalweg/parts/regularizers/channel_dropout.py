"""Dropout of whole channels (L30)."""

import torch
from torch import Tensor
from torch.nn.modules.dropout import _DropoutNd

from thalweg.errors import UsageError


class ChannelDropout(_DropoutNd):
    r"""Sets whole channels of a sample to 0 with probability p while training (L30).

        y[n, c, …] = m[n, c] x[n, c, …] / (1 − p)

    Neighboring numbers of a feature map are much alike, so that dropping single ones takes away little; a channel that
    is missing takes its feature with it.

    Args:
        p: probability of being dropped, from 0 to 1; 0.1 to 0.3 are usual.
        inplace: whether to overwrite the input.

    Raises:
        UsageError: for an input of fewer than two dimensions.
        ValueError: for a p out of range, from torch.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> ChannelDropout(0.5)(torch.ones(1, 3, 2, 2)).flatten(2)
    tensor([[[0., 0., 0., 0.],
             [0., 0., 0., 0.],
             [2., 2., 2., 2.]]])

    Source: Tompson et al. 2015, "Efficient object localization using convolutional networks" (SpatialDropout). The
    operation of torch's Dropout1d, Dropout2d and Dropout3d, for inputs `[N, C, ...]` of any rank. Dimension 0 is always
    the batch: torch's take an input of one dimension less for a single sample, which is ambiguous.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() < 2:
            raise UsageError(f"ChannelDropout got an input of shape {list(x.shape)}; expected [N, C, ...].")
        if self.inplace:
            return torch.feature_dropout_(x, self.p, self.training)
        return torch.feature_dropout(x, self.p, self.training)

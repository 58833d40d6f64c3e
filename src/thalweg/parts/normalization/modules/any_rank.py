"""torch's batch norm and instance norm for any number of dimensions of places."""

from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm


class BatchNormNd(_BatchNorm):
    """`nn.BatchNorm` for `[N, C]` and `[N, C, ...]`; arguments and state are torch's.

    >>> import torch
    >>> norm = BatchNormNd(3)
    >>> norm(torch.randn(4, 3)).shape, norm(torch.randn(4, 3, 5, 5, 5)).shape
    (torch.Size([4, 3]), torch.Size([4, 3, 5, 5, 5]))
    """

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        if input.dim() < 2 or input.shape[1] != self.num_features:
            raise ValueError(
                f"{type(self).__name__} takes [N, {self.num_features}, ...], and received {list(input.shape)}."
            )


class InstanceNormNd(_InstanceNorm):
    """`nn.InstanceNorm` for `[N, C, ...]` with at least one dimension of places; arguments and state are torch's.

    A row without places is refused: torch's `InstanceNorm1d` takes `[N, C]` for one row of N channels.
    """

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        self._check_input_dim(input)
        output: Tensor = self._apply_instance_norm(input)  # type: ignore[no-untyped-call]
        return output

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002 - torch's name
        if input.dim() < 3 or input.shape[1] != self.num_features:
            raise ValueError(
                f"Instance norm takes [N, {self.num_features}, places, ...], and received {list(input.shape)}. Without "
                "places there is one value per row and channel, which has no variance: take LayerNorm or RMSNorm."
            )

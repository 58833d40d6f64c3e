"""Group norm: groups of channels of each row with their mean and variance."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from thalweg.parts.normalization.normalization import OutputNormalization

if TYPE_CHECKING:
    from torch import nn

# Least channels of a group. In table 3 of the source 2 cost 1.4 points of accuracy against 16, and 1, which is instance
# norm, 4.2. Without places they are all there is to estimate from: of 2 values only their order would be left.
LEAST = {True: 2, False: 8}


@dataclass(frozen=True, kw_only=True)
class GroupNorm(OutputNormalization):
    """Groups of channels of each row with the mean and variance they have together, over all places.

    With μ and σ² over the channels of a group and the places of one row, learned γ and β per channel:

        y = γ (x − μ) / √(σ² + ε) + β

    Nothing depends on the batch, and training and evaluation are the same: the way out where batches are small (L17).

    Args:
        groups: number of groups, at least 1. Where it does not divide the channels, or would leave a group fewer than 2
            of them (8 where there are no places, or where it is not known), the next smaller number that fits is
            taken; a plan says so. 1 is layer norm over channels and places.
        eps: ε, above 0.
        affine: whether γ and β are learned.

    Raises:
        UsageError: for a value out of range.

    >>> GroupNorm().build(96, dims=2)
    GroupNorm(32, 96, eps=1e-05, ...)
    >>> GroupNorm().build(24, dims=2).num_groups, GroupNorm().build(64, dims=0).num_groups
    (12, 8)

    Source: Wu, He 2018, "Group normalization", whose 32 groups are the default. Difference from PyTorch: the number of
    groups falls to one that fits; `nn.GroupNorm` has no default and refuses numbers that do not divide, and gives
    zeros for groups of a single value.
    """

    groups: int = 32
    eps: float = 1e-5
    affine: bool = True

    def __post_init__(self) -> None:
        whole = isinstance(self.groups, int) and not isinstance(self.groups, bool)
        self._check("groups", whole and self.groups >= 1, "an integer of at least 1")
        self._check_eps(self.eps)
        self._check_flags("affine")

    def groups_of(self, num_features: int, dims: int | None = 2) -> int:
        """The number of groups for so many channels.

        >>> [GroupNorm(groups=8).groups_of(channels) for channels in (64, 12, 7, 1)]
        [8, 6, 1, 1]
        """
        least = LEAST[bool(dims)]
        fitting = (n for n in range(self.groups, 1, -1) if num_features % n == 0 and num_features // n >= least)
        return next(fitting, 1)

    def build(self, num_features: int, *, dims: int | None = 2) -> "nn.Module":
        self._check_size(num_features, dims)
        from torch import nn

        return nn.GroupNorm(self.groups_of(num_features, dims), num_features, self.eps, self.affine)

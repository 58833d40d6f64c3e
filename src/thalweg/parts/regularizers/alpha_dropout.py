"""Dropout that keeps mean and variance, for networks of SELU (L30)."""

from torch import nn


class AlphaDropout(nn.AlphaDropout):
    r"""Sets numbers to SELU's negative limit with probability p while training, and restores mean and variance (L30).

        y = a (m x + (1 − m) α′) + b,    α′ = −λα = −1.7581
        a = ((1 − p) (1 + p α′²))^(−½),   b = −a p α′

    For inputs of mean 0 and variance 1, which SELU makes of such, the outputs have mean 0 and variance 1 too; zeros
    would pull both away and undo the self-normalization.

    Args:
        p: probability of being dropped, from 0 to 1; 0.05 to 0.1 are usual.
        inplace: whether to overwrite the input.

    Raises:
        ValueError: for a p out of range, from torch.

    >>> import torch
    >>> _ = torch.manual_seed(0)
    >>> y = AlphaDropout(0.2)(torch.randn(100_000))
    >>> bool(y.mean().abs() < 0.01), bool((y.var() - 1).abs() < 0.02)
    (True, True)

    Source: Klambauer et al. 2017, "Self-normalizing neural networks". It is `torch.nn.AlphaDropout`; whole channels
    drop in `torch.nn.FeatureAlphaDropout`.
    """

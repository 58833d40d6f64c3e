"""Regularizers: penalties and limits on the weights (L29), dropout (L30, L31). One file is one part."""

from thalweg.parts.regularizers.regularizer import Regularizer as Regularizer

__all__: list[str] = []  # those that a plan takes; the base `Regularizer` is not one

"""Initializers: the weights before the first step (L08 to L11). One file is one part."""

from thalweg.parts.initializers.initializer import Initializer as Initializer

__all__: list[str] = []  # the parts; the base `Initializer` is not one

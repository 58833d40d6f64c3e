"""Normalization: layers that keep the scale of what passes through them (L14 to L17). One file is one part."""

from thalweg.parts.normalization.normalization import Normalization as Normalization

__all__: list[str] = []  # the parts; the base `Normalization` is not one

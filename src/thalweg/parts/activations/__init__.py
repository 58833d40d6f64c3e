"""Activations: what makes a network more than one linear layer (L02). One file is one part."""

from thalweg.parts.activations.activation import Activation as Activation

__all__: list[str] = []  # the parts; the base `Activation` is not one

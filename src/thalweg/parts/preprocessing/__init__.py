"""What is done to the inputs and targets before the network sees them (L12, L13). One file is one part."""

from thalweg.parts.preprocessing.preparation import Preparation as Preparation

__all__: list[str] = []  # the parts; the base `Preparation` is not one

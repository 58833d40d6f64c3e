"""What is done to the inputs and targets before the network sees them."""

from thalweg.parts.preprocessing.moments import Moments
from thalweg.parts.preprocessing.standardize import Standardize, StandardizeEach, TargetScale, restore

__all__ = ["Moments", "Standardize", "StandardizeEach", "TargetScale", "restore"]

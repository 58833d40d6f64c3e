"""Averages of the weights along the training: `EMA` and `SWA`. One file is one part."""

from thalweg.parts.averaging.averaging import Averaging as Averaging
from thalweg.parts.averaging.ema import EMA
from thalweg.parts.averaging.swa import SWA

__all__ = ["EMA", "SWA"]  # the parts; the base `Averaging` is not one

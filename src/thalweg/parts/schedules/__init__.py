"""Schedules: `Constant`, `WarmupCosine`, `OneCycle`, functions of the step. One file is one part."""

from thalweg.parts.schedules.constant import Constant
from thalweg.parts.schedules.one_cycle import OneCycle
from thalweg.parts.schedules.schedule import Schedule as Schedule
from thalweg.parts.schedules.warmup_cosine import WarmupCosine

__all__ = ["Constant", "OneCycle", "WarmupCosine"]  # the parts; the base `Schedule` is not one

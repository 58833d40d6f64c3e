"""Schedules: the learning rate as a function of the step (L27, L28). One file is one part."""

from thalweg.parts.schedules.constant import Constant
from thalweg.parts.schedules.cosine import Cosine
from thalweg.parts.schedules.cosine_restarts import CosineRestarts
from thalweg.parts.schedules.exponential import Exponential
from thalweg.parts.schedules.linear import Linear
from thalweg.parts.schedules.multi_step import MultiStep
from thalweg.parts.schedules.one_cycle import OneCycle
from thalweg.parts.schedules.plateau import Plateau
from thalweg.parts.schedules.polynomial import Polynomial
from thalweg.parts.schedules.product import Product
from thalweg.parts.schedules.schedule import Measured as Measured
from thalweg.parts.schedules.schedule import Schedule as Schedule
from thalweg.parts.schedules.sequential import Sequential
from thalweg.parts.schedules.step import Step
from thalweg.parts.schedules.triangular import Triangular
from thalweg.parts.schedules.warmup import Warmup
from thalweg.parts.schedules.warmup_cosine import WarmupCosine
from thalweg.parts.schedules.warmup_stable_decay import WarmupStableDecay

__all__ = [  # the parts; the base `Schedule` is not one
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Linear",
    "MultiStep",
    "OneCycle",
    "Plateau",
    "Polynomial",
    "Product",
    "Sequential",
    "Step",
    "Triangular",
    "Warmup",
    "WarmupCosine",
    "WarmupStableDecay",
]

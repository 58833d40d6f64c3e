"""Optimizers: `SGD`, `Adagrad`, `RMSprop`, `Adam`, `AdamW`, named as in torch. One file is one part."""

from thalweg.parts.optimizers.adagrad import Adagrad
from thalweg.parts.optimizers.adam import Adam
from thalweg.parts.optimizers.adamw import AdamW
from thalweg.parts.optimizers.optimizer import Optimizer as Optimizer
from thalweg.parts.optimizers.rmsprop import RMSprop
from thalweg.parts.optimizers.sgd import SGD

__all__ = ["SGD", "Adagrad", "Adam", "AdamW", "RMSprop"]  # the parts; the base `Optimizer` is not one

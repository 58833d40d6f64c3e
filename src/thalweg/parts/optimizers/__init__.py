"""Optimizers, named as in torch where it has them; `Torch` runs any of `torch.optim`. One file is one part."""

from thalweg.parts.optimizers.adagrad import Adagrad
from thalweg.parts.optimizers.adam import Adam
from thalweg.parts.optimizers.adamw import AdamW
from thalweg.parts.optimizers.lion import Lion
from thalweg.parts.optimizers.muon import Muon
from thalweg.parts.optimizers.nadam import NAdam
from thalweg.parts.optimizers.optimizer import Optimizer as Optimizer
from thalweg.parts.optimizers.radam import RAdam
from thalweg.parts.optimizers.rmsprop import RMSprop
from thalweg.parts.optimizers.schedule_free import ScheduleFree
from thalweg.parts.optimizers.sgd import SGD
from thalweg.parts.optimizers.torch_optimizer import Torch

__all__ = [  # the parts; the base `Optimizer` is not one
    "SGD",
    "Adagrad",
    "Adam",
    "AdamW",
    "Lion",
    "Muon",
    "NAdam",
    "RAdam",
    "RMSprop",
    "ScheduleFree",
    "Torch",
]

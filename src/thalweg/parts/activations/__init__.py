"""Activations: what makes a network more than one linear layer (L02). One file is one part."""

from thalweg.parts.activations.activation import Activation as Activation
from thalweg.parts.activations.elu import ELU
from thalweg.parts.activations.gelu import GELU
from thalweg.parts.activations.hard_sigmoid import HardSigmoid
from thalweg.parts.activations.hardswish import Hardswish
from thalweg.parts.activations.identity import Identity
from thalweg.parts.activations.leaky_relu import LeakyReLU
from thalweg.parts.activations.mish import Mish
from thalweg.parts.activations.prelu import PReLU
from thalweg.parts.activations.relu import ReLU
from thalweg.parts.activations.selu import SELU
from thalweg.parts.activations.sigmoid import Sigmoid
from thalweg.parts.activations.silu import SiLU
from thalweg.parts.activations.softplus import Softplus
from thalweg.parts.activations.tanh import Tanh

__all__ = [  # the parts; the base `Activation` is not one
    "ELU",
    "GELU",
    "SELU",
    "HardSigmoid",
    "Hardswish",
    "Identity",
    "LeakyReLU",
    "Mish",
    "PReLU",
    "ReLU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Tanh",
]

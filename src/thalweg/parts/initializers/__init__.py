"""Initializers: the weights before the first step (L08 to L11). One file is one part.

`tw.initialize(network, inputs, He())` draws a whole network; `He().fill_(tensor)` one tensor. `Kaiming` and `Glorot`
are other names of `He` and `Xavier`.
"""

from thalweg.parts.initializers.constant import Constant
from thalweg.parts.initializers.dirac import Dirac
from thalweg.parts.initializers.forget_bias import ForgetBias
from thalweg.parts.initializers.he import He
from thalweg.parts.initializers.initializer import Initializer as Initializer
from thalweg.parts.initializers.lecun import LeCun
from thalweg.parts.initializers.lsuv import LSUV
from thalweg.parts.initializers.normal import Normal
from thalweg.parts.initializers.orthogonal import Orthogonal
from thalweg.parts.initializers.sparse import Sparse
from thalweg.parts.initializers.truncated_normal import TruncatedNormal
from thalweg.parts.initializers.uniform import Uniform
from thalweg.parts.initializers.xavier import Xavier
from thalweg.parts.initializers.zero_residual import ZeroResidual

Kaiming, Glorot = He, Xavier

__all__ = [  # the parts; the base `Initializer` is not one
    "LSUV",
    "Constant",
    "Dirac",
    "ForgetBias",
    "He",
    "LeCun",
    "Normal",
    "Orthogonal",
    "Sparse",
    "TruncatedNormal",
    "Uniform",
    "Xavier",
    "ZeroResidual",
]

"""Regularizers: penalties and limits on the weights (L29), dropout (L30, L31). One file is one part.

A plan takes the specs, which need no torch. The modules, for networks of one's own, and `monte_carlo` load it when they
are first named.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from thalweg.parts.regularizers.decoupled_decay import DecoupledDecay
from thalweg.parts.regularizers.elastic_net import ElasticNet
from thalweg.parts.regularizers.l1 import L1
from thalweg.parts.regularizers.l2 import L2
from thalweg.parts.regularizers.max_norm import MaxNorm
from thalweg.parts.regularizers.regularizer import Regularizer as Regularizer
from thalweg.parts.regularizers.several import Several

if TYPE_CHECKING:
    from thalweg.parts.regularizers.alpha_dropout import AlphaDropout as AlphaDropout
    from thalweg.parts.regularizers.channel_dropout import ChannelDropout as ChannelDropout
    from thalweg.parts.regularizers.drop_connect import DropConnect as DropConnect
    from thalweg.parts.regularizers.dropout import Dropout as Dropout
    from thalweg.parts.regularizers.mc_dropout import monte_carlo as monte_carlo
    from thalweg.parts.regularizers.stochastic_depth import StochasticDepth as StochasticDepth
    from thalweg.parts.regularizers.stochastic_depth import rates_by_depth as rates_by_depth

__all__ = [  # those that a plan takes; the base `Regularizer` is not one
    "L1",
    "L2",
    "DecoupledDecay",
    "ElasticNet",
    "MaxNorm",
    "Several",
]
BY_HAND = {  # what users compose into their own networks, or call, and its module here
    "Dropout": "dropout",
    "ChannelDropout": "channel_dropout",
    "AlphaDropout": "alpha_dropout",
    "DropConnect": "drop_connect",
    "StochasticDepth": "stochastic_depth",
    "rates_by_depth": "stochastic_depth",
    "monte_carlo": "mc_dropout",
}


def __getattr__(name: str) -> Any:
    if name in BY_HAND:
        return getattr(import_module(f"{__name__}.{BY_HAND[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has: {', '.join([*__all__, *BY_HAND])}")

"""How each of torch's functions is run for all members at once: one file per family.

A rule takes `(run, *args, **kwargs)`, the arguments as the function has them, with an `Each` where they differ by
member. It may return `NotImplemented`: then `torch.func.vmap` of that one function does it.
"""

from collections.abc import Callable
from typing import Any

from thalweg.train.population.each import Rule
from thalweg.train.population.rules.attention import RULES as ATTENTION
from thalweg.train.population.rules.convolution import RULES as CONVOLUTION
from thalweg.train.population.rules.dropout import RULES as DROPOUT
from thalweg.train.population.rules.embedding import RULES as EMBEDDING
from thalweg.train.population.rules.indexing import NAMES as INDEXING_NAMES
from thalweg.train.population.rules.linear import RULES as LINEAR
from thalweg.train.population.rules.normalization import RULES as NORMALIZATION
from thalweg.train.population.rules.pointwise import NAMES as POINTWISE_NAMES
from thalweg.train.population.rules.pooling import RULES as POOLING
from thalweg.train.population.rules.recurrent import RULES as RECURRENT
from thalweg.train.population.rules.reductions import NAMES as REDUCTIONS_NAMES
from thalweg.train.population.rules.shapes import NAMES as SHAPES_NAMES
from thalweg.train.population.tape import name_of

FUNCTIONS: dict[Any, Rule] = {
    **LINEAR,
    **CONVOLUTION,
    **NORMALIZATION,
    **EMBEDDING,
    **ATTENTION,
    **RECURRENT,
    **POOLING,
    **DROPOUT,
}
NAMES: dict[str, Callable[[Any], Rule]] = {  # `torch.sum`, `x.sum` are alike
    **POINTWISE_NAMES,
    **REDUCTIONS_NAMES,
    **SHAPES_NAMES,
    **INDEXING_NAMES,
}


def rule_of(function: Any) -> Rule | None:
    """The rule of a function; None where `torch.func.vmap` does it.

    >>> import torch
    >>> rule_of(torch.nn.functional.linear).__name__, rule_of(torch.linalg.det)
    ('linear', None)
    """
    if function in FUNCTIONS:
        return FUNCTIONS[function]
    make = NAMES.get(name_of(function))
    return None if make is None else make(function)

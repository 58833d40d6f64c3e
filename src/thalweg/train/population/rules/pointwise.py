"""Functions of single numbers, whose arguments broadcast: a lower rank is filled up after K, not before it."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from thalweg.train.population.each import Each, Rule, Run, Value, aligned, rank, spread

Maker = Callable[[Any], Rule]
OPERATIONS = (
    *("add", "sub", "subtract", "mul", "multiply", "div", "divide", "true_divide", "floor_divide", "remainder", "fmod"),
    *("__radd__", "__rsub__", "__rmul__", "__rdiv__", "__rtruediv__", "__rpow__", "__rfloordiv__", "__rmod__"),
    *("__add__", "__sub__", "__mul__", "__truediv__", "__div__", "__pow__", "__floordiv__", "__mod__", "__neg__"),
    *("pow", "float_power", "neg", "negative", "positive", "abs", "absolute", "__abs__", "sign", "sgn", "rsub"),
    *("maximum", "minimum", "fmax", "fmin", "clamp", "clip", "clamp_min", "clamp_max", "where", "lerp", "addcmul"),
    *("addcdiv", "masked_fill", "hypot", "atan2", "arctan2", "xlogy", "copysign", "logaddexp", "nan_to_num"),
    *("eq", "ne", "lt", "le", "gt", "ge", "__eq__", "__ne__", "__lt__", "__le__", "__gt__", "__ge__", "not_equal"),
    *("greater", "greater_equal", "less", "less_equal", "isnan", "isinf", "isfinite", "isclose"),
    *("logical_and", "logical_or", "logical_not", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_not"),
    *("bitwise_xor", "__and__", "__or__", "__xor__", "__invert__", "__rand__", "__ror__", "__rxor__"),
    *("exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "square", "reciprocal"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "arctan", "sinh", "cosh", "asinh", "acosh", "atanh", "sinc"),
    *("erf", "erfc", "erfinv", "special_erf", "lgamma", "digamma", "floor", "ceil", "round", "trunc", "frac"),
    *("copied", "zeroed"),
)
ACTIVATIONS = (
    *("relu", "relu6", "elu", "selu", "celu", "leaky_relu", "gelu", "silu", "mish", "softplus", "sigmoid", "tanh"),
    *("hardtanh", "hardswish", "hardsigmoid", "hardshrink", "softshrink", "tanhshrink", "softsign", "logsigmoid"),
    *("threshold", "logit", "expit"),
)
CONVERSIONS = (
    *("to", "float", "double", "half", "bfloat16", "int", "long", "bool", "type", "type_as", "detach", "data"),
    *("cpu", "cuda", "requires_grad_", "alias"),
)
SHAPE_ONLY = (
    *("zeros_like", "ones_like", "full_like", "empty_like"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "new_tensor"),
)


def pointwise(function: Any) -> Rule:
    """Any function of numbers: arguments are aligned, and it is called once."""

    def elementwise(run: Run, *args: Any, **kwargs: Any) -> Any:
        number = sum(isinstance(value, Each | Tensor) for value in (*args, *kwargs.values()))
        if number == 1 and args and isinstance(args[0], Each):  # the usual forms, without a search
            return Each(function(args[0].tensor, *args[1:], **kwargs))
        if number == 2 and len(args) == 2 and isinstance(args[0], Each) and isinstance(args[1], Each):
            one, other = args[0].tensor, args[1].tensor
            if one.dim() == other.dim():
                return Each(function(one, other, **kwargs))
        values = [value for value in (*args, *kwargs.values()) if isinstance(value, Each | Tensor)]
        dims = max(rank(value) for value in values)
        if promotes(values, dims):
            return NotImplemented
        given = [aligned(value, dims) for value in args]
        named = {key: aligned(value, dims) for key, value in kwargs.items()}
        return Each(function(*given, **named))

    return elementwise


def promotes(values: list[Value], dims: int) -> bool:
    """Whether the type of the result may depend on a member's tensor without dimensions being one."""
    types = {raw_dtype(value) for value in values}
    return len(types - {torch.bool}) > 1 and dims > 0 and any(isinstance(v, Each) and v.rank == 0 for v in values)


def raw_dtype(value: Value) -> torch.dtype:
    return value.tensor.dtype if isinstance(value, Each) else value.dtype


def conversion(function: Any) -> Rule:
    """Of type, device or layout in memory; a layout by channels last is of a member's rank and left out."""

    def convert(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        kwargs = {key: value for key, value in kwargs.items() if key != "memory_format"}
        given = [
            arg.tensor if isinstance(arg, Each) else arg for arg in args if not isinstance(arg, torch.memory_format)
        ]
        if not isinstance(input, Each):  # x.type_as(weight)
            return function(input, *given, **kwargs)
        return Each(function(input.tensor, *given, **kwargs))

    return convert


def ordered(function: Any) -> Rule:
    """A copy in the order of its dimensions, so that its views are views for all members too."""

    def copy(run: Run, input: Value, *, memory_format: Any = None) -> Any:  # noqa: A002
        return Each(function(input.tensor, memory_format=torch.contiguous_format))  # type: ignore[union-attr]

    return copy


def shape_only(function: Any) -> Rule:
    """What reads the shape, type and device alone, so that all members share the result."""

    def like(run: Run, input: Value, *args: Any, **kwargs: Any) -> Any:  # noqa: A002
        return function(input.tensor[0], *args, **kwargs) if isinstance(input, Each) else NotImplemented

    return like


def prelu(run: Run, input: Value, weight: Value) -> Any:  # noqa: A002
    """A slope for all, or one per channel."""
    x = input.tensor if isinstance(input, Each) else input
    slope = spread(weight, run.members)
    dims = rank(input)
    after = dims - 2 if dims > 1 else 0  # dimensions behind the channels
    slope = slope.reshape(run.members, *[1] * (dims - after - (dims > 0)), *[-1] * (dims > 0), *[1] * after)
    return Each(torch.where(x > 0, x, x * slope.to(x.dtype)))


NAMES: dict[str, Maker] = {
    **dict.fromkeys((*OPERATIONS, *ACTIVATIONS), pointwise),
    **dict.fromkeys(CONVERSIONS, conversion),
    **dict.fromkeys(("clone", "contiguous"), ordered),
    **dict.fromkeys(SHAPE_ONLY, shape_only),
    "prelu": lambda _: prelu,
}

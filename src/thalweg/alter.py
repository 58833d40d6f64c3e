"""What a plan changes in a network before it trains: activations, normalization, dropout, the first weights."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from thalweg.data.sample import spread
from thalweg.errors import ModelError
from thalweg.initialization import draw_anew
from thalweg.parts.activations.replace import replace_activations
from thalweg.parts.normalization.replace import replace_normalization
from thalweg.parts.regularizers.replace import set_dropout
from thalweg.plan import Plan
from thalweg.recipe import Decision

if TYPE_CHECKING:
    from thalweg.data.rows import AnyRows
    from thalweg.setup import Setup

NONE_FOUND = (
    "Plan field {!r} got {!r}, and {} has no {} as a module that could be changed. What forward calls as a function "
    "cannot be reached: write it as a module, or leave the field at None."
)


def alter(
    network: nn.Module,
    plan: Plan,
    *,
    built_with_activation: bool = False,
    originals: Mapping[str, Tensor] | None = None,
) -> list[Decision]:
    """Changes the modules of `network`, in place, as the plan asks; says what was changed.

    Args:
        network: with every tensor in its shape: lazy layers have run.
        plan: whose fields `activation`, `normalization` and `dropout` are taken.
        built_with_activation: whether the network's builder has got the plan's as an argument.
        originals: the weights that a run had normalized, by the place of their layers: those are here.

    Raises:
        ModelError: where the network has nothing of the kind.
    """
    decisions = []
    changes: tuple[tuple[str, Any, Callable[[nn.Module, Any], list[str]], str], ...] = (
        ("activation", plan.activation, replace_activations, "activation between its layers"),
        ("normalization", plan.normalization, partial(replace_normalization, originals=originals), "normalization"),
        ("dropout", plan.dropout, set_dropout, "dropout"),
    )
    for field, value, change, what in changes:
        if value is None:
            continue
        if field == "activation" and built_with_activation:
            decisions.append(Decision(field, str(value), "asked for; the builder got it as its argument"))
            continue
        places = change(network, value)
        if not places:
            raise ModelError(NONE_FOUND.format(field, value, type(network).__name__, what))
        told = places
        if len(places) > 7:  # the last may say what was left alone
            told = [*places[:5], f"{len(places) - 6} more", places[-1]]
        decisions.append(Decision(field, str(value), f"asked for; changed at {', '.join(told)}"))
    return decisions


def initialize_anew(setup: "Setup", rows: "AnyRows") -> Decision:
    """Draws the weights of the setup's network by the plan's initializer, gains and scales taken from training rows."""
    plan = setup.plan
    assert plan.initialization is not None
    assert isinstance(plan.batch_size, int)
    assert isinstance(plan.seed, int)
    inputs, _ = next(iter(setup.held_out(spread(rows, plan.batch_size), 2).epoch(0)))
    tensors = draw_anew(setup.network, inputs, plan.initialization, seed=plan.seed)
    kept = [row.name for row in tensors if not row.changed]
    left = f", {len(kept)} left as they were ({', '.join(kept[:3])})" if kept else ""
    reason = f"asked for; {len(tensors) - len(kept)} tensors drawn anew or set{left}"
    return Decision("initialization", str(plan.initialization), reason)

"""What to know about a comparison: what its seeds vary, and what its values are of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import nn

from thalweg.compare.arms import varied
from thalweg.data.resplit import why_not
from thalweg.errors import ModelError, UsageError
from thalweg.plan import Plan
from thalweg.train.kept import KeptModule

if TYPE_CHECKING:
    from thalweg.experiment import Experiment

TOO_GOOD = "The measure is of the validation rows that also chose the epoch, so every value is a little too good."
THESE_ROWS = "Intervals and verdicts hold over seeds and splits of these rows."
UNEQUAL = "The arms were not trained equally long: they differ in epochs."


def drawn_anew(
    experiment: "Experiment", plans: Sequence[Plan], seeds: Sequence[int], splits: str | bool
) -> tuple[bool, str]:
    """Whether each seed draws the validation rows anew, and what to say where it does not."""
    if splits not in ("auto", False):
        raise UsageError(
            f"compare got splits={splits!r}; allowed: 'auto', which draws the validation rows anew under each seed "
            "where the experiment split them off itself, or False."
        )
    reason = "splits=False" if splits is False else why_not(experiment.data)
    if not reason and widths_differ(experiment, plans[0], seeds):
        reason = "the table has other features in other splits, and the module takes those of one; a builder takes all"
    if not reason:
        return True, ""
    return False, f"The validation rows are the same under every seed ({reason}): what is found holds for these rows."


def widths_differ(experiment: "Experiment", plan: Plan, seeds: Sequence[int]) -> bool:
    """Whether a module does not take the table of some split: a level or a missing value is not in all of them."""
    if experiment.data.table is None or not isinstance(experiment.model, nn.Module | KeptModule):
        return False
    try:
        for seed in seeds:
            experiment._drawn(seed)._set_up(plan.replace(workers=0, initialization=None))
    except ModelError:
        return True
    return False


def what_varies(experiment: "Experiment", plans: Sequence[Plan], seeds: Sequence[int], *, drawn: bool) -> str:
    """The sources of variance that the seeds go through."""
    rest = "order, noise and which rows validate" if drawn else "order and noise"
    if any(plan.initialization is None for plan in plans):
        if isinstance(experiment.model, nn.Module | KeptModule):
            return (
                f"All start from the weights of the module that was given: seeds vary {rest}. A builder, or "
                "initialization= in the plan, would vary the start too."
            )
        if starts_alike(experiment, next(plan for plan in plans if plan.initialization is None), seeds):
            return (
                f"The builder makes the same weights under every seed (it loads, seeds or sets them): seeds vary "
                f"{rest}. initialization= in the plan would vary the start too."
            )
    return f"Seeds vary initialization, {rest}, alike for all arms."


def starts_alike(experiment: "Experiment", plan: Plan, seeds: Sequence[int]) -> bool:
    """Whether a builder ignores the seed: two networks of different seeds are equal, tensor by tensor."""
    plan = plan.replace(memory_format="contiguous", workers=0)
    first, second = (experiment._set_up(plan.replace(seed=seed)).network.state_dict() for seed in seeds[:2])
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def notes_of(
    experiment: "Experiment", plans: Sequence[Plan], seeds: Sequence[int], splits: str | bool
) -> tuple[bool, list[str]]:
    """Whether the validation rows are drawn anew, and what to know before any value is there."""
    drawn, why = drawn_anew(experiment, plans, seeds, splits)
    notes = [what_varies(experiment, plans, seeds, drawn=drawn), THESE_ROWS if drawn else why, TOO_GOOD]
    notes.append(UNEQUAL if "epochs" in varied(plans) else "")
    return drawn, [note for note in notes if note]

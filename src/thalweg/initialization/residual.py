"""Residual branches that begin as nothing."""

from dataclasses import replace

from torch import nn
from torch.nn.utils.parametrize import is_parametrized

from thalweg.initialization.result import Row
from thalweg.initialization.tensors import put
from thalweg.measure.branches import Branch, branches
from thalweg.measure.following import Course


def zero_branches(network: nn.Module, course: Course, rows: list[Row]) -> list[Row]:
    """Makes the last layer of each branch zero; its row says so, or why not."""
    done = {row.name: row for row in rows}
    for branch in branches(course):
        for maker in branch.ends:
            name = last_tensor(network, course, maker.place)
            row = done.get(name)
            if row is None:  # a function, or a normalization without a scale
                continue
            reason = obstacle(network, course, branch, maker.place, row)
            if reason:
                done[name] = replace(row, done=f"{row.done}; the end of a residual branch, not 0: {reason}")
                continue
            place, _, attribute = name.rpartition(".")
            module = network.get_submodule(place)
            put(module, attribute, getattr(module, attribute).detach() * 0)
            done[name] = replace(row, wanted=None, drawn=0.0, done="set to 0: the end of a residual branch")
    return [done[row.name] for row in rows]


def last_tensor(network: nn.Module, course: Course, place: str) -> str:
    """The scale or weight that the outputs of a layer are proportional to."""
    if isinstance(network.get_submodule(place), nn.MultiheadAttention):
        place = f"{place}.out_proj"
    name = course.weights[place].name if place in course.weights else course.scales.get(place, "weight")
    return f"{place}.{name}"


def obstacle(network: nn.Module, course: Course, branch: Branch, place: str, row: Row) -> str:
    """Why the end of a branch cannot be zero; empty where it can."""
    if not row.changed:
        return "it was left as it was"
    if branch.bent:
        return f"{branch.bent} ends it, whose gradient at 0 may be 0"
    if len(branch.ends) > 1:
        return "several layers end it"
    if course.calls.get(place, 0) > 1 or "shared by" in row.done:
        return "the layer is used several times"
    if is_parametrized(network.get_submodule(row.name.rpartition(".")[0])):
        return "it is parametrized"
    return ""

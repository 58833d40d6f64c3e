"""Residual branches: what is added to what it was computed from, read off the graph of one forward pass."""

from collections import deque
from dataclasses import dataclass

from thalweg.measure.following import Course, Maker, Node

ADD = "AddBackward0"


@dataclass(frozen=True)
class Branch:
    """One branch.

    Args:
        ends: the layers or normalizations that make its result; several where it ends in a product, say.
        bent: the activation that it ends with, if any.
    """

    ends: tuple[Maker, ...]
    bent: str = ""


def branches(course: Course) -> list[Branch]:
    """The residual branches in the order in which they run.

    Of operands that are added, one that all others were computed from is the shortcut, and the others are branches.
    Where two were computed from a third, the one with several layers is the branch if the other has at most one (a
    projection). Nothing inside a branch may be read outside of it.
    """
    adds = [node for node in course.live if node.name() == ADD and course.makers.get(node) is None]
    inner = {add: operands(course, add) for add in adds}
    swallowed = {node for _, passed in inner.values() for node in passed[1:]}
    found = []
    for add in sorted(adds, key=lambda node: int(node._sequence_nr())):
        if add not in swallowed:
            parts, passed = inner[add]
            found += [branch_of(course, end, inside) for end, inside in sides(course, parts, set(passed))]
    return found


def operands(course: Course, add: Node) -> tuple[list[Node], list[Node]]:
    """What a sum of sums adds up, and the additions; an inner sum counts if nothing else reads it."""
    parts: list[Node] = []
    passed, waiting = [add], deque([add])
    while waiting:
        for before, _ in waiting.popleft().next_functions:
            if before not in course.live:
                continue
            alone = before.name() == ADD and before not in course.makers and len(course.readers[before]) == 1
            (waiting if alone else parts).append(before)
            if alone:
                passed.append(before)
    return parts, passed


def sides(course: Course, parts: list[Node], adds: set[Node]) -> list[tuple[Node, set[Node]]]:
    """The last node of each branch, and its nodes."""
    if len(set(parts)) < 2:
        return []
    above = {part: ancestors(course, part) for part in parts}
    for shortcut in parts:
        others = [part for part in parts if part is not shortcut]
        if all(shortcut in above[part] for part in others):
            inside = {part: above[part] - above[shortcut] for part in others}
            if not closed(course, set().union(*inside.values()), adds):
                return []
            return [(part, nodes) for part, nodes in inside.items() if layers_in(course, nodes)]
    if len(parts) != 2 or not (common := above[parts[0]] & above[parts[1]]):
        return []
    short, long = sorted(parts, key=lambda part: layers_in(course, above[part] - common))
    own = [above[part] - common for part in (short, long)]
    if layers_in(course, own[0]) > 1 or layers_in(course, own[1]) < 2:
        return []
    return [(long, own[1])] if all(closed(course, nodes, adds) for nodes in own) else []


def ancestors(course: Course, node: Node) -> set[Node]:
    """The node and all that it was computed from that depends on the data."""
    found, waiting = {node}, [node]
    while waiting:
        for before, _ in waiting.pop().next_functions:
            if before in course.live and before not in found:
                found.add(before)
                waiting.append(before)
    return found


def layers_in(course: Course, nodes: set[Node]) -> int:
    """How many layers made these nodes."""
    return len({m.place for node in nodes if (m := course.makers.get(node)) is not None and m.kind == "layer"})


def closed(course: Course, nodes: set[Node], adds: set[Node]) -> bool:
    """Whether only the nodes themselves and the additions read them."""
    return all(reader in nodes or reader in adds for node in nodes for reader in course.readers.get(node, ()))


def branch_of(course: Course, end: Node, inside: set[Node]) -> Branch:
    """The layers or normalizations nearest to the branch's end."""
    ends: dict[Maker, None] = {}
    bent = ""
    waiting, seen = [end], {end}
    while waiting:
        node = waiting.pop()
        maker = course.makers.get(node)
        if maker is not None and maker.kind in ("layer", "norm"):
            ends[maker] = None
            continue
        if maker is not None and maker.kind == "activation":
            bent = maker.name
        for before, _ in node.next_functions:
            if before in inside and before not in seen:
                seen.add(before)
                waiting.append(before)
    return Branch(tuple(ends), bent)

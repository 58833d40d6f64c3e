"""# GRAD01: parameters without gradient

## What it does
Finds weights that shape the outputs and cannot learn: layers that `parameters()` does not know (kept in a Python list,
made anew in each forward), parameters cut off by `detach()` or `no_grad`, and parameters behind an operation whose
gradient is zero everywhere (rounding, sign, argmax).

## Why it is bad
They stay as they were drawn. The layers after them learn to live with random features, and the training looks merely
mediocre.

## Evidence used
- Autograd's graph of the outputs: leaves that require a gradient and that the network does not own
  (`parameter.foreign`), the same ones in two calls, or new ones.
- Gradients on several batches while the weights move: None (`parameter.detached`) or exactly zero on all
  (`parameter.zero`); and how much the outputs change when the parameter is moved, by a tenth of its size or, where it
  has no gradient at all, until something changes. A dead ReLU changes nothing by a tenth; a rounded value jumps.
- `parameter.frozen`: values that require no gradient; and `twin.unfrozen.*`, where frozen weights were drawn and not
  trained before: the whole training again with them free. An alarm below 0.8 of what that reaches.
- `outcome.score`: a training that reached 0.8 of all there is beyond a constant answer gets a note.

## Known limits
Features that are fixed on purpose under `no_grad` look the same as an accident; setting requires_grad_(False) says
that they are meant. What an optimizer is given is seen when training, not here. Parameters that do nothing at all are
a note.

## Remedies
- Keep layers as attributes or in nn.ModuleList, build them in `__init__` (manual).
- Remove the `detach()`, or set requires_grad_(False) where it is meant (manual).

## References
Lecture row L01: how gradients flow; PyTorch documentation of nn.ModuleList and of Tensor.detach.
"""

from dataclasses import replace

from thalweg.findings import Evidence, Excluded, Finding, Remedy, Severity
from thalweg.readings import Reading, Readings
from thalweg.rules.harm import harm, works

CODE = "GRAD01"
NAME = "parameters without gradient"
STAGE = "check"
NEEDS = ("parameter.trainable",)

DEPENDS = 1e-4  # relative change of the outputs: float32 noise is below 1e-5
JUMP = 1e-3  # for a gradient of zero: the outputs must really move


def judge(readings: Readings) -> list[Finding]:
    found = [each for look in (foreign, detached, flat, unused, frozen) if (each := look(readings)) is not None]
    # The fact stays one, but a network that answers well with what does learn is not harmed.
    return [replace(each, severity="note") for each in found] if works(readings) else found


def finding(
    title: str,
    why: str,
    evidence: list[Evidence],
    remedy: str,
    *,
    severity: Severity = "error",
    place: str = "",
    excluded: tuple[Excluded, ...] = (),
) -> Finding:
    return Finding(
        code=CODE,
        title=title,
        severity=severity,
        standing="proven",
        cause="parameters_not_trained",
        why=why,
        place=place,
        evidence=tuple(evidence),
        excluded=excluded,
        remedies=(Remedy(remedy, "manual"),) if remedy else (),
    )


def share_of(readings: Readings, size: float) -> str:
    known = (readings.value("parameter.trainable") or 0) + (readings.value("parameter.frozen") or 0)
    return f"{size:,.0f}, beside {known:,.0f} that it knows"


def foreign(readings: Readings) -> Finding | None:
    found = readings.last("parameter.foreign")
    if found is None or found.value == 0:
        return None
    kept = found.note == "kept"
    return finding(
        f"{found.value:,.0f} weights shape the outputs, but parameters() does not know them",
        "No optimizer is given them: they stay as they were drawn."
        if kept
        else "They are made anew in every forward pass: nothing that was learned would remain.",
        [
            Evidence("weights reached by the outputs, unknown to the network", share_of(readings, found.value)),
            Evidence("tensors", f"{found.count}, " + ("the same in two calls" if kept else "other ones in each call")),
        ],
        "Keep the layers as attributes or in nn.ModuleList."
        if kept
        else "Build the layers once, in __init__, and only call them in forward.",
    )


def names_of(found: list[Reading]) -> str:
    shown = ", ".join(r.place for r in found[:3])
    return shown + (f" and {len(found) - 3} more" if len(found) > 3 else "")


def size_of(found: list[Reading]) -> int:
    return sum(r.count or 0 for r in found)


def detached(readings: Readings) -> Finding | None:
    found = [r for r in readings.of("parameter.detached") if r.value > DEPENDS]
    if not found:
        return None
    return finding(
        f"{size_of(found):,} weights shape the outputs and get no gradient: {names_of(found)}",
        "They require a gradient, and the path from the loss to them is cut (detach, no_grad, .data, an array or "
        "item()): they stay as they were drawn.",
        [
            Evidence("parameters without gradient on all batches", names_of(found)),
            Evidence("change of the outputs when they move", f"{100 * max(r.value for r in found):.1f} %"),
        ],
        "Remove the detach() or no_grad on the way; where it is meant, say so with requires_grad_(False).",
        severity="warning",
        place=found[0].place,
        excluded=(Excluded("unused layers", "the outputs change when these weights are moved"),),
    )


def flat(readings: Readings) -> Finding | None:
    found = [r for r in readings.of("parameter.zero") if r.value > JUMP]
    if not found:
        return None
    return finding(
        f"{size_of(found):,} weights shape the outputs, and their gradient is exactly zero: {names_of(found)}",
        "An operation after them is flat between jumps (round, sign, argmax, a comparison): it has a gradient of zero "
        "everywhere.",
        [
            Evidence("parameters with a gradient of zero on all batches", names_of(found)),
            Evidence("change of the outputs when they move by a tenth", f"{100 * max(r.value for r in found):.1f} %"),
        ],
        "Use a smooth operation, or a straight-through estimator: x + (round(x) - x).detach().",
        severity="warning",
        place=found[0].place,
        excluded=(Excluded("dead units", "the outputs change when these weights are moved"),),
    )


def unused(readings: Readings) -> Finding | None:
    found = [r for r in readings.of("parameter.detached") if r.value <= DEPENDS]
    if not found:
        return None
    return finding(
        f"{size_of(found):,} weights are not used: {names_of(found)}",
        "The outputs do not depend on them. They cost memory, and weight decay shrinks them for nothing.",
        [Evidence("parameters on which nothing depends", names_of(found))],
        "Remove these layers, or call them in forward.",
        severity="note",
        place=found[0].place,
    )


def frozen(readings: Readings) -> Finding | None:
    number, rest = readings.value("parameter.frozen"), readings.value("parameter.trainable") or 0.0
    if not number:
        return None
    cost, drawn = harm(readings, "unfrozen"), readings.last("parameter.frozen_drawn")
    found = finding(
        f"{number:,.0f} of {number + rest:,.0f} weights are frozen",
        "They require no gradient, which is how a pretrained part is kept.",
        [Evidence("weights that require no gradient", f"{number:,.0f}")],
        "",
        severity="note",
    )
    if cost is None or not cost.harmed or drawn is None:
        return found
    return replace(
        found,
        severity="warning",
        standing="verified",
        why="They require no gradient and were never trained: they stay as they were drawn.",
        place=drawn.place,
        evidence=(
            *found.evidence,
            Evidence("of these drawn at random", f"{drawn.value:,.0f}"),
            *cost.evidence("all of them free to learn"),
        ),
        excluded=(Excluded("a pretrained part", "the frozen weights are as they were drawn"), *cost.excluded),
        remedies=(Remedy("Leave requires_grad=True in what was not trained before.", "changes training"),),
        remedied=cost.remedied,
    )

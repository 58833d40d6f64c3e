"""A loss as a function of the outputs: the best it can reach, what a constant answer reaches, what it rewards.

A loss of the user's own is a black box, so that everything is found by calling it: on the network's outputs for a few
rows, on constant outputs, on the right answers, on wrong ones. It may refuse outputs that it would never get, with any
error; what it refuses is left out.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.measure.head import FREE, Head
from thalweg.measure.lbfgs import LBFGS
from thalweg.parts.metrics.forms import IGNORED, class_dim
from thalweg.readings import Reading

Loss = Callable[..., Tensor]
MAX_NUMBERS = 65_536  # outputs looked at; the answers are found by optimization over all of them
MAX_ROWS = 256
FAR = (1e2, 1e4, 1e6)  # how far a fall without bottom is followed
SUMMED = 1e-3  # distance of the batch factor from 2 at which a loss is a sum over the batch
PER_ROW = ("loss.floor_free", "loss.floor", "loss.constant", "loss.uniform", "loss.rewards_wrong", "loss.logarithm")
SMALL = (1e-2, 1e-4)  # probabilities of the right class; losses clip at 1e-7 or so
MARGINS = (1.0, 4.0, 20.0)  # between right and wrong outputs, in the loss's own unit


@dataclass(frozen=True)
class Sheet:
    """A loss, and the outputs and targets of a few rows on which it is examined.

    `num_classes` is None where the target is no class index, `weight` where all rows count alike.
    """

    loss: Loss
    output: Tensor
    target: Tensor
    head: Head
    num_classes: int | None = None
    weight: Tensor | None = None

    def take(self, output: Tensor) -> Tensor:
        """The loss of other outputs for the same rows."""
        if self.weight is None:
            return self.loss(output, self.target).reshape(())
        return self.loss(output, self.target, self.weight).reshape(())

    def value(self, output: Tensor) -> float:
        """The same as a number; NaN where it cannot be taken."""
        try:
            with torch.no_grad():
                return float(self.take(output))
        except Exception:  # a loss refuses outputs outside its domain
            return math.nan


def sheet_of(
    loss: Loss, output: object, target: Tensor, head: Head, num_classes: int | None, weight: Tensor | None = None
) -> Sheet | None:
    """The first rows, as many as can be examined.

    None where there is no tensor of floats with a row per target, or already two rows are too large.
    """
    if not isinstance(output, Tensor) or not output.is_floating_point() or len(output) != len(target):
        return None
    rows = min(len(output), MAX_ROWS, MAX_NUMBERS // max(1, output[0].numel()))
    if rows < 2:
        return None
    weight = None if weight is None else weight[:rows]
    return Sheet(loss, output[:rows].detach(), target[:rows], head, num_classes, weight)


def right_answer(sheet: Sheet) -> Tensor | None:
    """The target in the form of the outputs: as it is, or one-hot for classes; None where neither fits."""
    output, target = sheet.output, sheet.target
    if target.numel() == output.numel():
        return target.reshape(output.shape).to(output.dtype)
    dim = class_dim(output, target)
    if dim is None or not classes_fit(sheet, output.shape[dim]):
        return None
    counted = target != IGNORED
    one_hot = F.one_hot(target.where(counted, 0), output.shape[dim]) * counted[..., None]
    return one_hot.movedim(-1, dim).to(output.dtype)


def classes_fit(sheet: Sheet, num_outputs: int) -> bool:
    """Whether the labels are those of the outputs: all of them, or per position some of a vocabulary."""
    counted = sheet.target[sheet.target != IGNORED]
    if not len(counted) or int(counted.min()) < 0 or sheet.num_classes is None:
        return False
    if sheet.target.dim() > 1:
        return int(counted.max()) < num_outputs
    return num_outputs == sheet.num_classes


def one_answer(sheet: Sheet, values: Tensor) -> Tensor:
    """The mean of `values`, shaped as the outputs, over the rows and, of a class per position, over the positions."""
    dim = class_dim(sheet.output, sheet.target)
    if dim is None or sheet.target.dim() < 2:
        return values.mean(0, keepdim=True)
    share = (sheet.target != IGNORED).double().mean()  # an ignored position has no right answer: zeros
    return values.mean([d for d in range(values.dim()) if d != dim], keepdim=True) / share.to(values)


def is_binary(answer: Tensor) -> bool:
    """Whether it is made of zeros and ones."""
    return bool(((answer == 0) | (answer == 1)).all())


def lowest(sheet: Sheet, head: Head, starts: list[Tensor]) -> float:
    """The lowest loss found over outputs of the head's range, by L-BFGS from each start; infinite where none is finite.

    A start that is one row stands for the same answer to all rows.
    """
    best = math.inf
    for start in starts:
        free = start.detach().clone().requires_grad_()
        optimizer = LBFGS([free], max_iter=40, tolerance_change=1e-12)

        def closure(free: Tensor = free) -> Tensor:
            nonlocal best
            value = sheet.take(head.outputs(free.expand_as(sheet.output)))
            number = float(value.detach())
            best = min(best, number) if math.isfinite(number) else best
            (gradient,) = torch.autograd.grad(value, free)
            free.grad = gradient.contiguous()  # LBFGS cannot flatten that of a loss which permutes its outputs
            return value

        try:
            optimizer.step(closure)  # type: ignore[no-untyped-call]
        except Exception:  # outside the loss's domain: the other starts decide
            continue
    return best


def starts_of(sheet: Sheet, head: Head) -> list[Tensor]:
    """Where the search for the best answers begins: at zero and at the right answers, several times as sure."""
    zero = torch.zeros_like(sheet.output)
    right = right_answer(sheet)
    if right is None:
        return [zero, sheet.output]
    centered = 2 * right - 1 if is_binary(right) else right
    return [zero, *(head.free(answer) for answer in (right, 10 * centered))]


def constant_starts(sheet: Sheet, head: Head) -> list[Tensor]:
    """Constant answers to begin with: zero, a half, one, and the mean target; one for all rows and positions."""
    row = one_answer(sheet, torch.zeros_like(sheet.output))
    right = right_answer(sheet)
    mean = [] if right is None else [one_answer(sheet, right)]
    return [row, *(head.free(answer) for answer in (row + 0.5, row + 1, *mean))]


def bottomless(sheet: Sheet) -> bool:
    """Whether the loss keeps falling, without end, along its steepest descent from outputs of zero."""
    free = torch.zeros_like(sheet.output).requires_grad_()
    try:
        value = sheet.take(sheet.head.outputs(free))
        (gradient,) = torch.autograd.grad(value, free)
    except Exception:
        return False
    size = float(sheet.target.abs().max()) if sheet.target.is_floating_point() else 1.0
    direction = -max(size, 1.0) * gradient / gradient.abs().max().clamp_min(1e-30)
    start = float(value.detach())
    near, far, farther = (start - sheet.value(sheet.head.outputs(distance * direction)) for distance in FAR)
    # A straight line down falls a hundred times as far on a hundred times the way; a curve that levels off does not.
    return near > 0 and far > 50 * near and farther > 50 * far and farther > 10 * abs(start)


def takes_logarithm(sheet: Sheet) -> float | None:
    """How much the loss rises when the right class's probability falls from a hundredth to a ten-thousandth.

    4.6 for a logarithm of probabilities, clipped or not, 0.01 for a loss that takes logits or differences; of sums and
    multiples accordingly. None where targets are no classes.
    """
    right = right_answer(sheet)
    if right is None or not is_binary(right):
        return None
    wrong = (1 - right) / max(sheet.num_classes or 2, 2)
    near, far = (sheet.value(p * right + wrong) for p in SMALL)
    return far - near if math.isfinite(far - near) else None


def rewards_wrong(sheet: Sheet) -> float | None:
    """Loss of right answers minus loss of wrong ones, the smallest over several margins; above 0 the sign is wrong."""
    right = right_answer(sheet)
    if right is None or sheet.head.dim == 0:
        return None
    differences = []
    for margin in MARGINS:
        if sheet.target.is_floating_point() and not is_binary(right):
            good, bad = right, right + margin * right.std().clamp_min(1e-6)
        else:
            good, bad = margin * (2 * right - 1), margin * (1 - 2 * right)
            if sheet.head.kind != "none":  # probabilities and the like, at least as sure as the margin
                good, bad = sheet.head.outputs(good), sheet.head.outputs(bad)
        differences.append(sheet.value(good) - sheet.value(bad))
    known = [d for d in differences if math.isfinite(d)]
    return min(known) if known else None


def pairing(sheet: Sheet, generator: torch.Generator) -> float | None:
    """Relative change of the loss when the targets are dealt out to other rows; None where all targets are equal.

    Outputs are drawn at random in the range of head and target, because a network's own may be equal for all rows.
    """
    if bool((sheet.target == sheet.target[:1]).all()) or len(sheet.output) < 4:
        return None
    noise = torch.randn(sheet.output.shape, generator=generator).to(sheet.output)
    if sheet.target.is_floating_point():
        noise = noise * sheet.target.std() + sheet.target.mean()
    output = sheet.head.outputs(sheet.head.free(noise))
    before = sheet.value(output)
    changes = []
    for _ in range(4):
        order = torch.randperm(len(sheet.target), generator=generator).to(sheet.target.device)
        weight = None if sheet.weight is None else sheet.weight[order]
        changes.append(abs(replace(sheet, target=sheet.target[order], weight=weight).value(output) - before))
    largest = max((c for c in changes if math.isfinite(c)), default=math.nan)
    return largest / max(abs(before), 1e-30) if math.isfinite(before) and math.isfinite(largest) else None


def compared(sheet: Sheet) -> int:
    """How many pairs of an output and a target a loss of differences compares: N, or N x N where it broadcasts."""
    try:
        shape = torch.broadcast_shapes(sheet.output.shape, sheet.target.shape)  # type: ignore[no-untyped-call]
    except RuntimeError:
        return sheet.output.numel()
    return math.prod(shape)


def batch_factor(sheet: Sheet) -> float | None:
    """Loss of the rows taken twice over the loss of the rows: 1 for a mean, 2 for a sum."""
    weight = None if sheet.weight is None else torch.cat([sheet.weight] * 2)
    twice = replace(sheet, output=torch.cat([sheet.output] * 2), target=torch.cat([sheet.target] * 2), weight=weight)
    once, both = sheet.value(sheet.output), twice.value(twice.output)
    return both / once if math.isfinite(once) and math.isfinite(both) and abs(once) > 1e-12 else None


def gradient_at(sheet: Sheet, output: Tensor) -> Tensor | None:
    """The gradient with respect to the outputs; None where the loss cannot be taken or is not finite."""
    probe = output.detach().clone().requires_grad_()
    try:
        value = sheet.take(probe)
        (gradient,) = torch.autograd.grad(value, probe)
    except Exception:
        return None
    return gradient if math.isfinite(float(value.detach())) else None


def outside_share(sheet: Sheet, generator: torch.Generator) -> float | None:
    """Share of rows whose outputs get no gradient, where the loss has one between 0 and 1 only; None for other losses.

    A loss that takes the logarithm of probabilities clips what is below 0, or is not finite there.
    """
    draw = torch.rand(sheet.output.shape, generator=generator).to(sheet.output)
    inside = gradient_at(sheet, 0.05 + 0.9 * draw)
    below = gradient_at(sheet, -0.05 - 3 * draw)
    if inside is None or not bool(inside.isfinite().all()) or not bool((inside != 0).any()):
        return None
    if below is not None and bool((below != 0).any()) and bool(below.isfinite().all()):
        return None
    rows = sheet.output.flatten(1) if sheet.output.dim() > 1 else sheet.output[:, None]
    gradient = gradient_at(sheet, sheet.output)
    if gradient is None:  # refused or not finite as a whole: the rows that leave the interval are to blame
        return float(((rows < 0) | (rows > 1)).any(1).double().mean())
    moved = (gradient.reshape(rows.shape) != 0) & gradient.reshape(rows.shape).isfinite()
    return float(1 - moved.any(1).double().mean())


def examine(sheet: Sheet, generator: torch.Generator) -> list[Reading]:
    """Everything this file measures, as readings.

    `loss.floor_free` is the lowest loss of any outputs, `loss.floor` of outputs that the head can give,
    `loss.constant` the lowest of one answer to all rows (the entropy of the label prior, the variance of the target),
    `loss.uniform` that of outputs from an input of zeros to the head (ln K, the mean square of the target);
    `loss.logarithm` see `takes_logarithm`. A loss that sums over the batch is divided by its rows.
    """
    constant = lowest(sheet, sheet.head, constant_starts(sheet, sheet.head))
    # One answer to all rows is among all answers, and those of the head among all: no search says otherwise.
    floor = min(lowest(sheet, sheet.head, starts_of(sheet, sheet.head)), constant)
    free_floor = min(lowest(sheet, FREE, starts_of(sheet, FREE)), floor) if sheet.head != FREE else floor
    values: dict[str, float | None] = {
        "loss.floor_free": free_floor,
        "loss.floor": floor,
        "loss.constant": constant,
        "loss.uniform": sheet.value(sheet.head.outputs(torch.zeros_like(sheet.output))),
        "loss.bottomless": float(bottomless(sheet)),
        "loss.rewards_wrong": rewards_wrong(sheet),
        "loss.logarithm": takes_logarithm(sheet),
        "loss.pairing": pairing(sheet, generator),
        "loss.compared": compared(sheet) / sheet.output.numel(),
        "loss.batch_factor": batch_factor(sheet),
        "loss.outside": outside_share(sheet, generator),
    }
    factor = values["loss.batch_factor"]
    if factor is not None and abs(factor - 2) < SUMMED:
        values |= {name: value / len(sheet.output) for name in PER_ROW if (value := values[name]) is not None}
    known = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    return [Reading(name, value, count=len(sheet.output)) for name, value in known.items()]

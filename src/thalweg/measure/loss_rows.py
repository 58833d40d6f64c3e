"""How a loss treats its rows: whether one row's gradient depends on the others, and how hard it pulls wrong ones."""

import math

import torch
from torch import Tensor

from thalweg.measure.answers import Sheet, gradient_at, right_answer
from thalweg.measure.proper import likelihood_gradient
from thalweg.readings import Reading

EVEN, IMPROBABLE = 0.5, 1e-3  # probability of the right class: at the start of learning, and held for wrong
REPEATED = 1e-6  # relative: a loss that draws random numbers gives another gradient each time


def row_mixing(sheet: Sheet, generator: torch.Generator) -> Reading | None:
    """`loss.mixing`: how far the gradient of the first rows turns when the outputs of the other rows are replaced.

        |b − c a| / |b|,   c = <a, b> / <a, a>,   a and b the gradients of the first half of the rows before and after

    0 for a sum or mean over rows, weighted or not, and for a function of one (a root of the mean square changes the
    common factor c only). Targets stay as they are.

    Args:
        sheet: loss, outputs and targets.
        generator: of the outputs, drawn in the head's range.

    Returns:
        Nothing for fewer than 4 rows, a head over the rows, a loss that cannot be taken or that draws random numbers.

    >>> target = torch.arange(16.0)[:, None]
    >>> def centered(output, target):
    ...     return (output - output.mean(0) - target).square().mean()
    >>> from thalweg.measure.head import FREE
    >>> for loss in (torch.nn.MSELoss(), centered):
    ...     found = row_mixing(Sheet(loss, torch.zeros(16, 1), target, FREE), torch.Generator().manual_seed(0))
    ...     print(found.value > 1e-3)
    False
    True
    """
    half = len(sheet.output) // 2
    if half < 2 or sheet.head.dim == 0:
        return None
    free = torch.randn(sheet.output.shape, generator=generator).to(sheet.output)
    other = torch.cat([free[:half], torch.randn(free[half:].shape, generator=generator).to(free)])
    found = [gradient_at(sheet, sheet.head.outputs(z)) for z in (free, free, other)]
    if any(g is None for g in found):
        return None
    before, again, after = (g[:half].double().flatten() for g in found if g is not None)
    size = float(after.norm())
    if not math.isfinite(size) or size == 0 or not bool(before.any()):
        return None
    if float((again - before).norm()) > REPEATED * float(before.norm()):
        return None
    factor = before.dot(after) / before.dot(before)
    return Reading("loss.mixing", float((after - factor * before).norm()) / size, count=half)


def pull(sheet: Sheet) -> Reading | None:
    """`loss.pull`: how hard the loss pulls where the right class is held for improbable, relative to cross-entropy.

        w(0.001) / w(0.5),   w(p) = |∂ loss / ∂z| / |p − y| at outputs z that give the right class the probability p

    1 for a cross-entropy on logits, more for a focal loss; 0.002 for the probability itself without a logarithm, whose
    gradient is p times that of the cross-entropy.

    Args:
        sheet: loss, outputs and targets of classes.

    Returns:
        Nothing where targets are no classes, or the loss has no gradient there.

    >>> from thalweg.measure.head import Head
    >>> target = torch.arange(8) % 4
    >>> softmax = Head("softmax", 0.0, 1.0, dim=1, size=4)
    >>> given = Sheet(torch.nn.functional.nll_loss, torch.zeros(8, 4), target, softmax, num_classes=4)
    >>> round(pull(given).value, 4)
    0.002
    """
    right = right_answer(sheet)
    if right is None or sheet.num_classes is None or sheet.head.dim == 0:
        return None
    if not bool(((right == 0) | (right == 1)).all()):
        return None
    single = sheet.output.numel() == sheet.target.numel()
    weights = []
    for probability in (EVEN, IMPROBABLE):
        others = 1 if single else max(sheet.num_classes - 1, 1)
        free = (math.log(probability / (1 - probability)) + math.log(others)) * (2 * right - 1 if single else right)
        wanted = likelihood_gradient(sheet, free)
        found = through_head(sheet, free)
        if wanted is None or found is None:
            return None
        sizes = found.flatten(1).double().norm(dim=1) / wanted.flatten(1).double().norm(dim=1)
        weights.append(float(sizes.median()))
    even, improbable = weights
    if not (math.isfinite(even) and math.isfinite(improbable) and even > 0):
        return None
    return Reading("loss.pull", improbable / even, count=len(sheet.output))


def through_head(sheet: Sheet, free: Tensor) -> Tensor | None:
    """The gradient of the loss with respect to the free numbers before the head."""
    free = free.detach().clone().requires_grad_()
    outputs = sheet.head.outputs(free)
    inner = gradient_at(sheet, outputs)
    if inner is None or not outputs.requires_grad:
        return None
    (found,) = torch.autograd.grad(outputs, free, inner)
    return found

"""What a loss asks of the outputs: the likelihood of the classes, as far as the gradient tells; the target itself."""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor
from torch.nn import functional as F

from thalweg.measure.answers import Sheet, gradient_at, right_answer
from thalweg.parts.metrics.forms import class_dim
from thalweg.readings import Reading

ASIDE = 0.1  # of the target's standard deviation
UNEVEN = 0.01  # of what a loss rises: beyond it it is no symmetric one
SPREAD = 1.0  # of the free numbers: what a network at its start gives


def likelihood_gradient(sheet: Sheet, free: Tensor) -> Tensor | None:
    """The gradient of the mean cross-entropy with respect to free outputs, p - y; None where there are no classes."""
    right = right_answer(sheet)
    if right is None or sheet.num_classes is None:
        return None
    if sheet.output.numel() == sheet.target.numel():
        return torch.sigmoid(free) - right if sheet.num_classes == 2 else None
    dim = class_dim(sheet.output, sheet.target)
    return None if dim is None else F.softmax(free, dim) - right


def alignment(sheet: Sheet, generator: torch.Generator) -> Reading | None:
    """`loss.alignment`: the cosine between the gradient of the loss through the head and that of the cross-entropy.

        mean_i cos(∂ loss(head(z)) / ∂z_i, p(z_i) − y_i)     over rows i, at z drawn from a unit normal

    1 for a cross-entropy on logits, for softmax before the logarithm of its probabilities, for sums, multiples, and
    weights of classes; smoothed labels and focal losses give 0.95 or more.

    Args:
        sheet: loss, outputs, targets and head.
        generator: of the draw.

    Returns:
        Nothing where targets are no classes, or the loss cannot be taken or has no gradient.

    >>> from thalweg.measure.head import Head
    >>> target = torch.arange(32) % 4
    >>> given = Sheet(F.cross_entropy, torch.zeros(32, 4), target, Head("none"), num_classes=4)
    >>> round(alignment(given, torch.Generator().manual_seed(0)).value, 3)
    1.0
    """
    free = SPREAD * torch.randn(sheet.output.shape, generator=generator).to(sheet.output)
    wanted = likelihood_gradient(sheet, free)
    if wanted is None or sheet.head.dim == 0:
        return None
    free.requires_grad_()
    outputs = sheet.head.outputs(free)
    inner = gradient_at(sheet, outputs)
    if inner is None:
        return None
    (found,) = torch.autograd.grad(outputs, free, inner)
    cosine = F.cosine_similarity(found.flatten(1).double(), wanted.flatten(1).double())
    if not bool(found.any()) or not bool(cosine.isfinite().all()):
        return None
    return Reading("loss.alignment", float(cosine.mean()), count=len(free))


def is_central(loss: Callable[..., Tensor], output: Tensor, target: Tensor) -> bool:
    """Whether a loss of numbers is lowest where outputs equal targets, and rises alike to both sides.

    True where it cannot be told: outputs of another number than targets, or a loss that fails on them.

    >>> y, output = torch.arange(8.0), torch.zeros(8, 1)
    >>> is_central(torch.nn.MSELoss(), output, y[:, None]), is_central(torch.nn.PoissonNLLLoss(), output, y[:, None])
    (True, False)
    """
    if output.numel() != target.numel() or target.is_complex() or not len(target):
        return True
    equal = target.detach().to(output.dtype).reshape(output.shape)
    step = ASIDE * float(equal.double().std(correction=0))
    try:
        with torch.no_grad():
            at, above, below = (float(loss(equal + d, target).sum()) for d in (0.0, step, -step))
    except (RuntimeError, ValueError, TypeError, IndexError):
        return True
    rises = above - at, below - at
    if not all(map(isfinite, rises)):
        return False
    return min(rises) >= 0 and abs(above - below) <= UNEVEN * max(sum(rises), 1e-12)

"""The curvature of a loss at the weights as they are: products with its Hessian, and the ends of its spectrum."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import isfinite, sqrt

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from thalweg.data.rows import Inputs, call, is_divisible, num_rows, take
from thalweg.measure.untouched import untouched
from thalweg.readings import Reading

STEPS = 10  # of Lanczos: the largest eigenvalue of a network's Hessian to 1e-9, the lowest needs about thirty
FEWEST = 5  # below which it may be far too low
MOST_NUMBERS = 2**27  # of the vectors that are kept: 512 MiB
BLOCKS, BLOCK_ROWS = 4, 8  # that the rows are cut into, and the fewest rows of one
STUDENT = 3.182  # 95 % quantile to both sides with BLOCKS - 1 degrees of freedom
NOTHING = 1e-5  # of the largest entry: below it a vector of float32 is rounding error
Loss = Callable[..., Tensor]


class Hessian:
    """The Hessian of the mean loss of some blocks of rows, by double backward. Lives inside `untouched(network)`.

    Args:
        network: whose mode is the caller's.
        loss: `(output, target) -> scalar`, with the rows' weights as a third where there are any.
        blocks: `(inputs, target)` or `(inputs, target, weight)`, of about as many rows each.
        parameters: with respect to which; the Hessian is theirs, flat, in this order.
        scale: `[P]` s of the coordinates: of w = s ⊙ u the Hessian by u, s H s; None for 1.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: Loss,
        blocks: Sequence[tuple[Inputs, *tuple[Tensor, ...]]],
        parameters: Sequence[Tensor],
        scale: Tensor | None = None,
    ) -> None:
        self.parameters, self.scale = list(parameters), scale
        self.losses: list[float] = []
        self.gradients: list[Tensor] = []  # of the blocks, flat, each with its history
        with twice_differentiable():
            for inputs, *target in blocks:
                value = loss(call(network, inputs), *target).reshape(())
                parts = torch.autograd.grad(
                    value, self.parameters, create_graph=True, allow_unused=True, materialize_grads=True
                )
                if any(map(ends_here, parts)):
                    raise NotImplementedError("an operation of the network has no second derivative")
                self.losses.append(float(value.detach()))  # synchronizes
                self.gradients.append(torch.cat([part.reshape(-1) for part in parts]))

    @property
    def loss(self) -> float:
        return sum(self.losses) / len(self.losses)

    @property
    def gradient(self) -> Tensor:
        """`[P]` of the mean loss, in the coordinates."""
        mean = torch.stack([gradient.detach() for gradient in self.gradients]).mean(0)
        return mean if self.scale is None else self.scale * mean

    def products(self, vector: Tensor) -> list[Tensor]:
        """`[P]` the product of each block's Hessian with a vector."""
        scaled = vector if self.scale is None else self.scale * vector
        found = []
        for gradient in self.gradients:
            if not gradient.requires_grad:  # a loss that is linear in the weights
                found.append(torch.zeros_like(scaled))
                continue
            with twice_differentiable():
                parts = torch.autograd.grad(
                    gradient, self.parameters, scaled, retain_graph=True, allow_unused=True, materialize_grads=True
                )
            product = torch.cat([part.reshape(-1) for part in parts])
            found.append(product if self.scale is None else self.scale * product)
        return found

    def __call__(self, vector: Tensor) -> Tensor:
        """`[P]` the product with a vector."""
        return torch.stack(self.products(vector)).mean(0)

    def along(self, vector: Tensor) -> list[float]:
        """vᵀHv / vᵀv of each block."""
        square = float(vector.double().square().sum())
        return [float((vector.double() * product.double()).sum()) / square for product in self.products(vector)]


@dataclass(frozen=True)
class Ends:
    """Both ends of a spectrum.

    Args:
        low: the lowest eigenvalue, at most; Lanczos approaches it from above.
        high: the largest one, at least.
        lowest: `[P]` unit vector of the first.
        highest: `[P]` unit vector of the second.
        steps: products that it took.
        whole: whether they were all that the first vector can reach, so that both ends are exact.
    """

    low: float
    high: float
    lowest: Tensor
    highest: Tensor
    steps: int
    whole: bool = False


def lanczos(
    product: Callable[[Tensor], Tensor], start: Tensor, *, steps: int, may_go_on: Callable[[], bool] = lambda: True
) -> Ends | None:
    """Both ends of the spectrum of a symmetric matrix, of which only products with vectors are known.

    Each new vector is made orthogonal to all before it twice, so that rounding leaves no copies of eigenvalues.

    Args:
        product: v -> Hv.
        start: `[P]` the first vector, best drawn at random.
        steps: products at most; P are exact.
        may_go_on: asked before each product.

    Returns:
        None where a product was not finite, or none was allowed.

    >>> matrix = torch.diag(torch.tensor([-1.0, 0.5, 3.0]))
    >>> found = lanczos(matrix.mv, torch.ones(3), steps=3)
    >>> round(found.low, 4), round(found.high, 4), found.highest.abs().round(decimals=3)
    (-1.0, 3.0, tensor([0., 0., 1.]))
    """
    steps = min(steps, len(start), MOST_NUMBERS // max(len(start), 1))
    basis: list[Tensor] = []
    diagonal: list[float] = []
    beside: list[float] = []  # the diagonal
    new, whole = start / start.norm(), False
    while len(basis) < steps and may_go_on():
        basis.append(new)
        image = product(new)
        diagonal.append(float(image @ new))  # synchronizes
        if not isfinite(diagonal[-1]):
            return None
        for _ in range(2):
            for old in basis:
                image = image - (image @ old) * old
        rest = float(image.norm())
        if not rest > NOTHING * max(map(abs, [*diagonal, *beside])):  # the whole of what the start can reach
            whole = True
            break
        beside.append(rest)
        new = image / rest
    if not basis:
        return None
    beside = beside[: len(basis) - 1]
    small = torch.diag(torch.tensor(diagonal, dtype=torch.float64))
    if beside:
        edge = torch.tensor(beside, dtype=torch.float64)
        small += torch.diag(edge, 1) + torch.diag(edge, -1)
    values, vectors = torch.linalg.eigh(small)
    ends = [sum(float(c) * v for c, v in zip(vectors[:, k], basis, strict=True)) for k in (0, -1)]
    lowest, highest = (torch.as_tensor(end) / torch.as_tensor(end).norm() for end in ends)
    return Ends(float(values[0]), float(values[-1]), lowest, highest, len(basis), whole or len(basis) == len(start))


def curvature(
    network: nn.Module,
    loss: Loss,
    inputs: Inputs,
    target: Tensor,
    weight: Tensor | None = None,
    *,
    scale: Mapping[str, Tensor] | None = None,
    factor: float = 1.0,
    steps: int = STEPS,
    step: int | None = None,
    seed: int = 0,
    may_go_on: Callable[[], bool] = lambda: True,
) -> list[Reading]:
    """The largest curvature of the loss over some rows, in evaluation mode: where steps along it are stable.

    Readings, with H the Hessian of the mean loss by the trainable parameters and g its gradient:

        curvature.sharpness   λ_max(H), with a 95 % interval over blocks of the rows: of vᵀHv at its eigenvector v
        curvature.along       gᵀHg / gᵀg

    Args:
        network: stays as it is; norms use their running estimates, and nothing is dropped.
        loss: `(output, target) -> scalar`, with the rows' weights as a third where there are any.
        inputs: rows, some hundred for an interval that says something.
        target: their targets.
        weight: `[N]` of the rows.
        scale: by the name of a parameter the s of w = s ⊙ u: of H the Hessian by u is read then. With the root of what
            an optimizer multiplies gradients by it is the curvature that its steps see.
        factor: of all curvatures, for a loss that adds its rows up: rows of a batch by rows of a block.
        steps: of Lanczos.
        step: of the readings.
        seed: of the first vector.
        may_go_on: asked before each product with H.

    Returns:
        Nothing where the loss cannot be differentiated twice, or is not finite.

    >>> x = torch.tensor([[1.0, 0.0], [0.0, 3.0]]).repeat(16, 1)
    >>> found = curvature(nn.Linear(2, 1, bias=False), nn.MSELoss(), x, torch.zeros(32, 1))  # 2 xᵀx / N
    >>> round(found[0].value, 4)
    9.0
    """
    kept = {name: p for name, p in network.named_parameters() if p.requires_grad}
    if not kept:
        return []
    flat = None if scale is None else torch.cat([scale[name].reshape(-1) for name in kept])
    try:
        with untouched(network):
            hessian = Hessian(network, loss, blocks_of(inputs, target, weight), list(kept.values()), flat)
            first = hessian.gradient
            length = float(first.norm())
            if not isfinite(hessian.loss) or not isfinite(length):
                return []
            # The gradient leans to directions of large curvature; chance has a part of all others.
            start = torch.randn(len(first), generator=torch.Generator().manual_seed(seed)).to(first)
            start = start / start.norm() + 2 * first / max(length, 1e-30)  # never opposite and equal
            ends = lanczos(hessian, start, steps=steps, may_go_on=may_go_on)
            if ends is None or not (ends.whole or ends.steps >= FEWEST):
                return []
            each = hessian.along(ends.highest)
            along = hessian.along(first) if length > 0 else []
    except (RuntimeError, NotImplementedError):  # an operation of which torch knows only the first derivative
        return []
    count = num_rows(inputs)
    found = [Reading("curvature.sharpness", factor * ends.high, "", step, *interval(each, factor), count)]
    if along:
        found.append(Reading("curvature.along", factor * sum(along) / len(along), step=step, count=count))
    return found


def interval(values: Sequence[float], factor: float) -> tuple[float | None, float | None]:
    """95 % interval of a mean over blocks, by Student's quantile; none of fewer blocks than all."""
    if len(values) < BLOCKS:
        return None, None
    numbers = factor * torch.tensor(values, dtype=torch.float64)
    half = STUDENT * float(numbers.std()) / sqrt(BLOCKS)
    mean = float(numbers.mean())
    return mean - half, mean + half


def blocks_of(inputs: Inputs, target: Tensor, weight: Tensor | None = None) -> list[tuple[Inputs, *tuple[Tensor, ...]]]:
    """The rows in `BLOCKS` of one size, a few left over; in one where they are too few or cannot be taken apart."""
    rest = () if weight is None else (weight,)
    count = num_rows(inputs)
    if count < BLOCKS * BLOCK_ROWS or not is_divisible(inputs) or len(target) != count:
        return [(inputs, target, *rest)]
    order = torch.arange(count - count % BLOCKS)
    return [
        (take(inputs, rows), *(values[rows.to(values.device)] for values in (target, *rest)))
        for rows in order.chunk(BLOCKS)
    ]


def ends_here(gradient: Tensor) -> bool:
    """Whether a function of the user's own on the way of a gradient is `once_differentiable`.

    Products with the Hessian would leave out what lies behind it, without an error.
    """
    waiting, seen = [gradient.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node.name().endswith("autograd::Error"):
            return True
        seen.add(node)
        waiting += [below for below, _ in node.next_functions]
    return False


@contextmanager
def twice_differentiable() -> Iterator[None]:
    """Within it kernels are used whose derivative has one too: attention as plain products, no cuDNN for recurrence."""
    with sdpa_kernel(SDPBackend.MATH), torch.backends.cudnn.flags(enabled=False):
        yield

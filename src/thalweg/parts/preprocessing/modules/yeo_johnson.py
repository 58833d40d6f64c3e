"""The power transformation of Yeo and Johnson, and the likelihood of its exponent."""

import torch
from torch import Tensor

from thalweg.parts.preprocessing.modules.fitted import Fitted
from thalweg.parts.preprocessing.modules.signed_log import columns_text

NEAR = 1e-6  # an exponent so near 0 is 0: the difference is below float32's rounding
LARGEST = {torch.float32: 88.0, torch.float64: 709.0}  # logarithms of the largest numbers
FARTHEST = 1024.0  # of an exponent from 1, which changes nothing; columns of numbers far below 1 need such
GOLDEN = (5**0.5 - 1) / 2
MOVED = 1e-2  # of a column's deviation, by which a rounding of float32 may move a value there and back
HIGHEST = 1e18  # of y, whose squares float32 still holds
ROUNDS = 44  # golden sections: 4 · 0.618⁴⁴ = 3e-9, 2048 · 0.618⁴⁴ = 1e-6; the likelihood is flat in float64 below


class YeoJohnson(Fitted):
    """y = ψ(power, x) per column; a power of 1 leaves a column as it is.

    Args:
        power: λ, broadcasts against a row of x.

    >>> YeoJohnson(torch.tensor([0.0, 1.0]))(torch.tensor([[1.0, 5.0]]))
    tensor([[0.6931, 5.0000]])
    """

    power: Tensor

    def __init__(self, power: Tensor) -> None:
        super().__init__()
        self.register_buffer("power", power.float())

    def prepare(self, x: Tensor) -> Tensor:
        return yeo_johnson(x, self.power.to(x.dtype))

    def undo(self, y: Tensor) -> Tensor:
        """The inverse; what lies beyond the transform's own range, as a network's output may, becomes its largest x."""
        power = self.power.to(y.dtype)
        exponent = torch.where(y >= 0, power, 2 - power)
        zero = exponent.abs() < NEAR
        inner = (exponent * y.abs()).clamp(min=torch.finfo(y.dtype).eps - 1)
        size = torch.where(zero, y.abs(), inner.log1p() / torch.where(zero, 1.0, exponent))
        size = size.clamp(max=LARGEST[y.dtype]).expm1()
        return torch.where(power == 1, y, y.sign() * size)

    def told(self, names: tuple[str, ...] = ()) -> str:
        return columns_text(self.power != 1, "a power", names)


def yeo_johnson(x: Tensor, power: Tensor) -> Tensor:
    """ψ(λ, x) = ((1 + x)^λ − 1) / λ for x ≥ 0, −((1 − x)^(2−λ) − 1) / (2 − λ) below; or a logarithm."""
    exponent = torch.where(x >= 0, power, 2 - power)
    zero = exponent.abs() < NEAR
    log = x.abs().log1p()
    size = torch.where(zero, log, (exponent * log).expm1() / torch.where(zero, 1.0, exponent))
    return torch.where(power == 1, x, x.sign() * size)


def likeliest_power(values: Tensor, weights: Tensor) -> Tensor:
    """`[C]` float64: the λ that makes each column of `[n, C]` likeliest under a normal distribution.

    The log-likelihood, −n/2 · log var ψ(λ, x) + (λ − 1) Σ sign(x) log(1 + |x|), has one maximum: golden sections find
    it for all columns at once, from −1,023 to 1,025; of what is likelier beyond, the end is taken. Sought is among the
    powers that float32 can take back: a column far from 0 is flat beyond them, all its values becoming nearly 1/|λ|.
    """
    share = (weights / weights.sum())[:, None]
    slope = (share * values.sign() * values.abs().log1p()).sum(0)
    std = (share * (values - (share * values).sum(0)).square()).sum(0).sqrt()
    ends = torch.stack([values.amin(0), values.amax(0)])

    def likelihood(power: Tensor) -> Tensor:
        y = yeo_johnson(values, power)
        variance = (share * (y - (share * y).sum(0)).square()).sum(0)
        found = (power - 1) * slope - variance.log() / 2
        # Powers that lose the values are the worse the farther from 1, which leaves them as they are.
        return torch.where(keeps(ends, power, std) & found.isfinite(), found, -1e30 * (1 + (power - 1).abs()))

    width = values.new_full((values.shape[1],), 2.0)
    while True:  # until the maximum is inside: an end is less likely than what lies half as far
        inside = [likelihood(1 + sign * width) <= likelihood(1 + sign * width / 2) for sign in (-1, 1)]
        beyond = ~(inside[0] & inside[1]) & (width < FARTHEST)
        if not beyond.any():
            break
        width = torch.where(beyond, 2 * width, width)
    low, high = 1 - width, 1 + width
    for _ in range(ROUNDS):
        left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
        rising = likelihood(left) < likelihood(right)
        low, high = torch.where(rising, left, low), torch.where(rising, high, right)
    nearer = torch.where((low - 1).abs() < (high - 1).abs(), low, high)  # where the maximum is at the last that keeps
    found = torch.where(keeps(ends, (low + high) / 2, std), (low + high) / 2, nearer)
    return torch.where(keeps(ends, found, std), found, 1.0)


def keeps(ends: Tensor, power: Tensor, std: Tensor) -> Tensor:
    """`[C]`: whether float32 can take back what a power makes of a column's ends `[2, C]`, where it is the coarsest."""
    y = yeo_johnson(ends, power).abs()
    exponent = torch.where(ends >= 0, power, 2 - power)
    moved = y * torch.finfo(torch.float32).eps / (1 + ends.abs()).pow(exponent - 1)
    return ((moved <= MOVED * std) & (y <= HIGHEST)).all(0)

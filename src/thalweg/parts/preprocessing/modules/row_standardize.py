"""Each row, a picture say, by its own mean and deviation."""

from torch import Tensor

from thalweg.errors import UsageError
from thalweg.parts.preprocessing.modules.fitted import Fitted


class RowStandardize(Fitted):
    """y = (x − mean of its row) / standard deviation of its row, over all in it; a constant row becomes 0."""

    def prepare(self, x: Tensor) -> Tensor:
        rest = tuple(range(1, x.ndim))
        y = x - x.mean(rest, keepdim=True)
        std = y.square().mean(rest, keepdim=True).sqrt()
        rounding = 1e-6 if x.element_size() == 4 else 1e-14
        constant = std <= rounding * x.abs().amax(rest, keepdim=True)
        return y / std.masked_fill(constant, float("inf"))

    def undo(self, y: Tensor) -> Tensor:
        raise UsageError("Standardize(per='row') has no inverse: the rows' own means are not kept. Use another `per`.")

"""What every regularizer of the weights is: what it adds to their gradients, and the limits it keeps them in (L29)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Regularizer:
    """A penalty on weights or a limit of them.

    The loss that is shown, raced and compared is that of the data: a penalty acts through the gradients alone.
    """

    def add_(self, gradients: "list[Tensor]", parameters: "list[Tensor]") -> None:
        """Adds the penalty's gradient, in place, before any clipping; called under `torch.no_grad()`.

        Args:
            gradients: of the decayed parameters that have one: biases, norms and embeddings are left alone by default.
            parameters: they, as many.
        """

    def constrain_(self, parameters: "list[Tensor]", *, rate: float) -> None:
        """Brings the parameters into their limits, in place, after the update; called under `torch.no_grad()`."""

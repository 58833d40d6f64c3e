"""What the augmentations of tokens share: ids that they leave alone."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from thalweg.errors import DataError
from thalweg.parts.augmentations.augmentation import Drawn, Shape, TensorAugmentation
from thalweg.parts.augmentations.draws import Floats, seeds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class TokenAugmentation(TensorAugmentation):
    """One of tokens, integers `[B, T]`. The type of the integers is kept.

    Args:
        padding: id that fills rows at their end; never touched.
        keep: ids that are never touched either, as those of the start, the end and the separator.
    """

    padding: int = field(default=0, kw_only=True)
    keep: tuple[int, ...] = field(default=(), kw_only=True)
    kind: ClassVar[str] = "tokens"
    num_draws: ClassVar[int] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        self._check("padding", is_id(self.padding), "an id of a token, an integer")
        good = isinstance(self.keep, tuple | list) and all(map(is_id, self.keep))
        self._check("keep", good, "ids of tokens, integers, as in keep=(101, 102)")

    def parameters(self, u: Floats, shape: Shape) -> Drawn:
        return {"seed": seeds(u[0])}

    def free(self, x: "Tensor", drawn: Drawn, *others: int) -> "Tensor":
        """`[B, T]`, the tokens that may be touched. Raises `DataError` where an id does not fit into the type of x."""
        import torch

        used = (self.padding, *self.keep, *others)
        limits = torch.iinfo(x.dtype)
        if not limits.min <= min(used) <= max(used) <= limits.max:
            wrong = next(i for i in used if not limits.min <= i <= limits.max)
            kind = str(x.dtype).removeprefix("torch.")
            raise DataError(f"{self} got tokens of {kind}, which does not hold the id {wrong}; give x.long().")
        found = torch.from_numpy(drawn["applied"]).to(x.device)[:, None] & (x != self.padding)
        for own in self.keep:
            found &= x != own
        return found


def is_id(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)

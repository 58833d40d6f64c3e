"""What `torch.compile` leaves to Python: 64-bit integers of NumPy cannot be traced.

Apart from the rest, and imported inside a graph only: it loads the compiler, which takes seconds.
"""

from typing import Any

import torch

from thalweg.parts.augmentations.compose import Compose


@torch.compiler.disable  # type: ignore[untyped-decorator]
def augmented(parts: Compose, batch: Any, **given: Any) -> Any:
    """`parts.called(batch, ...)`."""
    return parts.called(batch, **given)

"""Memory to compute in, kept between calls: fresh memory of a few MiB costs as much as what is computed in it."""

import threading
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

LARGEST_BYTES = 2**24  # of a piece that is kept


class Room(threading.local):
    """Pieces by name, one set for each thread.

    A C library gives a few MiB back to the system when they are freed, and the next call pays for each page of them
    again. A GPU's memory is kept by torch.
    """

    def __init__(self) -> None:
        self.pieces: dict[tuple[str, torch.dtype], Tensor] = {}

    def of(
        self,
        name: str,
        shape: Sequence[int],
        dtype: torch.dtype,
        device: torch.device,
        *,
        beside: Tensor | None = None,
    ) -> Tensor:
        """An uninitialized tensor, overwritten when the name is asked for again; `beside` lies elsewhere."""
        count = prod(shape)
        if device.type != "cpu" or count * dtype.itemsize > LARGEST_BYTES:
            return torch.empty(*shape, dtype=dtype, device=device)
        piece = self.pieces.get((name, dtype))
        if piece is not None and beside is not None and same_storage(piece, beside):
            return self.of(f"{name} beside", shape, dtype, device)
        if piece is None or len(piece) < count:
            piece = self.pieces[name, dtype] = torch.empty(count, dtype=dtype)
        return piece[:count].view(*shape)

    def holds(self, value: Tensor) -> bool:
        """Whether a tensor lies in one of the pieces, and will be overwritten."""
        return any(same_storage(piece, value) for piece in self.pieces.values())


def same_storage(a: Tensor, b: Tensor) -> bool:
    return a.untyped_storage().data_ptr() == b.untyped_storage().data_ptr()


room = Room()

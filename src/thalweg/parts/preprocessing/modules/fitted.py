"""What every fitted preparation of one tensor is: a module, with its inverse, that needs no pickle to be kept."""

from abc import abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

TOKENS = (torch.int32, torch.int64)  # indices, which nothing is subtracted from; uint8, int16 and bool are numbers


class Fitted(nn.Module):
    """Prepares a tensor `[N, ...]`, and takes that back by `inverse`.

    float64 is computed in float64, everything else in float32; so is the result, except that float16 and bfloat16 stay
    what they are, and that float64 becomes the dtype of the module, float32 unless it was cast. Indices (int32, int64)
    pass through. All numbers are in buffers: state and `form` restore it (`thalweg.parts.preprocessing.restore`).
    """

    def forward(self, x: Tensor) -> Tensor:
        return self.between(x).to(self._out(x))

    def inverse(self, y: Tensor) -> Tensor:
        """What `forward` made y of."""
        return y if y.dtype in TOKENS else self.undo(y.to(self._work(y))).to(self._out(y))

    def between(self, x: Tensor) -> Tensor:
        """`forward` in the dtype of the computation, for what prepares it further."""
        return x if x.dtype in TOKENS else self.prepare(x.to(self._work(x)))

    @abstractmethod
    def prepare(self, x: Tensor) -> Tensor:
        """y of x, which is float32 or float64, and stays as it is."""

    @abstractmethod
    def undo(self, y: Tensor) -> Tensor:
        """x of y, in the same dtypes."""

    @property
    def form(self) -> dict[str, Any]:
        """What `restore` needs beside the state, as JSON."""
        return {"module": type(self).__name__}

    @property
    def report(self) -> str:
        """What was found that a person wants to know; empty where there is nothing."""
        return self.told()

    def told(self, names: tuple[str, ...] = ()) -> str:
        """`report` with the columns' names, where they have some."""
        return ""

    @property
    def dtype(self) -> torch.dtype:
        return next((b.dtype for b in self.buffers() if b.is_floating_point()), torch.float32)

    def _work(self, x: Tensor) -> torch.dtype:
        return torch.float64 if torch.float64 in (x.dtype, self.dtype) else torch.float32

    def _out(self, x: Tensor) -> torch.dtype:
        kept = (torch.float16, torch.bfloat16, *TOKENS)
        return x.dtype if x.dtype in kept else self.dtype


class Keep(Fitted):
    """Passes everything on: what becomes of indices."""

    def prepare(self, x: Tensor) -> Tensor:
        return x

    def undo(self, y: Tensor) -> Tensor:
        return y


def halves(value: Tensor) -> tuple[Tensor, Tensor]:
    """A float64 number as two of float32, which together have 48 bits."""
    whole = value.float()
    return whole, (value.double() - whole.double()).float()

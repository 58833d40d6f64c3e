"""The weights of a whole network before its first step: drawn, measured, told (L08 to L11)."""

from thalweg.initialization.network import draw_anew, initialize
from thalweg.initialization.result import Initialization, Row

__all__ = ["Initialization", "Row", "draw_anew", "initialize"]

"""What every initializer is: a distribution of weights given their fans and gain, as plain data."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Initializer:
    """How the weights of a layer are drawn before the first step."""

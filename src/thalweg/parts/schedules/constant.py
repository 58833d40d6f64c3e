"""The constant rate (L27)."""

from dataclasses import dataclass

from thalweg.parts.schedules.schedule import Schedule


@dataclass(frozen=True, kw_only=True)
class Constant(Schedule):
    """The peak rate at every step (L27).

        factor(t) = 1

    A gradient of minibatches is noisy, and at a constant rate the weights end in a ball around a minimum whose size
    grows with the rate. An average of the weights (`tw.averaging`) does what a falling rate does.

    >>> Constant().factor(7, 10)
    1.0

    Source: Robbins, Monro 1951, "A Stochastic Approximation Method", for why a rate must fall in the end. In PyTorch it
    is no scheduler at all; its `ConstantLR` is another thing, a reduced rate for the first steps.
    """

    def factor(self, step: int, num_steps: int) -> float:
        return 1.0
